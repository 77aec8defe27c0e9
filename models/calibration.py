"""Sigmas one can trust: recalibration on held-out folds, and conformal intervals.

An ensemble's spread tells where it is unsure, seldom by how much. `Recalibrated` wraps any of our
estimators: at every fit it predicts each label by models that have not seen it, fits sigma^2 -> (a
sigma)^2 + b^2 to those errors, and keeps the metrics before and after. It costs `folds` more trainings.
"""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from mapie.conformity_scores import ResidualNormalisedScore
from mapie.regression import SplitConformalRegressor
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_is_fitted

from models.metrics import Metrics, evaluate
from models.training import OnEpoch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SigmaScale:
    """sigma^2 -> (factor * sigma)^2 + floor^2."""

    factor: float = 1.0
    floor: float = 0.0

    def __call__(self, sigma: Floats) -> Floats:
        return np.sqrt((self.factor * sigma) ** 2 + self.floor**2)

    @classmethod
    def fitted(cls, error: Floats, sigma: Floats) -> Self:
        """Maximum likelihood on held-out errors (n,), Gaussian; a weak pull of the factor to 1 for few labels."""
        scale = float(np.sqrt(np.mean(error**2)))
        if scale == 0:
            return cls(1.0, 0.0)
        usual = float(np.sqrt(np.mean(sigma**2))) or scale

        def loss(logarithms: Floats) -> float:
            factor, floor = np.exp(logarithms) * [scale / usual, scale]
            variance = (factor * sigma) ** 2 + floor**2
            fit = 0.5 * np.sum(np.log(variance / scale**2) + error**2 / variance)
            return float(fit + 0.5 * (logarithms[0] / 2) ** 2 + 0.5 * ((logarithms[1] + 1) / 2) ** 2)

        found = minimize(loss, np.array([0.0, -1.0]), bounds=[(-6, 4), (-6, 3)])
        factor, floor = np.exp(found.x) * [scale / usual, scale]
        return cls(float(factor), float(floor))


class _Column(RegressorMixin, BaseEstimator):
    """MAPIE asks estimators for means and residuals; ours stand in the columns of X already."""

    n_features_in_ = 2  # MAPIE's sign of an estimator that is fitted

    def __init__(self, column: int = 0):
        self.column = column

    def fit(self, X: Floats, y: Floats) -> Self:
        return self

    def predict(self, X: Floats) -> Floats:
        return np.asarray(X)[:, self.column]


