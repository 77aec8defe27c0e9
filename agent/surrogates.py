"""Cheap surrogates on fixed descriptors, so that the agent can be tried and back-tested without a neural
network.

Both satisfy `agent.learner.Surrogate`: X is (n, 1) row ids into the feature table that they hold.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.ensemble import RandomForestRegressor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["gp", "rf"]


class GaussianProcess:
    """Linear plus Matérn-5/2 process with noise (Rasmussen & Williams, 2006, algorithm 2.1).

    The linear part is what few labels teach (on compositions: one contribution per ion), the Matérn part what more
    of them add. Four hyperparameters (weight of either part, length, noise) by maximum of likelihood times a broad
    prior, which holds them where a dozen labels say nothing; started from the previous fit's. The uncertainty is that
    of the noise-free function: what another label of the same row would scatter by is not something to explore. Cost
    of a fit grows as n³, of a prediction as n².

    With a cheap fidelity the process models what that leaves: y = a + b cheap + GP (Kennedy & O'Hagan,
    Biometrika 87, 1 (2000)), where b is a least-squares slope drawn towards 1 while labels are few.

    Args:
        features: (rows, d), scaled: mean square of all columns about 1.
        seed: of the draws that stand for ensemble members.
        cheap: (rows,) a cheap fidelity known for every row, in the unit of the labels.
    """

    #: Labels that the prior slope of 1 counts as.
    PRIOR_LABELS = 10
    MEMBERS = 16
    #: Hyperparameters are tuned again when there are so many times more labels than the last time.
    RETUNE = 1.3
    #: Prior mean and spread of the logarithms of linear weight, Matérn weight, length, noise (labels: variance 1).
    PRIOR = np.array([0.0, 0.0, 0.0, -1.0])
    SPREAD = 1.5

    def __init__(self, features: Floats, seed: int = 0, cheap: Floats | None = None) -> None:
        self.features, self.seed, self.cheap = features / np.sqrt(max(1, features.shape[1])), seed, cheap
        self.logarithms = self.PRIOR.copy()
        self.tuned_at = 0

    def fit(self, X: Ints, y: Floats) -> Self:
        if not np.isfinite(y).all():
            raise ValueError("a label is not finite")
        self._fit_trend(X[:, 0], y)
        y = y - self._trend(X[:, 0])
        self.mean, self.scale = float(y.mean()), float(y.std()) or 1.0
        self.inputs, target = self.features[X[:, 0]], (y - self.mean) / self.scale
        if len(y) < self.tuned_at or len(y) >= self.RETUNE * self.tuned_at:
            self.tuned_at = len(y)
            gram, distance = self.inputs @ self.inputs.T, cdist(self.inputs, self.inputs)
            bounds = [(-6.0, 5.0)] * len(self.PRIOR)
            loss = partial(self._loss, gram, distance, target)
            found = minimize(loss, self.logarithms, method="L-BFGS-B", bounds=bounds, options={"maxiter": 20})
            self.logarithms = found.x
        self.factor = cho_factor(self._noisy(self._kernel(self.inputs), self.logarithms))
        self.weights = cho_solve(self.factor, target)
        return self

    def _loss(self, gram: Floats, distance: Floats, target: Floats, logarithms: Floats) -> float:
        """Minus the logarithm of likelihood times prior."""
        try:
            lower = cholesky(self._noisy(_covariance(gram, distance, logarithms), logarithms), lower=True)
        except np.linalg.LinAlgError:
            return 1e10
        white = solve_triangular(lower, target, lower=True)
        prior = (((logarithms - self.PRIOR) / self.SPREAD) ** 2).sum()
        return float(0.5 * white @ white + np.log(np.diag(lower)).sum() + 0.5 * prior)

    def _noisy(self, covariance: Floats, logarithms: Floats) -> Floats:
        return np.asarray(covariance + (np.exp(logarithms[3]) + 1e-8) * np.eye(len(covariance)))

    def _kernel(self, rows: Floats) -> Floats:
        return _covariance(rows @ self.inputs.T, cdist(rows, self.inputs), self.logarithms)

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
        rows = self.features[X[:, 0]]
        cross = self._kernel(rows)
        mean = self.mean + self.scale * cross @ self.weights + self._trend(X[:, 0])
        if not return_std:
            return np.asarray(mean)
        linear, matern = np.exp(self.logarithms[:2])
        prior = linear * (rows**2).sum(axis=1) + matern
        variance = prior - np.einsum("ij,ji->i", cross, cho_solve(self.factor, cross.T))
        return np.asarray(mean), self.scale * np.sqrt(np.maximum(variance, 1e-12))

    def predict_members(self, X: Ints) -> Floats:
        """Joint draws from the posterior, for at most 2,000 rows; independent ones by row above."""
        normal = np.random.default_rng(self.seed).normal(size=(self.MEMBERS, len(X)))
        mean, std = self.predict(X, return_std=True)
        if len(X) > 2_000:
            return np.asarray(mean + std * normal)
        rows = self.features[X[:, 0]]
        cross = self._kernel(rows)
        prior = _covariance(rows @ rows.T, cdist(rows, rows), self.logarithms)
        covariance = prior - cross @ cho_solve(self.factor, cross.T)
        steady = covariance + 1e-6 * float(np.diag(prior).max()) * np.eye(len(X))
        return np.asarray(mean + self.scale * normal @ cholesky(steady))

    def embed(self, X: Ints) -> Floats:
        return self.features[X[:, 0]]


def _covariance(gram: Floats, distance: Floats, logarithms: Floats) -> Floats:
    """Linear plus Matérn-5/2 kernel from inner products and distances."""
    linear, matern, length, _ = np.exp(logarithms)
    reach = np.sqrt(5.0) * distance / length
    return np.asarray(linear * gram + matern * (1 + reach + reach**2 / 3) * np.exp(-reach))


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
