"""How good the model's predictions were, judged by labels that it had not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, spearmanr

from agent.schema import LabelRow, ProposalRow

#: Half width of the central 90 % interval of a normal distribution, in standard deviations.
Z_90 = float(norm.ppf(0.95))


def prospective_quality(labelled: Sequence[tuple[ProposalRow, LabelRow]]) -> dict[str, float | int | None]:
    """Errors (eV) of predictions made before labelling, beside those of the mean of the other labels.

    Prospective: every prediction was committed to the ledger before its label was computed, so nothing is
    held out by hand. Chosen points are not a random sample, so this is a hard test. Metrics that need more
    labels than there are come out as None.
    """
    pairs = [(p.mean_eV, p.sigma_eV, label.value_eV) for p, label in labelled if p.mean_eV is not None]
    values = np.array([value for _, _, value in pairs], dtype=float)
    metrics: dict[str, float | int | None] = {"n_labels": len(labelled), "n_predicted": len(pairs)}
    if not pairs:
        return metrics
    mean = np.array([mean for mean, _, _ in pairs], dtype=float)
    sigma = np.array([np.nan if sigma is None else sigma for _, sigma, _ in pairs], dtype=float)
    error = mean - values
    metrics |= {"mae_eV": _number(np.abs(error).mean()), "rmse_eV": _number(np.sqrt((error**2).mean()))}
    if len(values) > 1:
        others = (values.sum() - values) / (len(values) - 1)
        metrics["mean_predictor_mae_eV"] = _number(np.abs(others - values).mean())
    if len(values) > 2 and np.ptp(values) > 0:
        metrics["r2"] = _number(1 - (error**2).sum() / ((values - values.mean()) ** 2).sum())
        metrics["spearman"] = _number(spearmanr(mean, values).statistic) if np.ptp(mean) > 0 else None
    if np.isfinite(sigma).all() and (sigma > 0).all():
        metrics["coverage_90"] = _number((np.abs(error) <= Z_90 * sigma).mean())
        metrics["nll"] = _number(-norm.logpdf(values, mean, sigma).mean())
    return metrics


def _number(value: float) -> float | None:
    """A JSON number, or None for what is not finite."""
    return round(float(value), 6) if np.isfinite(value) else None
