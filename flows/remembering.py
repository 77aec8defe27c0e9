"""A surrogate that is asked once about the whole space and remembers its answers.

A model does not change between two trainings, but is asked again and again: for the ranking, for the next batch, in
streaming for every single proposal. Scoring a space of 10^5 compositions takes a network minutes, looking up nothing.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent.learner import Surrogate

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class Remembered:
    """Answers like `surrogate`, for rows 0 to `rows` - 1, from one question of each kind. Thread-safe."""

    def __init__(self, surrogate: Surrogate, rows: int) -> None:
        self.surrogate = surrogate
        self._all = np.arange(rows, dtype=np.int64)[:, None]
        self._asking = threading.RLock()

    def fit(self, X: Rows, y: Floats) -> Self:
        raise TypeError("a remembered surrogate is not trained again: wrap the trained one anew")

    def predict(self, X: Rows, return_std: bool = False) -> Any:
        with self._asking:
            mean, sigma = self._predicted
        return (mean[X.ravel()], sigma[X.ravel()]) if return_std else mean[X.ravel()]

    def predict_members(self, X: Rows) -> Floats:
        with self._asking:
            return self._members[:, X.ravel()]

    def embed(self, X: Rows) -> Floats:
        with self._asking:
            return self._embedded[X.ravel()]

    @cached_property
    def _predicted(self) -> tuple[Floats, Floats]:
        mean, sigma = self.surrogate.predict(self._all, return_std=True)
        return np.asarray(mean), np.asarray(sigma)

    @cached_property
    def _members(self) -> Floats:
        return self.surrogate.predict_members(self._all)

    @cached_property
    def _embedded(self) -> Floats:
        return self.surrogate.embed(self._all)
