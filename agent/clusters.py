"""Clusters of compositions: average-linkage agglomerative clustering with SciPy, as the CGformer paper does
it.

The exact tree needs n²/2 distances. Above `exact_limit` rows a two-stage form takes over: k-means groups the
rows into a few thousand micro-clusters, average linkage joins those. `agreement` measures it against the
exact one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.cluster.hierarchy import dendrogram, fcluster, linkage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


#: Principal components that k-means works on: 99 % of the variance of scaled composition descriptors.
COMPONENTS = 30


class ClusterConfig(BaseModel):
    """How the composition space is divided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: int = Field(20, ge=1, description="Number of clusters (the paper's 20).")
    exact_limit: int = Field(
        5_000, ge=2, description="Above so many compositions the two-stage form is used (memory grows as n²)."
    )
    micro_clusters: int = Field(3_000, ge=2, description="Micro-clusters of the two-stage form.")
    seed: int = Field(0, ge=0, description="Seed of the two-stage form.")


@dataclass(frozen=True)
class Clusters:
    """`labels` (n,), 0 for the largest cluster; `tree` is SciPy's linkage matrix, over micro-clusters if
    `two_stage`.
    """

    labels: Ints
    tree: Floats
    two_stage: bool

    @property
    def sizes(self) -> Ints:
        return np.bincount(self.labels)


def cluster(features: Floats, config: ClusterConfig | None = None) -> Clusters:
    """Average-linkage clusters of the rows of `features` (n, d), Euclidean distance; scale the columns first.

    With fewer rows than groups every row is its own cluster.

    Raises:
        ValueError: no rows, or a value that is not finite.
    """
    config = config or ClusterConfig()
    if len(features) == 0:
        raise ValueError("clusters: there are no compositions to cluster")
    if not np.isfinite(features).all():
        raise ValueError(
            f"clusters: descriptors of row {int(np.argwhere(~np.isfinite(features))[0, 0])} are not finite"
        )
    if len(features) == 1:
        return Clusters(np.zeros(1, dtype=np.int64), np.empty((0, 4)), two_stage=False)
    if len(features) <= config.exact_limit:
        tree = linkage(features, method="average", metric="euclidean")
        return Clusters(_by_size(_cut(tree, config.groups)), tree, two_stage=False)
    member = _micro_clusters(features, config)
    centres = np.zeros((member.max() + 1, features.shape[1]))
    np.add.at(centres, member, features)
    centres /= np.bincount(member)[:, None]
    tree = linkage(centres, method="average", metric="euclidean")
    return Clusters(_by_size(_cut(tree, config.groups)[member]), tree, two_stage=True)


def _micro_clusters(features: Floats, config: ClusterConfig) -> Ints:
    """Micro-cluster (n,) of each row, by k-means on the leading principal components."""
    from sklearn.cluster import MiniBatchKMeans  # takes a second, and every command reads a configuration

    _, axes = np.linalg.eigh(np.cov(features, rowvar=False).reshape(features.shape[1], -1))
    reduced = (features @ axes[:, -COMPONENTS:]).astype(np.float32)
    micro = MiniBatchKMeans(
        min(config.micro_clusters, max(2, len(features) // 2)),
        random_state=config.seed,
        n_init=1,
        init="random",
        batch_size=16_384,
        max_iter=20,
    )
    return np.unique(micro.fit_predict(reduced), return_inverse=True)[1].astype(np.int64)


def agreement(features: Floats, config: ClusterConfig | None = None) -> float:
    """Adjusted Rand index between the exact and the two-stage clusters (1 is identical, 0 is chance)."""
    from sklearn.metrics import adjusted_rand_score

    config = config or ClusterConfig()
    exact = cluster(features, config.model_copy(update={"exact_limit": len(features)}))
    staged = cluster(features, config.model_copy(update={"exact_limit": 2}))
    return float(adjusted_rand_score(exact.labels, staged.labels))


def plot_dendrogram(clusters: Clusters, path: Path, groups: int) -> None:
    """Dendrogram of the last merges with the cut into `groups`, as PNG (or what the suffix says)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    shown = min(4 * groups, len(clusters.tree) + 1)
    heights = clusters.tree[:, 2]
    cut = float(heights[-groups : len(heights) - groups + 2].mean()) if len(heights) > groups else 0.0
    dendrogram(clusters.tree, p=shown, truncate_mode="lastp", color_threshold=cut, ax=axes, leaf_rotation=90)
    axes.axhline(cut, color="black", linestyle="--", linewidth=1, label=f"cut into {groups} groups")
    unit = "micro-clusters" if clusters.two_stage else "compositions"
    axes.set(xlabel=f"{unit} (in brackets: how many)", ylabel="average distance (scaled descriptors)")
    axes.legend()
    figure.savefig(path, dpi=150)


def _cut(tree: Floats, groups: int) -> Ints:
    return fcluster(tree, groups, criterion="maxclust").astype(np.int64)


def _by_size(labels: Ints) -> Ints:
    """Renumber: 0 is the largest cluster; among equals the one whose first member comes first."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return rank[np.searchsorted(names, labels)]
