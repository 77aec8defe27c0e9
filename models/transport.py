"""From structural features to transport: the SF-MSD model of Fu et al. (high-entropy LZSP), for any target.

Gradient boosting and random forest (scikit-learn), as in the paper, on the features of `models.structural_features`;
the target may be a mean squared displacement, a barrier, a conductivity. Beside every error stands the mean
predictor's. What a model pays heed to is told by Shapley values (Lundberg & Lee, NeurIPS 30 (2017); package shap) or,
without that package, by permutation; how much a prediction depends on the ordering that was drawn, by `stability`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GroupKFold, KFold

from models.metrics import Metrics, evaluate

Floats = NDArray[np.float64]

#: The two that the paper keeps. Shallow boosting with shrinkage: tables of this kind have a few hundred rows.
REGRESSORS: dict[str, Callable[[int], Any]] = {
    "gradient-boosting": lambda seed: GradientBoostingRegressor(
        n_estimators=300, learning_rate=0.05, max_depth=3, subsample=0.7, random_state=seed
    ),
    "random-forest": lambda seed: RandomForestRegressor(n_estimators=300, min_samples_leaf=2, random_state=seed),
}
#: Rows that must be there to train on.
LEAST_ROWS = 10


@dataclass(frozen=True)
class FeatureData:
    """Features (n, d) with their names, and a target (n,)."""

    features: Floats
    names: tuple[str, ...]
    target: Floats
    target_name: str
    ids: tuple[str, ...]

    @classmethod
    def of(cls, table: pd.DataFrame, target: str, features: Sequence[str] | None = None) -> FeatureData:
        """Out of a table with one row per structure.

        Args:
            features: columns to use; by default all columns of numbers but the target. A first column named id names
                the rows.

        Raises:
            ValueError: a column is missing or holds no numbers, or there are too few rows.
        """
        ids = table["id"].astype(str) if "id" in table.columns else pd.Series(map(str, range(1, len(table) + 1)))
        wanted = list(features or table.drop(columns=["id"], errors="ignore").select_dtypes("number").columns)
        names = [name for name in wanted if name != target]
        missing = [name for name in (target, *names) if name not in table.columns]
        if missing:
            raise ValueError(
                f"table: column {', '.join(missing)} missing; it has {', '.join(map(str, table.columns))}"
            )
        if not names:
            raise ValueError(f"table: no column of numbers beside {target} is left for features")
        values = table[[target, *names]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = bad[0]
            raise ValueError(
                f"table: row {row + 1} ({ids.iloc[row]}) has no finite number in {[target, *names][column]}"
            )
        if len(values) < LEAST_ROWS:
            raise ValueError(f"table: {len(values)} rows; at least {LEAST_ROWS} are needed to learn from")
        if np.ptp(values[:, 0]) == 0:
            raise ValueError(f"table: {target} is {values[0, 0]:g} in every row, so there is nothing to learn")
        if not np.ptp(values[:, 1:], axis=0).any():
            raise ValueError(
                "table: every feature is the same in all rows (unrelaxed structures?): nothing to learn from"
            )
        return cls(values[:, 1:], tuple(names), values[:, 0], target, tuple(ids))

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class OutOfFold:
    """A regressor's predictions (n,) of rows it had not seen, with their metrics."""

    name: str
    predicted: Floats
    metrics: Metrics
    mae_spread: float  # standard deviation of the MAE over the folds
    folds: int

    @property
    def skilled(self) -> bool:
        """Whether the error is below the mean predictor's by more than its own standard error over the folds."""
        return self.metrics.mae_mean - self.metrics.mae > self.mae_spread / math.sqrt(self.folds)


def cross_validate(
    data: FeatureData,
    folds: int = 5,
    seed: int = 0,
    regressors: Sequence[str] = tuple(REGRESSORS),
    groups: Sequence[str] | None = None,
) -> dict[str, OutOfFold]:
    """Each regressor on the same shuffled folds.

    `groups`, one per row, are never torn apart: orderings of one composition stand in one fold.

    `metrics.mae_mean` is the error of predicting the mean of the other folds, on the same rows.

    Raises:
        ValueError: fewer rows than folds, or no such regressor.
    """
    if not 2 <= folds <= len(data):
        raise ValueError(f"table: {folds} folds of {len(data)} rows; allowed: 2 to {len(data)}")
    if groups is None:
        splits = list(KFold(folds, shuffle=True, random_state=seed).split(data.features))
    elif len(set(groups)) < folds:
        raise ValueError(f"table: {folds} folds of {len(set(groups))} compositions; allowed: 2 to {len(set(groups))}")
    else:
        splits = list(GroupKFold(folds, shuffle=True, random_state=seed).split(data.features, groups=groups))
    means = np.zeros(len(data))
    for train, test in splits:
        means[test] = data.target[train].mean()
    mean_error = float(np.abs(data.target - means).mean())
    found = {}
    for name in regressors:
        predicted = np.zeros(len(data))
        for train, test in splits:
            predicted[test] = (
                _regressor(name, seed).fit(data.features[train], data.target[train]).predict(data.features[test])
            )
        metrics = evaluate(data.target, predicted)
        metrics = replace(metrics, mae_mean=mean_error)
        errors = [float(np.abs(predicted[test] - data.target[test]).mean()) for _, test in splits]
        found[name] = OutOfFold(name, predicted, metrics, float(np.std(errors)), folds)
    return found


