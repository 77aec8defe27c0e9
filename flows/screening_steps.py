"""The steps that `[screen]` knows, and the section itself. A new step is imported here and joins `AnyStep`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from calculators.relax import Progress, silent
from flows.screening import Candidate, Measurement, Step, Verdict
from flows.screening_features import SfMsdStep
from flows.screening_hull import HullModelStep, HullStep
from flows.screening_md import StabilityStep, TransportStep
from flows.screening_search import SearchStep
from flows.screening_synthesizability import PuStep, SynthesizableStep
from flows.screening_voltage import VoltageStep


class BarrierStep(Step):
    """E_b of the ranking: the label where there is one, else the prediction."""

    quantity: ClassVar[str] = "E_b"
    unit: ClassVar[str] = "eV"

    step: Literal["barrier"] = "barrier"
    below_median: bool = Field(
        False,
        description="Keep what is below the median of the campaign's converged labels (Tao et al., Matter 8, "
        "102380 (2025)).",
    )

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        return Measurement(value=candidate.E_b_eV, facts={"source": candidate.source, "sigma_eV": candidate.sigma_eV})

    def admit(self, candidate: Candidate, value: float) -> Verdict:
        median_eV = candidate.campaign.median_eV
        if self.below_median and median_eV is None:
            return Verdict(False, "no converged label yet, so there is no median to be below")
        verdict = super().admit(candidate, value)
        if not self.below_median or median_eV is None or not verdict.kept:
            return verdict
        word = "below" if value < median_eV else "not below"
        text = f"E_b {self.shown(value)} is {word} the labels' median, {self.shown(median_eV)}"
        return Verdict(value < median_eV, text)


class ClusterStep(Step):
    """The share of low barriers among the labels of a composition's cluster; the best cluster stays.

    A barrier is low if it is below the median of all labels (Tao et al. 2025, figure 3C: their group 13).
    """

    quantity: ClassVar[str] = "share of low E_b in the cluster"
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 2

    step: Literal["cluster"] = "cluster"
    least_labels: int = Field(3, ge=1, description="Clusters with fewer labels than this do not count.")

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        median_eV = candidate.campaign.median_eV
        members = [label for label in candidate.campaign.view.best if label.cluster == candidate.cluster]
        if candidate.cluster is None or median_eV is None or len(members) < self.least_labels:
            return Measurement(reason=f"cluster {candidate.cluster} has {len(members)} labels, too few to judge it")
        low = sum(label.value_eV is not None and label.value_eV < median_eV for label in members)
        return Measurement(value=low / len(members), facts={"labels": len(members), "low": low})

    def judge(self, measured: Sequence[tuple[Candidate, float]]) -> list[Verdict]:
        if not measured:
            return []
        size = Counter(candidate.cluster for candidate, _ in measured)
        best, share = max(measured, key=lambda pair: (pair[1], size[pair[0].cluster], -pair[0].rank))
        reason = f"cluster {best.cluster} has the highest share of low E_b, {share:.0%}"
        return [
            Verdict(
                one.cluster == best.cluster, reason + ("" if one.cluster == best.cluster else f", not {one.cluster}")
            )
            for one, _ in measured
        ]


AnyStep = Annotated[
    BarrierStep
    | ClusterStep
    | HullStep
    | HullModelStep
    | StabilityStep
    | TransportStep
    | SynthesizableStep
    | PuStep
    | VoltageStep
    | SearchStep
    | SfMsdStep,
    Field(discriminator="step"),
]


def paper_steps() -> list[AnyStep]:
    """The selection of Tao et al. (Matter 8, 102380 (2025)); E_hull of so many as can be calculated overnight."""
    return [BarrierStep(below_median=True), HullStep(first=40, lowest=10), BarrierStep(lowest=6)]


class ScreenSection(BaseModel):
    """Which compositions of the ranking are worth a synthesis: `ionloop screen` (docs/screening.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: list[AnyStep] = Field(
        default_factory=paper_steps,
        min_length=1,
        description="In this order; each has a `step` and its settings.",
    )