class ConformalIntervals:
    """Intervals that hold at least the stated share of exchangeable labels, whatever the model (by MAPIE).

    Split conformal prediction with residuals normalised by sigma (Lei et al., JASA 113, 1094 (2018), section 5.2).
    """

    def __init__(self, y: Floats, mean: Floats, sigma: Floats, confidence: float = 0.9):
        """
        Args:
            y, mean, sigma: held-out labels (n,) and their predictions.
            confidence: share of labels that the intervals are to hold.

        Raises:
            ValueError: too few labels for that share, or sigmas that are not positive.
        """
        needed = int(np.ceil(1 / (1 - confidence) - 1e-9))
        if len(y) < needed:
            raise ValueError(
                f"{len(y)} held-out labels are too few for {confidence:.0%} intervals; {needed} are needed"
            )
        if not (np.asarray(sigma) > 0).all():
            raise ValueError("conformal intervals need sigmas above zero")
        score = ResidualNormalisedScore(residual_estimator=_Column(1), prefit=True)
        self._mapie = SplitConformalRegressor(_Column(0), confidence, score, prefit=True)
        self._mapie.conformalize(np.column_stack([mean, sigma]), np.asarray(y, float))

    def __call__(self, mean: Floats, sigma: Floats) -> tuple[Floats, Floats]:
        """Lower and upper end (n,) for new predictions."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, ends = self._mapie.predict_interval(np.column_stack([mean, sigma]))
        return ends[:, 0, 0], ends[:, 1, 0]


def out_of_fold(
    estimator: Any,
    X: Any,
    y: Any,
    folds: int = 5,
    seed: int = 0,
    on_epoch: OnEpoch | None = None,
    groups: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats]:
    """Mean and sigma (n,) of every label by a copy of the estimator that was trained without its fold.

    Pre-trained weights of the estimator are kept. Folds are random; fewer labels than folds give leave-one-out.

    Args:
        groups: (n,) labels of one group are held out together: orderings of one composition would give each other
            away.

    Raises:
        ValueError: fewer than two labels (or groups).
    """
    X, y = np.asarray(X), np.asarray(y, float)
    kinds = len(y) if groups is None else len(np.unique(groups))
    if kinds < 2:
        raise ValueError("cross-validation needs at least two labels")
    folds = min(folds, kinds)
    if groups is None:
        splits = list(KFold(folds, shuffle=True, random_state=seed).split(X))
    else:
        splits = list(GroupKFold(folds, shuffle=True, random_state=seed).split(X, groups=groups))
    mean, sigma = np.zeros(len(y)), np.zeros(len(y))
    for number, (train, test) in enumerate(splits):
        fitted = copy.copy(estimator)
        if on_epoch is None:
            fitted.fit(X[train], y[train])
        else:
            fitted.fit(X[train], y[train], on_epoch=_part(on_epoch, number, len(splits) + 1))
        mean[test], sigma[test] = fitted.predict(X[test], return_std=True)
    return mean, sigma


def _part(on_epoch: OnEpoch, number: int, parts: int) -> OnEpoch:
    """Progress of one of several equal trainings as a part of the whole."""
    return lambda epoch, total, loss: on_epoch(number * total + epoch, parts * total, loss)


class Recalibrated(RegressorMixin, BaseEstimator):
    """An estimator with sigmas recalibrated at every fit; otherwise the estimator's own interface.

    Attributes after `fit`:
        scale_: the `SigmaScale`.
        metrics_: held-out `Metrics` with raw and with recalibrated sigmas, {"raw": ..., "recalibrated": ...}; the
            latter is fitted to the same labels, so the honest judge of it is the next round.
        held_out_: (y, mean, recalibrated sigma), from which `intervals` conformalises.
    """

    def __init__(self, estimator: Any, folds: int = 3, seed: int = 0, min_labels: int = 10, group_size: int = 1):
        """
        Args:
            estimator: an ensemble or surrogate of this package.
            folds: of the cross-validation.
            min_labels: with fewer labelled groups sigma stays as it is and there are no metrics.
            group_size: so many rows in a row are one group (orderings of one composition), which is held out as a
                whole.
        """
        self.estimator = estimator
        self.folds = folds
        self.seed = seed
        self.min_labels = min_labels
        self.group_size = group_size

    @classmethod
    def around(cls, pretrained: Any, **settings: Any) -> Self:
        """Of an estimator that is pre-trained already: every fit starts from what it has learned."""
        model = cls(pretrained, **settings)
        model.base_ = pretrained
        return model

    def pretrain(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Pre-train the estimator; every later fit starts from there."""
        self.base_ = clone(self.estimator)
        self.base_.pretrain(X, y, **({} if on_epoch is None else {"on_epoch": on_epoch}))
        return self

    def fit(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Cross-validate, recalibrate, then train on all."""
        y = np.asarray(y, float).reshape(-1)
        base = getattr(self, "base_", None) or clone(self.estimator)
        self.scale_, self.metrics_, self.held_out_ = SigmaScale(), {}, None
        groups = np.asarray(X).reshape(len(y), -1)[:, 0] // self.group_size
        if len(np.unique(groups)) >= self.min_labels:
            mean, raw = out_of_fold(
                base, X, y, self.folds, self.seed, on_epoch, groups if self.group_size > 1 else None
            )
            self.scale_ = SigmaScale.fitted(mean - y, raw)
            sigma = self.scale_(raw)
            self.metrics_ = {"raw": evaluate(y, mean, raw), "recalibrated": evaluate(y, mean, sigma)}
            self.held_out_ = (y, mean, sigma)
            on_epoch = None if on_epoch is None else _part(on_epoch, self.folds, self.folds + 1)
        self.estimator_ = copy.copy(base)
        self.estimator_.fit(X, y, **({} if on_epoch is None else {"on_epoch": on_epoch}))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean (n,) and, if asked, the recalibrated standard deviation (n,)."""
        check_is_fitted(self, "estimator_")
        if not return_std:
            return self.estimator_.predict(X)
        mean, sigma = self.estimator_.predict(X, return_std=True)
        return mean, self.scale_(sigma)

    def predict_members(self, X: Any) -> Floats:
        """(members, n), moved apart (or together) so that their spread is the recalibrated one."""
        members = self.estimator_.predict_members(X)
        mean = members.mean(axis=0)
        sigma = members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros(len(mean))
        wanted = self.scale_(sigma)
        factor = np.divide(wanted, sigma, out=np.ones_like(sigma), where=sigma > 0)
        return mean + (members - mean) * factor

    def embed(self, X: Any) -> Floats:
        return self.estimator_.embed(X)

    def intervals(self, X: Any, confidence: float = 0.9) -> tuple[Floats, Floats]:
        """Conformal lower and upper ends (n,).

        Raises:
            ValueError: too few labels were held out.
        """
        check_is_fitted(self, "estimator_")
        if self.held_out_ is None:
            raise ValueError(f"no held-out predictions: fit with at least {self.min_labels} labels first")
        return ConformalIntervals(*self.held_out_, confidence)(*self.predict(X, return_std=True))

    def report(self) -> dict[str, dict[str, float]]:
        """The metrics as plain dictionaries, for a ledger or a table."""
        return {name: metrics.to_dict() for name, metrics in self.metrics_.items()}

    def save(self, folder: Path | str) -> None:
        """Write the estimator and `calibration.json`."""
        check_is_fitted(self, "estimator_")
        self.estimator_.save(folder)
        held = None if self.held_out_ is None else [values.tolist() for values in self.held_out_]
        facts = {
            "scale": asdict(self.scale_),
            "metrics": self.report(),
            "held_out": held,
            "folds": self.folds,
            "seed": self.seed,
            "min_labels": self.min_labels,
            "group_size": self.group_size,
        }
        (Path(folder) / "calibration.json").write_text(json.dumps(facts) + "\n")

    @classmethod
    def load(cls, folder: Path | str, estimator: Any) -> Self:
        """Read what `save` wrote around an estimator that has been loaded from the same folder."""
        path = Path(folder) / "calibration.json"
        if not path.is_file():
            raise FileNotFoundError(f"{folder}: no calibration here (calibration.json is missing)")
        facts = json.loads(path.read_text())
        model = cls(estimator, facts["folds"], facts["seed"], facts["min_labels"], facts.get("group_size", 1))
        model.estimator_, model.scale_ = estimator, SigmaScale(**facts["scale"])
        if hasattr(estimator, "pretrained_"):
            model.base_ = estimator
        model.metrics_ = {name: Metrics(**values) for name, values in facts["metrics"].items()}
        held = facts["held_out"]
        model.held_out_ = None if held is None else (np.array(held[0]), np.array(held[1]), np.array(held[2]))
        return model