def fit(data: FeatureData, regressor: str = "gradient-boosting", seed: int = 0) -> Any:
    """A regressor trained on all rows.

    Raises:
        ValueError: no such regressor.
    """
    return _regressor(regressor, seed).fit(data.features, data.target)


@dataclass(frozen=True)
class Importances:
    """What a model pays heed to.

    Attributes:
        names: features, the most important first.
        mean_abs: (d,) mean absolute contribution (target's unit): of Shapley values, or the increase of the MAE when
            a column is shuffled.
        direction: (d,) Spearman correlation of a feature's value with its contribution: +1 if more of it means a
            higher target; NaN by permutation.
        values: (n, d) contributions themselves, or None by permutation.
        features: (n, d) what they belong to, in the order of `names`.
        method: "shap" or "permutation".
    """

    names: tuple[str, ...]
    mean_abs: Floats
    direction: Floats
    values: Floats | None
    features: Floats
    method: str


def importances(model: Any, data: FeatureData, seed: int = 0, method: str = "shap") -> Importances:
    """By Shapley values of a tree model, exact (TreeExplainer), or by permutation.

    Raises:
        ImportError: shap is asked for and not installed.
        ValueError: no such method.
    """
    if method == "shap":
        values = shapley_values(model, data.features)
        strength = np.abs(values).mean(axis=0)
        direction = np.array([_correlation(data.features[:, i], values[:, i]) for i in range(len(data.names))])
    elif method == "permutation":
        values = None
        found = permutation_importance(
            model, data.features, data.target, scoring="neg_mean_absolute_error", n_repeats=20, random_state=seed
        )
        strength, direction = found.importances_mean, np.full(len(data.names), np.nan)
    else:
        raise ValueError(f"importances: method {method!r}; allowed: shap, permutation")
    order = np.argsort(-strength, kind="stable")
    return Importances(
        names=tuple(data.names[i] for i in order),
        mean_abs=strength[order],
        direction=direction[order],
        values=None if values is None else values[:, order],
        features=data.features[:, order],
        method=method,
    )


def shapley_values(model: Any, features: Floats) -> Floats:
    """(n, d) contributions in the target's unit: with the model's mean they sum to its prediction, row by row.

    Raises:
        ImportError: shap is not installed.
    """
    try:
        import shap
    except ImportError as error:
        raise ImportError("Shapley values need the package shap: pip install 'ionloop[interpret]'") from error
    return np.asarray(shap.TreeExplainer(model).shap_values(features), dtype=float)


@dataclass(frozen=True)
class Stability:
    """How features and predictions spread over random orderings of one composition.

    Attributes:
        spread: standard deviation of each feature over the orderings, and `share` of it in the feature's standard
            deviation over compositions: 1 means that orderings differ as much as compositions do.
        predictions: (n,) by regressor, in the target's unit.
    """

    spread: dict[str, float]
    share: dict[str, float]
    predictions: dict[str, Floats]

    def prediction_share(self, target: Floats) -> dict[str, float]:
        """Spread of the predictions over orderings, as a share of the spread of the target over compositions."""
        return {name: float(values.std() / target.std()) for name, values in self.predictions.items()}


def stability(
    data: FeatureData, orderings: pd.DataFrame, regressors: Sequence[str] = tuple(REGRESSORS), seed: int = 0
) -> Stability:
    """Train on `data`, and predict the orderings of one composition.

    Raises:
        ValueError: fewer than two orderings, or a feature is missing from their table.
    """
    if len(orderings) < 2:
        raise ValueError(f"stability: {len(orderings)} ordering; at least two are needed to see a spread")
    missing = [name for name in data.names if name not in orderings.columns]
    if missing:
        raise ValueError(f"stability: the orderings lack {', '.join(missing)}")
    features = orderings[list(data.names)].to_numpy(dtype=float)
    if not np.isfinite(features).all():
        raise ValueError("stability: a feature of an ordering is no finite number")
    own, between = features.std(axis=0), data.features.std(axis=0)
    share = np.divide(own, between, out=np.full(len(own), np.nan), where=between > 1e-12)
    return Stability(
        spread=dict(zip(data.names, own.tolist(), strict=True)),
        share=dict(zip(data.names, share.tolist(), strict=True)),
        predictions={name: fit(data, name, seed).predict(features) for name in regressors},
    )


def _regressor(name: str, seed: int) -> Any:
    if name not in REGRESSORS:
        raise ValueError(f"regressor {name!r}: allowed are {', '.join(REGRESSORS)}")
    return REGRESSORS[name](seed)


def _correlation(a: Floats, b: Floats) -> float:
    from models.metrics import rank_correlation

    return rank_correlation(a, b)
