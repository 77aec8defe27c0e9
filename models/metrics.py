"""How good are predictions, and how honest their sigmas."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr
from uncertainty_toolbox.metrics_calibration import miscalibration_area
from uncertainty_toolbox.metrics_scoring_rule import crps_gaussian, nll_gaussian

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metrics:
    """All in the units of y or without; NaN where undefined (no sigma, constant values, one label).

    Attributes:
        n: number of labels.
        mae, rmse: of the model; `mae_mean` that of predicting `reference` for all: every MAE stands beside it.
        r2: coefficient of determination against the mean of y.
        spearman: rank correlation of mean and y.
        nll, crps: Gaussian negative log-likelihood and continuous ranked probability score, per label.
        miscalibration: area between expected and observed coverage, 0 is best, 0.5 worst.
        coverage90: share of labels inside the central 90 % interval of the Gaussian.
        error_correlation: Spearman correlation of |error| with sigma.
    """

    n: int
    mae: float
    rmse: float
    mae_mean: float
    r2: float
    spearman: float
    nll: float = float("nan")
    crps: float = float("nan")
    miscalibration: float = float("nan")
    coverage90: float = float("nan")
    error_correlation: float = float("nan")

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's rho; NaN if either is constant or there are fewer than three values."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def evaluate(y: Floats, mean: Floats, sigma: Floats | None = None, reference: float | None = None) -> Metrics:
    """Metrics of predictions (n,) of y (n,).

    Args:
        sigma: standard deviations; without them, or where one is zero, what needs them is NaN.
        reference: what a model without inputs predicts, e.g. the mean of the training labels; default the mean of y.

    Raises:
        ValueError: shapes differ, nothing to compare, or values that are not finite.
    """
    y, mean = np.asarray(y, float), np.asarray(mean, float)
    if y.shape != mean.shape or y.ndim != 1 or not len(y):
        raise ValueError(f"y {y.shape} and mean {mean.shape} must be the same, one-dimensional and not empty")
    if not (np.isfinite(y).all() and np.isfinite(mean).all()):
        raise ValueError("y and mean must be finite numbers")
    error = mean - y
    spread = float(np.sum((y - y.mean()) ** 2))
    point = {
        "n": len(y),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mae_mean": float(np.abs(y - (y.mean() if reference is None else reference)).mean()),
        "r2": 1 - float(np.sum(error**2)) / spread if spread > 0 else float("nan"),
        "spearman": rank_correlation(mean, y),
    }
    if sigma is None or not (np.asarray(sigma) > 0).all():
        return Metrics(**point)  # type: ignore[arg-type]
    sigma = np.asarray(sigma, float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        area = miscalibration_area(mean, sigma, y, num_bins=100, vectorized=True)
    return Metrics(
        **point,  # type: ignore[arg-type]
        nll=float(nll_gaussian(mean, sigma, y)),
        crps=float(crps_gaussian(mean, sigma, y)),
        miscalibration=float(area),
        coverage90=float((np.abs(error) <= norm.ppf(0.95) * sigma).mean()),
        error_correlation=rank_correlation(np.abs(error), sigma),
    )
