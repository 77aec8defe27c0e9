"""The compositions of a campaign as rows that a model can score and as orderings that a calculator can label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from numpy.typing import NDArray

from agent.clusters import Clusters, cluster
from agent.composition import Composition
from agent.descriptors import describe
from agent.hosts import Host, load_host
from agent.ions import ion_features
from agent.ordering import Method, draw, draw_numbers
from agent.space import FunnelStep, build_space
from calculators.label import Structure, Work
from flows.config import Config
from flows.errors import as_user_error


@dataclass(frozen=True)
class Candidates:
    """Everything that follows from the configuration alone; rebuilt, never stored.

    Row `i * orderings + k` is ordering k of composition i.

    Attributes:
        numbers: (compositions * orderings, sites) uint8, atomic numbers; 0 is a vacant mobile-ion site.
        features: (compositions, d) scaled composition descriptors.
    """

    host: Host
    funnel: list[FunnelStep]
    compositions: list[Composition]
    clusters: Clusters
    features: NDArray[np.float64]
    orderings: int
    seed: int
    method: Method
    numbers: NDArray[np.uint8]

    @cached_property
    def index(self) -> dict[str, int]:
        return {composition.key: i for i, composition in enumerate(self.compositions)}

    @cached_property
    def ions(self) -> NDArray[np.float64]:
        """(compositions, ions): each as a set of ions, what the process learns from (`agent.ions`)."""
        return ion_features(self.compositions)

    def row(self, composition_key: str, ordering: int) -> int:
        return self.index[composition_key] * self.orderings + ordering

    def ordering(self, composition_key: str, ordering: int) -> Atoms:
        composition = self.compositions[self.index[composition_key]]
        return draw(self.host, composition, ordering, self.seed, method=self.method)

    def work(self, composition_key: str, ordering: int, calculator: str, settings: dict[str, object]) -> Work:
        """What a calculator is asked for."""
        composition = self.compositions[self.index[composition_key]]
        return Work(
            structure=Structure.from_atoms(self.ordering(composition_key, ordering)),
            ion=self.host.mobile,
            calculator=calculator,
            settings=settings,
            name=f"{composition.formula(self.host)} #{ordering}",
        )

    def write(self, path: Path) -> None:
        """Every composition with its cluster and the first two principal components of its descriptors, as CSV."""
        centred = self.features - self.features.mean(axis=0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        plane = np.zeros((len(centred), 2))
        plane[:, : len(axes[:2])] = centred @ axes[:2].T
        table = pd.DataFrame(
            {
                "composition": [composition.key for composition in self.compositions],
                "formula": [composition.formula(self.host) for composition in self.compositions],
                "cluster": self.clusters.labels,
                "pc1": plane[:, 0].round(6),
                "pc2": plane[:, 1].round(6),
            }
        )
        table.to_csv(path, index=False)


def build_candidates(config: Config) -> Candidates:
    """Enumerate, filter, cluster and order the space that the configuration describes.

    Raises:
        UserError: the host or the space is impossible; the message names the filter or field.
    """
    with as_user_error():
        host = load_host(config.campaign.host)
        space = build_space(host, config.space)
    compositions = space.compositions
    features = describe(host, compositions).scaled()
    orderings, seed = config.campaign.orderings, config.campaign.seed
    method = config.ordering.method
    blocks = [draw_numbers(host, compositions, index, seed, method=method) for index in range(orderings)]
    numbers = np.stack(blocks, axis=1).reshape(len(compositions) * orderings, -1)
    with as_user_error():
        clusters = cluster(features, config.clusters)
    return Candidates(host, space.funnel, compositions, clusters, features, orderings, seed, method, numbers)
