"""A forest on fixed descriptors, with the interface of the CGformer ensemble.

For tests, for very large spaces, and as the baseline that a graph network has to beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from models.ensemble import split_rows
from models.training import OnEpoch, check_targets

Floats = NDArray[np.float64]
CHUNK = 4096
#: Of one tree. On 994 compositions of NASICON (bond valence), 800 of them learned from, 512 leaves are as good
#: as any number (MAE 28.6 and 28.8 meV, R2 0.547 and 0.541, miscalibration area 0.071 both); trees of 256 are as
#: accurate, but their spread is too small (0.100).
LEAVES = 512


def composition_features(numbers: NDArray[Any]) -> Floats:
    """Mean, standard deviation, minimum and maximum of element data over the occupied sites, (n, 4 * 8).

    Args:
        numbers: (n, sites) atomic numbers, 0 for a vacant site.
    """
    from models.features import check_numbers, element_data

    numbers = np.asarray(numbers)
    check_numbers(numbers, "numbers")
    names = [
        "group",
        "period",
        "electronegativity",
        "radius_pm",
        "ionisation_eV",
        "affinity_eV",
        "volume_cm3_per_mol",
    ]
    table = np.full((104, len(names) + 1), np.nan)
    for z, row in element_data().items():
        table[z, :-1] = [np.nan if row[name] is None else row[name] for name in names]
        table[z, -1] = z
    table[0] = np.nan
    table[1:] = np.where(np.isnan(table[1:]), np.nanmean(table[1:], axis=0), table[1:])
    kinds = np.unique(numbers)
    counts = np.stack([(numbers == z).sum(axis=1) for z in kinds if z], axis=1).astype(float)
    values = table[[z for z in kinds if z]]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mean = share @ values
    deviation = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    present = counts > 0
    low = np.min(np.where(present[:, :, None], values[None], np.inf), axis=1)
    high = np.max(np.where(present[:, :, None], values[None], -np.inf), axis=1)
    return np.concatenate([mean, deviation, low, high], axis=1)


def pad_numbers(structures: Sequence[Atoms]) -> NDArray[np.uint8]:
    """Atomic numbers of structures of any sizes, (n, largest), filled up with zeros."""
    padded = np.zeros((len(structures), max(map(len, structures), default=0)), np.uint8)
    for row, atoms in zip(padded, structures, strict=True):
        row[: len(atoms)] = atoms.numbers
    return padded


class _OnFeatures(RegressorMixin, BaseEstimator):
    """Rows index a feature matrix (n, d)."""

    features: Floats

    def _rows(self, X: Any) -> Floats:
        rows, _ = split_rows(X)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.features)):
            raise ValueError(f"row ids must be 0 to {len(self.features) - 1}; got {rows.min()} to {rows.max()}")
        return np.asarray(self.features)[rows]

    def _checked(self, X: Any, y: Any) -> tuple[Floats, Floats]:
        rows, _ = split_rows(X)
        target = np.asarray(y, dtype=float).reshape(-1)
        check_targets(rows, target, len(self.features))
        return self._rows(X), target

    def pretrain(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Learn the cheap fidelity; its prediction becomes one more feature."""
        cheap = clone(self).fit(X, y)
        every = np.arange(len(self.features))[:, None]
        self.features = np.column_stack([self.features, cheap.predict(every)])
        return self

    def embed(self, X: Any) -> Floats:
        """The standardised features (n, d)."""
        check_is_fitted(self, "scaler_")
        return (self._rows(X) - self.scaler_.mean_) / self.scaler_.scale_

    def predict(self, X: Any, return_std: bool = False) -> Any:
        raise NotImplementedError


class CompositionForest(_OnFeatures):
    """Extremely randomised trees; sigma is the spread of the trees (Geurts et al., 2006).

    Trees are grown to single examples up to `LEAVES` of them and no further beyond, so that a forest has a largest
    size (15 MB) however many labels it has learned from.
    """

    def __init__(self, features: Floats, trees: int = 200, members: int = 5, seed: int = 0):
        """
        Args:
            features: (rows of the space, d).
            trees: number of trees; members are equal groups of them.
        """
        self.features = features
        self.trees = trees
        self.members = members
        self.seed = seed

    def fit(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Train on rows X (n, 1) and y (n,), in one go: there are no epochs to report."""
        features, target = self._checked(X, y)
        self.scaler_ = StandardScaler().fit(self.features)
        leaves = LEAVES if len(target) > LEAVES else None  # a bound that is not reached would draw other trees
        forest = ExtraTreesRegressor(
            self.trees, min_samples_leaf=1, max_leaf_nodes=leaves, max_features=0.5, random_state=self.seed
        )
        self.forest_ = forest.fit(features, target)
        return self

    def _trees(self, X: Any) -> Floats:
        check_is_fitted(self, "forest_")
        features = self._rows(X).astype(np.float32)
        if not len(features):
            return np.zeros((self.trees, 0))
        return np.stack([tree.predict(features) for tree in self.forest_.estimators_])

    def predict_members(self, X: Any) -> Floats:
        """(members, n): means of groups of trees."""
        groups = np.array_split(np.arange(self.trees), self.members)
        return np.concatenate([[trees[g].mean(axis=0) for g in groups] for trees in self._chunks(X)], axis=1)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean (n,) and, if asked, the standard deviation over the trees (n,)."""
        parts = [(trees.mean(axis=0), trees.std(axis=0)) for trees in self._chunks(X)]
        mean, std = (np.concatenate(values) for values in zip(*parts, strict=True))
        return (mean, std) if return_std else mean

    def _chunks(self, X: Any) -> Iterator[Floats]:
        """The trees' predictions (trees, n) of so many rows at a time: a space has 10^5, and a forest 200 trees."""
        for start in range(0, max(len(X), 1), CHUNK):
            yield self._trees(X[start : start + CHUNK])
