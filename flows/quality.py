"""How good the model's predictions were, judged by labels that it had not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.schema import LabelRow, ProposalRow
from models.metrics import evaluate

#: Our names for `models.metrics.Metrics`, with units.
NAMES = {
    "mae": "mae_eV",
    "rmse": "rmse_eV",
    "r2": "r2",
    "spearman": "spearman",
    "nll": "nll",
    "crps": "crps_eV",
    "miscalibration": "miscalibration_area",
    "coverage90": "coverage_90",
    "error_correlation": "error_sigma_correlation",
}


def prospective_quality(labelled: Sequence[tuple[ProposalRow, LabelRow]]) -> dict[str, Any]:
    """Errors of predictions made before labelling, beside those of the mean of the other labels.

    Prospective: every prediction was committed to the ledger before its label was computed, so nothing is held
    out by hand. Chosen points are no random sample, so this is a hard test. What needs more labels than there
    are comes out as None.
    """
    pairs = [(p.mean_eV, p.sigma_eV, label.value_eV) for p, label in labelled if p.mean_eV is not None]
    metrics: dict[str, Any] = {"n_labels": len(labelled), "n_predicted": len(pairs)}
    if not pairs:
        return metrics
    mean, sigma, values = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = evaluate(values, mean, sigma if np.isfinite(sigma).all() else None)
    metrics |= {ours: _number(getattr(found, theirs)) for theirs, ours in NAMES.items()}
    if len(values) > 1:
        others = (values.sum() - values) / (len(values) - 1)
        metrics["mean_predictor_mae_eV"] = _number(float(np.abs(others - values).mean()))
    return metrics


def held_out_quality(surrogate: Any) -> dict[str, Any]:
    """Coverage of 90 % intervals and NLL before and after the recalibration of a model's sigmas, on held-out labels.

    Cross-validated within the labels at hand; the recalibration was fitted to the same errors, so the honest judge of
    it is `coverage_90` of the rounds to come. Nothing, if the model was not recalibrated (yet).
    """
    metrics: dict[str, Any] = {}
    for kind, found in getattr(surrogate, "metrics_", {}).items():
        metrics[f"held_out_coverage_90_{kind}"] = _number(found.coverage90)
        metrics[f"held_out_nll_{kind}"] = _number(found.nll)
    return metrics


def _number(value: float) -> float | None:
    """A JSON number, or None for what is not finite."""
    return round(value, 6) if math.isfinite(value) else None
