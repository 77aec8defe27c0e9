"""Cheap surrogates on fixed descriptors, so that the agent can be tried and back-tested without a neural
network.

Both satisfy `agent.learner.Surrogate`: X is (n, 1) row ids into the feature table that they hold.
"""

from __future__ import annotations

import warnings
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["gp", "rf"]


class GaussianProcess:
    """Matérn-5/2 process with noise, hyperparameters by maximum likelihood, started from the previous fit's.

    The uncertainty is that of the noise-free function: what another label of the same row would scatter by is
    not something to explore. Cost of a fit grows as n³ (200 labels: about 0.2 s), of a prediction as n².

    With a cheap fidelity the process models what that leaves: y = a + b cheap + GP (Kennedy & O'Hagan,
    Biometrika 87, 1 (2000)), where b is a least-squares slope drawn towards 1 while labels are few.

    Args:
        features: (rows, d), scaled.
        seed: of the draws that stand for ensemble members.
        cheap: (rows,) a cheap fidelity known for every row, in the unit of the labels.
    """

    #: Labels that the prior slope of 1 counts as.
    PRIOR_LABELS = 10
    MEMBERS = 16
    #: Hyperparameters are tuned again when there are so many times more labels than the last time.
    RETUNE = 1.3

    def __init__(self, features: Floats, seed: int = 0, cheap: Floats | None = None) -> None:
        self.features, self.seed, self.cheap = features, seed, cheap
        scale = np.sqrt(max(1, features.shape[1]))
        self.kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(scale, (0.1 * scale, 100 * scale), nu=2.5)
        self.kernel = self.kernel + WhiteKernel(0.3, (1e-4, 3.0))
        self.tuned_at = 0

    def fit(self, X: Ints, y: Floats) -> Self:
        if not np.isfinite(y).all():
            raise ValueError("a label is not finite")
        self._fit_trend(X[:, 0], y)
        y = y - self._trend(X[:, 0])
        tune = len(y) < self.tuned_at or len(y) >= self.RETUNE * self.tuned_at
        self.tuned_at = len(y) if tune else self.tuned_at
        self.model = GaussianProcessRegressor(
            self.kernel,
            optimizer="fmin_l_bfgs_b" if tune else None,
            normalize_y=True,
            random_state=self.seed,
            alpha=1e-8,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound says: flat
            self.model.fit(self.features[X[:, 0]], y)
        self.kernel = self.model.kernel_
        self.noise = float(self.kernel.k2.noise_level) * float(np.std(y)) ** 2
        return self

    def _fit_trend(self, rows: Ints, y: Floats) -> None:
        self.slope, self.offset = 0.0, 0.0
        if self.cheap is None:
            return
        cheap = self.cheap[rows]
        spread = float(((cheap - cheap.mean()) ** 2).sum())
        prior = self.PRIOR_LABELS * float(self.cheap.var())
        self.slope = (float(((cheap - cheap.mean()) * (y - y.mean())).sum()) + prior) / (spread + prior)
        self.offset = float(y.mean() - self.slope * cheap.mean())

    def _trend(self, rows: Ints) -> Floats:
        return self.slope * self.cheap[rows] + self.offset if self.cheap is not None else np.zeros(len(rows))

    def predict(self, X: Ints, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        trend = self._trend(X[:, 0])
        if not return_std:
            return np.asarray(self.model.predict(self.features[X[:, 0]])) + trend
        mean, std = self.model.predict(self.features[X[:, 0]], return_std=True)
        return np.asarray(mean) + trend, np.sqrt(np.maximum(std**2 - self.noise, 1e-12))

    def predict_members(self, X: Ints) -> Floats:
        """Joint draws from the posterior, for at most 2,000 rows; independent ones by row above."""
        normal = np.random.default_rng(self.seed).normal(size=(self.MEMBERS, len(X)))
        if len(X) > 2_000:
            mean, std = self.predict(X, return_std=True)
            return np.asarray(mean + std * normal)
        mean, covariance = self.model.predict(self.features[X[:, 0]], return_cov=True)
        scale = float(np.diag(covariance).max())
        np.fill_diagonal(covariance, np.maximum(np.diag(covariance) - self.noise, 0) + 1e-6 * scale)
        return np.asarray(mean + self._trend(X[:, 0]) + normal @ cholesky(covariance))

    def embed(self, X: Ints) -> Floats:
        return self.features[X[:, 0]]


class RandomForest:
    """Random forest; the uncertainty is the spread between its trees.

    Args:
        features: (rows, d).
        seed: of bootstrap and splits.
        trees: number of trees.
    """

    def __init__(self, features: Floats, seed: int = 0, trees: int = 100) -> None:
        self.features, self.seed, self.trees = features, seed, trees

    def fit(self, X: Ints, y: Floats) -> Self:
        if not np.isfinite(y).all():
            raise ValueError("a label is not finite")
        self.model = RandomForestRegressor(
            self.trees, max_features=1 / 3, min_samples_leaf=2, random_state=self.seed, n_jobs=1
        )
        self.model.fit(self.features[X[:, 0]], y)
        return self

    def predict(self, X: Ints, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        members = self.predict_members(X)
        return (members.mean(axis=0), members.std(axis=0)) if return_std else members.mean(axis=0)

    def predict_members(self, X: Ints) -> Floats:
        rows = self.features[X[:, 0]]
        return np.array([tree.predict(rows) for tree in self.model.estimators_])

    def embed(self, X: Ints) -> Floats:
        return self.features[X[:, 0]]


def make_surrogate(
    kind: Kind, features: Floats, seed: int, cheap: Floats | None = None
) -> GaussianProcess | RandomForest:
    """A surrogate by its name in a configuration; a forest takes the cheap fidelity as one more feature."""
    if kind == "gp":
        return GaussianProcess(features, seed, cheap)
    return RandomForest(features if cheap is None else np.column_stack([features, cheap]), seed)
