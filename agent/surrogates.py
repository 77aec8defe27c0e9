"""Cheap surrogates on fixed descriptors, so that the agent can be tried and back-tested without a neural
network; `model.kind = "gp"` of a campaign and `gp` of `ionloop evaluate` are the same Gaussian process.

Both satisfy `agent.learner.Surrogate`: X is (n, 1) row ids into the feature table that they hold.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["gp", "rf"]


class GaussianProcess(RegressorMixin, BaseEstimator):
    """Linear plus Matérn-5/2 process with noise (Rasmussen & Williams, 2006, algorithm 2.1).

    The linear part is what few labels teach (on compositions: one contribution per ion), the Matérn part what more
    of them add. Four hyperparameters (weight of either part, length, noise) by maximum of likelihood times a broad
    prior, which holds them where a dozen labels say nothing; started from the previous fit's. The uncertainty is that
    of the noise-free function: what another label of the same row would scatter by is not something to explore. Cost
    of a fit grows as n³, of a prediction as n².

    With a cheap fidelity the process models what that leaves: y = a + b cheap + c around + GP (after Kennedy and
    O'Hagan, Biometrika 87, 1 (2000)). `around` is what the cheap labels of all *other* rows say of a row: a process
    learned from them and left out there. Where a cheap label is wrong by itself its neighbours' need not be, and they
    are known too. Slopes are by least squares, drawn towards 1/2 each while labels are few. Both are inputs too.

    Args:
        features: (rows, d), scaled: mean square of all columns about 1.
        seed: of the draws that stand for ensemble members.
        cheap: (rows,) a cheap fidelity known for every row, in the unit of the labels; or (rows, m) several of them,
            of which the first is the trend and the others are inputs only.
        around: (rows,) what `around` makes of the first one, if it is known already.
        members: number of draws.
    """

    #: Labels that the prior slopes count as.
    PRIOR_LABELS = 10
    #: Hyperparameters are tuned again when there are so many times more labels than the last time.
    RETUNE = 1.3
    #: What the first cheap fidelity, what is around it, and each further one weigh as inputs, all features being 1.
    SHARES = (1 / 6, 1 / 12, 1 / 24)
    #: Prior mean and spread of the logarithms of linear weight, Matérn weight, length, noise (labels: variance 1).
    PRIOR = np.array([0.0, 0.0, 0.0, -1.0])
    SPREAD = 1.5

    def __init__(
        self,
        features: Floats,
        seed: int = 0,
        cheap: Floats | None = None,
        around: Floats | None = None,
        members: int = 16,
    ) -> None:
        self.features, self.seed, self.cheap, self.around, self.members = features, seed, cheap, around, members

    def fit(self, X: Ints, y: Floats, on_epoch: object = None) -> Self:
        """Train on rows X (n, 1) and y (n,), in one go: there are no epochs to report.

        Raises:
            ValueError: X are not row ids, or a label is not finite.
        """
        rows, y = self._row_ids(X), np.asarray(y, dtype=float)
        if not np.isfinite(y).all():
            raise ValueError("a label is not finite")
        self._fit_trend(rows, y)
        y = y - self._trend(rows)
        self.mean_, self.scale_ = float(y.mean()), float(y.std()) or 1.0
        self.inputs_, target = self._inputs(rows), (y - self.mean_) / self.scale_
        if len(y) < getattr(self, "tuned_at_", 0) or len(y) >= self.RETUNE * getattr(self, "tuned_at_", 0):
            start = getattr(self, "logarithms_", self.PRIOR)
            gram, distance = self.inputs_ @ self.inputs_.T, cdist(self.inputs_, self.inputs_)
            bounds = [(-6.0, 5.0)] * len(self.PRIOR)
            loss = partial(self._loss, gram, distance, target)
            found = minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 20})
            self.logarithms_, self.tuned_at_ = found.x, len(y)
        self.factor_ = cho_factor(self._noisy(self._kernel(self.inputs_), self.logarithms_))
        self.target_ = target
        self.weights_ = cho_solve(self.factor_, target)
        return self

    def pretrain(self, X: Ints, y: Floats, on_epoch: object = None) -> Self:
        """Learn the cheap fidelity from some of its labels; its prediction for all rows becomes `cheap`."""
        every = np.arange(len(self.features))[:, None]
        process = clone(self).set_params(cheap=None, around=None).fit(X, y)
        self.cheap = np.asarray(process.predict(every))
        # It is a function of the features: what is around a row and the row itself say the same, and no input is new.
        self.from_cheap_ = np.column_stack([self.cheap, self.cheap]), np.empty((len(every), 0))
        self.learned_from_ = self.cheap
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

    def _row_ids(self, X: Any) -> Ints:
        """(n,) of X (n, 1)."""
        values, last = np.asarray(X), len(self.features) - 1
        if values.ndim != 2 or values.shape[1] != 1:
            raise ValueError(f"X has shape {values.shape}; expected (n, 1) row ids")
        rows = values[:, 0].astype(np.int64)
        if not np.array_equal(rows, values[:, 0]):
            raise ValueError("X must hold whole numbers: row ids")
        if len(rows) and (rows.min() < 0 or rows.max() > last):
            raise ValueError(f"row ids must be 0 to {last}; got {rows.min()} to {rows.max()}")
        return rows

    def _inputs(self, rows: Ints) -> Floats:
        parts = [self.features[rows]] + ([] if self.cheap is None else [self._learned_from_cheap()[1][rows]])
        inputs = np.hstack(parts)
        return np.asarray(inputs / np.sqrt(max(1, inputs.shape[1])))

    def _kernel(self, inputs: Floats) -> Floats:
        return _covariance(inputs @ self.inputs_.T, cdist(inputs, self.inputs_), self.logarithms_)

    def prior_mean(self) -> Floats:
        """(rows,) what the cheap fidelity alone says, before any label: the first round goes by it."""
        if self.cheap is None:
            raise ValueError("there is no cheap fidelity to say anything before the first label")
        return np.asarray(self._learned_from_cheap()[0].mean(axis=1))

    def held_out(self) -> Floats:
        """(n,) prediction for every row of the last fit without its own label (Rasmussen & Williams, eq. 5.12)."""
        inverse = cho_solve(self.factor_, np.eye(len(self.target_)))
        return np.asarray(self.mean_ + self.scale_ * (self.target_ - self.weights_ / np.diag(inverse)))

    def _learned_from_cheap(self) -> tuple[Floats, Floats]:
        """(rows, 2) the trends, cheap and around; (rows, 1 + m + ...) the inputs that they add. Computed once."""
        if getattr(self, "learned_from_", None) is not self.cheap:
            assert self.cheap is not None
            cheap = self.cheap.reshape(len(self.features), -1)
            beside = around(self.features, cheap[:, 0]) if self.around is None else self.around
            trends = np.column_stack([cheap[:, 0], beside])
            columns = np.column_stack([trends, cheap[:, 1:]])
            spread = columns.std(axis=0)
            shares = np.array([*self.SHARES[:2], *[self.SHARES[2]] * (cheap.shape[1] - 1)])
            whole = float((self.features**2).sum(axis=1).mean())
            scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0) * np.sqrt(shares * whole)
            self.from_cheap_, self.learned_from_ = (trends, scaled), self.cheap
        return self.from_cheap_

    def _fit_trend(self, rows: Ints, y: Floats) -> None:
        """Ridge regression on the trends, drawn towards their mean in the units in which they vary over all rows."""
        self.slopes_, self.offset_ = np.zeros(2), 0.0
        if self.cheap is None:
            return
        trends = self._learned_from_cheap()[0]
        mean = trends[rows].mean(axis=0)
        centred, prior = trends[rows] - mean, self.PRIOR_LABELS * np.cov(trends, rowvar=False)
        right = centred.T @ (y - y.mean()) + prior @ np.full(2, 0.5)
        self.slopes_ = np.linalg.lstsq(centred.T @ centred + prior, right)[0]
        self.offset_ = float(y.mean() - mean @ self.slopes_)

    def _trend(self, rows: Ints) -> Floats:
        if self.cheap is None:
            return np.zeros(len(rows))
        return np.asarray(self._learned_from_cheap()[0][rows] @ self.slopes_ + self.offset_)

    def predict(self, X: Ints, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Posterior mean (n,) and, if asked, standard deviation (n,) of the noise-free function."""
        check_is_fitted(self, "weights_")
        rows = self._row_ids(X)
        mean, sigma = np.zeros(len(rows)), np.zeros(len(rows))
        linear, matern = np.exp(self.logarithms_[:2])
        for part in _parts(len(rows)):
            inputs = self._inputs(rows[part])
            cross = self._kernel(inputs)
            mean[part] = self.mean_ + self.scale_ * cross @ self.weights_ + self._trend(rows[part])
            if return_std:
                prior = linear * (inputs**2).sum(axis=1) + matern
                variance = prior - np.einsum("ij,ji->i", cross, cho_solve(self.factor_, cross.T))
                sigma[part] = self.scale_ * np.sqrt(np.maximum(variance, 1e-12))
        return (mean, sigma) if return_std else mean

    def predict_members(self, X: Ints) -> Floats:
        """(members, n): functions drawn from the posterior by pathwise conditioning.

        A draw is a prior draw (its Matérn part by random Fourier features) plus the kernel-weighted correction at
        the labels (Wilson et al., ICML 2020, eq. 13), so that one draw is the same function wherever and however
        often it is evaluated.
        """
        check_is_fitted(self, "weights_")
        rows = self._row_ids(X)
        draws = np.zeros((self.members, len(rows)))
        for member in range(self.members):
            rng = np.random.default_rng((self.seed, 5, member))
            prior = _PriorDraw(self.inputs_.shape[1], self.logarithms_, rng)
            noise = rng.normal(size=len(self.target_)) * np.exp(self.logarithms_[3] / 2)
            correction = cho_solve(self.factor_, self.target_ - prior(self.inputs_) - noise)
            for part in _parts(len(rows)):
                inputs = self._inputs(rows[part])
                draws[member, part] = prior(inputs) + self._kernel(inputs) @ correction
        return np.asarray(self.mean_ + self.scale_ * draws + self._trend(rows))

    def embed(self, X: Ints) -> Floats:
        """The features (n, d)."""
        return np.asarray(self.features[self._row_ids(X)])


def around(features: Floats, cheap: Floats, most: int = 1_000) -> Floats:
    """(rows,) what the cheap labels (rows,) of all other rows say of each: leave-one-out means of a process.

    The process learns from `most` of them drawn at random where there are more, since its cost grows as their cube.
    """
    every = np.arange(len(features))
    known = np.random.default_rng(0).permutation(every)[:most] if len(every) > most else every
    process = GaussianProcess(features).fit(known[:, None], cheap[known])
    said = np.asarray(process.predict(every[:, None]))
    said[known] = process.held_out()
    return said


class _PriorDraw:
    """One function drawn from the linear plus Matérn-5/2 prior."""

    FREQUENCIES = 512

    def __init__(self, dimensions: int, logarithms: Floats, rng: np.random.Generator) -> None:
        linear, matern, length, _ = np.exp(logarithms)
        self.slopes = rng.normal(size=dimensions) * np.sqrt(linear)
        # A Matérn 5/2 kernel's spectral density is a Student t with 5 degrees of freedom.
        omega = rng.normal(size=(dimensions, self.FREQUENCIES)) / length
        self.omega = omega / np.sqrt(rng.chisquare(5, size=self.FREQUENCIES) / 5)
        self.phase = rng.uniform(0, 2 * np.pi, self.FREQUENCIES)
        self.weights = rng.normal(size=self.FREQUENCIES) * np.sqrt(2 * matern / self.FREQUENCIES)

    def __call__(self, rows: Floats) -> Floats:
        return np.asarray(rows @ self.slopes + np.cos(rows @ self.omega + self.phase) @ self.weights)


def _parts(n: int, size: int = 4096) -> list[slice]:
    """`n` rows in parts that bound the memory."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _covariance(gram: Floats, distance: Floats, logarithms: Floats) -> Floats:
    """Linear plus Matérn-5/2 kernel from inner products and distances."""
    linear, matern, length, _ = np.exp(logarithms)
    reach = np.sqrt(5.0) * distance / length
    return np.asarray(linear * gram + matern * (1 + reach + reach**2 / 3) * np.exp(-reach))


def on_descriptors(features: Floats, seed: int = 0, members: int = 16) -> GaussianProcess:
    """A process on descriptors of any units and widths (rows, d), which are standardised."""
    return GaussianProcess(StandardScaler().fit_transform(features), seed, members=members)


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
    kind: Kind, features: Floats, seed: int, cheap: Floats | None = None, around: Floats | None = None
) -> GaussianProcess | RandomForest:
    """A surrogate by its name in a configuration; a forest takes cheap fidelities as further features."""
    if kind == "gp":
        return GaussianProcess(features, seed, cheap, around)
    return RandomForest(features if cheap is None else np.column_stack([features, cheap]), seed)
