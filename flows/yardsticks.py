"""What a campaign is measured against: choosing at random, and predicting by the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any, Protocol

from agent.schema import RoundRow
from flows.wording import finite

#: Fewer labels than this give no usable estimate of what random choice would find.
REFERENCE_LABELS = 4


class Labelled(Protocol):
    """A target label, with what the model had said of it before (eV)."""

    @property
    def mean_eV(self) -> float | None: ...
    @property
    def value_eV(self) -> float | None: ...
    @property
    def converged(self) -> bool: ...


@dataclass(frozen=True)
class Reference:
    """What labelling compositions at random would find: a normal distribution of the target value."""

    mean_eV: float
    sigma_eV: float
    source: str  # where it was estimated from, for the legend
    sample: int | None = None  # labels it was estimated from, if it was

    def share(self, target_eV: float) -> float:
        """Expected share of random labels at or below the target."""
        return NormalDist(self.mean_eV, self.sigma_eV).cdf(target_eV)


def reference_of(
    config: Mapping[str, Any], at_target: Sequence[Labelled], rounds: Sequence[RoundRow]
) -> Reference | None:
    """What random choice would find, from the labels that were chosen without a model, else from the model.

    None where neither tells: the figures then say so. Normal distributions, hence an estimate.
    """
    blind = [a.value_eV for a in _blind(config, at_target) if a.converged and a.value_eV is not None]
    if len(blind) >= REFERENCE_LABELS and (sigma := stdev(blind)) > 0:
        return Reference(
            fmean(blind), sigma, f"estimated from the {len(blind)} labels chosen without the model", len(blind)
        )
    for row in reversed(rounds):
        mean, spread = finite(row.metrics.get("space_mean_eV")), finite(row.metrics.get("space_sigma_eV"))
        if mean is not None and spread:
            return Reference(mean, spread, f"by the model of round {row.number}, over the whole space")
    return None


def _blind(config: Mapping[str, Any], at_target: Sequence[Labelled]) -> Sequence[Labelled]:
    """Target labels whose choice no model had a part in: of a random or stratified strategy, or of the time
    before the first model. With pre-training there is no such time: the cheap fidelity ranks from the start."""
    if setting(config, "acquisition", "strategy") in {"random", "stratified"}:
        return at_target
    if setting(config, "pretrain", "labels"):
        return ()
    return [a for a in at_target if a.mean_eV is None]


def mean_predictor_mae_eV(labels_eV: Sequence[float]) -> float | None:
    """MAE of predicting each label by the mean of the others (eV): what a model has to beat."""
    size = len(labels_eV)
    if size < 2:
        return None
    mean = fmean(labels_eV)
    return fmean(abs(value - mean) for value in labels_eV) * size / (size - 1)


def setting(config: Mapping[str, Any], section: str, key: str) -> Any:
    """What a stored configuration says; None where it is older than the question."""
    part = config.get(section)
    return part.get(key) if isinstance(part, Mapping) else None
