"""What the agent asks of a model, so that it never needs to know one."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
