"""What the agent asks of a model, so that it never needs to know one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agent.composition import Composition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@runtime_checkable
class Surrogate(Protocol):
    """A scikit-learn regressor over rows. X is (n, 1) of row ids; the estimator holds the graphs or features.

    Every row is one *ordering*; a composition's prediction aggregates its orderings.
    """

    def fit(self, X: NDArray[np.int64], y: Floats) -> Self:
        """Train on rows X (n, 1) with barriers y (n,) in eV."""
        ...

    def predict(self, X: NDArray[np.int64], return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Mean (n,) and, if asked, standard deviation (n,), both in eV."""
        ...

    def predict_members(self, X: NDArray[np.int64]) -> Floats:
        """Prediction of every ensemble member, (members, n), eV: what Thompson sampling draws from."""
        ...

    def embed(self, X: NDArray[np.int64]) -> Floats:
        """Pooled embedding (n, d) in which distance means dissimilarity to the model."""
        ...


@dataclass(frozen=True)
class CandidatePool:
    """What may be proposed: n compositions, each with K orderings, which are the rows that a surrogate knows.

    Attributes:
        compositions: n compositions (or any other things with an identity, in a back-test).
        rows: (n, K) row ids; `rows[i, k]` is ordering k of composition i.
        clusters: (n,) cluster of each composition.
        allowed: (n,) what the constraints let through (excluded elements, E_hull, a person's veto); all if
            left out.
        features: (n, d) whose distance means dissimilarity before there is a model; only `maximin` asks for them.
    """

    compositions: Sequence[Composition]
    rows: Ints
    clusters: Ints
    allowed: NDArray[np.bool_] = field(default_factory=lambda: np.ones(0, dtype=bool))
    features: Floats | None = None

    def __post_init__(self) -> None:
        n = len(self.compositions)
        if self.allowed.size == 0:
            object.__setattr__(self, "allowed", np.ones(n, dtype=bool))
        for name in ("rows", "clusters", "allowed", "features"):
            part = getattr(self, name)
            if part is not None and len(part) != n:
                raise ValueError(f"pool.{name} has {len(part)} entries for {n} compositions")

    @classmethod
    def of(
        cls,
        compositions: Sequence[Composition],
        clusters: Ints,
        orderings: int = 1,
        allowed: NDArray[np.bool_] | None = None,
        features: Floats | None = None,
    ) -> Self:
        """The usual layout: ordering k of composition i is row i * `orderings` + k."""
        rows = np.arange(len(compositions) * orderings).reshape(len(compositions), orderings)
        return cls(compositions, rows, clusters, np.ones(0, dtype=bool) if allowed is None else allowed, features)

    def __len__(self) -> int:
        return len(self.compositions)


@dataclass(frozen=True)
class Observation:
    """A label as the agent sees it: which composition (index in the pool), which of its orderings, the
    barrier.
    """

    composition: int
    ordering: int
    value_eV: float


class CompositionEstimator:
    """Turns a surrogate over orderings into one over compositions: X is (n, K) row ids, one composition a
    row.

    The mean is that of the K orderings. The variance is the model's own (mean over the orderings, which the
    model misjudges together) plus the squared standard error of the mean over K different orderings.
    """

    def __init__(self, surrogate: Surrogate) -> None:
        self.surrogate = surrogate

    def fit(self, X: Ints, y: Floats) -> Self:
        self.surrogate.fit(X, y)
        return self

    def predict(self, X: Ints, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Mean (n,) and standard deviation (n,), eV."""
        rows, place = np.unique(X, return_inverse=True)
        predicted = self.surrogate.predict(rows[:, None], return_std=True)
        mean, std = (np.asarray(part, dtype=float)[place].reshape(X.shape) for part in predicted)
        if not return_std:
            return np.asarray(mean.mean(axis=1))
        spread = mean.var(axis=1, ddof=1) / X.shape[1] if X.shape[1] > 1 else 0.0
        return mean.mean(axis=1), np.sqrt((std**2).mean(axis=1) + spread)

    def predict_members(self, X: Ints) -> Floats:
        """(members, n), eV."""
        rows, place = np.unique(X, return_inverse=True)
        members = self.surrogate.predict_members(rows[:, None])[:, place]
        return np.asarray(members.reshape(len(members), *X.shape).mean(axis=2))

    def embed(self, X: Ints) -> Floats:
        """(n, d)."""
        rows, place = np.unique(X, return_inverse=True)
        embedded = self.surrogate.embed(rows[:, None])[place]
        return np.asarray(embedded.reshape(*X.shape, -1).mean(axis=1))
