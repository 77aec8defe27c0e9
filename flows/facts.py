"""What the pictures of a campaign say in words: the same in the terminal, the report and Prefect."""

from __future__ import annotations

from collections import Counter

from flows.view import Acquisition, CampaignView
from flows.wording import number, plural

#: The figures of `RoundRow.metrics` that are shown, with their titles and decimal places.
METRICS = {
    "n_labels": ("labels", 0),
    "mae_eV": ("MAE (eV)", 3),
    "mean_predictor_mae_eV": ("mean predictor MAE (eV)", 3),
    "rmse_eV": ("RMSE (eV)", 3),
    "r2": ("R²", 2),
    "spearman": ("Spearman", 2),
    "nll": ("NLL", 2),
    "crps_eV": ("CRPS (eV)", 3),
    "coverage_90": ("coverage of 90 % intervals", 2),
    "held_out_coverage_90_raw": ("coverage of held-out labels, raw sigma", 2),
    "held_out_coverage_90_recalibrated": ("the same, recalibrated", 2),
    "miscalibration_area": ("miscalibration area", 2),
}


def round_facts(acquisitions: tuple[Acquisition, ...]) -> str:
    """What became of a round: "6 labelled, 1 failed, 1 pending; best 0.231 eV; clusters 1, 4"."""
    states = Counter(a.state for a in acquisitions)
    parts = [f"{states[state]} {state}" for state in ("labelled", "failed", "pending") if states[state]]
    values = [a.value_eV for a in acquisitions if a.value_eV is not None and a.converged]
    text = ", ".join(parts)
    if values:
        text += f"; lowest {number(min(values))} eV"
    clusters = sorted({a.cluster for a in acquisitions if a.cluster is not None})
    if clusters:
        text += f"; {plural(len(clusters), 'cluster')}"
    return text


def outcome(acquisition: Acquisition) -> str:
    """One word (or the kind of failure) for the state column."""
    if acquisition.state == "failed":
        return acquisition.failure[0] if acquisition.failure else "failed"
    if acquisition.state == "labelled":
        return "converged" if acquisition.converged else "not converged"
    return acquisition.state


def known_metrics(view: CampaignView) -> list[tuple[str, str, int]]:
    """(key, title, digits) of the model's figures that at least one round has."""
    return [(key, title, digits) for key, (title, digits) in METRICS.items() if len(view.metric(key)[0])]


def failure_lines(view: CampaignView) -> list[tuple[str, str, int]]:
    """(kind, reason, how often) of failed attempts, most frequent first."""
    seen = Counter((a.failure_kind, a.failure_reason) for a in view.attempts if a.state == "failed")
    return [(kind, reason, count) for (kind, reason), count in seen.most_common(20)]


def reference_note(view: CampaignView) -> str:
    if view.reference is None:
        return (
            "The random expectation is not drawn: no labels were chosen without the model, and no model has scored "
            "the whole space yet."
        )
    band = " The band is one standard error." if view.reference.sample else ""
    return f"Random choice: a normal distribution {view.reference.source}, an extrapolation.{band}"
