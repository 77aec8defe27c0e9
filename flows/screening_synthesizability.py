"""Steps of `ionloop screen`: will it come out of the furnace as one phase? By a classifier, or by likeness alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from agent.composition import Composition
from agent.formula import Occupation, descriptor_table
from calculators.relax import Progress, silent
from flows.outcomes import (
    Classifier,
    Outcomes,
    PhaseClassifier,
    SynthesizabilitySection,
    added_outcomes,
    read_outcomes,
    told,
)
from flows.screening import Campaign, Candidate, Measurement, Step


class SynthesizableStep(Step):
    """Probability of a single phase, by a classifier of outcomes (docs/synthesizability.md).

    Trained on the table and on what was added to the campaign with `ionloop add-outcome`. A composition whose outcome
    is known has the probability 0 or 1.
    """

    quantity: ClassVar[str] = "probability of a single phase"
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 2

    step: Literal["synthesizable"] = "synthesizable"
    at_least: float | None = Field(0.5, description="Keep compositions with a probability of at least this.")
    table: Path | None = Field(None, description="CSV with columns formula and outcome; default: the shipped one.")
    classifier: Classifier = Field("naive-bayes", description="Which classifier.")

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        campaign = candidate.campaign
        trained = campaign.once(f"synthesizable {self.table} {self.classifier}", lambda: self._trained(campaign))
        occupation = Occupation.of(candidate.composition)
        facts = {"classifier": str(trained)}
        if (known := trained.outcomes.of(occupation)) is not None:
            return Measurement(value=float(known), reason="found by experiment", facts=facts)
        return Measurement(value=float(trained.probability(descriptor_table([occupation]))[0]), facts=facts)

    def _trained(self, campaign: Campaign) -> PhaseClassifier:
        section = SynthesizabilitySection(table=self.table, classifier=self.classifier)
        return PhaseClassifier.of(section, campaign.host, told(campaign.view.events), campaign.seed)


class PuStep(Step):
    """Likeness to what is known to come out as one phase, 0 to 1, by positive-unlabelled learning (Shim et al. 2024).

    Positives are the pure compositions of the table and of `ionloop add-outcome`, the unlabelled are all that the
    campaign ranks. So a table of successes alone is enough (docs/synthesizability.md).
    """

    quantity: ClassVar[str] = "positive-unlabelled score"
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 2

    step: Literal["pu-score"] = "pu-score"
    at_least: float | None = Field(0.5, description="Keep compositions with a score of at least this.")
    table: Path | None = Field(None, description="CSV with columns formula and outcome; default: the shipped one.")

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        campaign, occupation = candidate.campaign, Occupation.of(candidate.composition)
        scored = campaign.once(f"pu-score {self.table}", lambda: _Scored.of(campaign, self.table))
        if (known := scored.outcomes.of(occupation)) is not None:
            return Measurement(value=float(known), reason="found by experiment", facts=scored.facts)
        return Measurement(value=scored.scores[occupation], caveat=str(scored.facts["check"]), facts=scored.facts)


@dataclass(frozen=True)
class _Scored:
    """All compositions that a campaign ranks, scored at once."""

    outcomes: Outcomes
    scores: dict[Occupation, float]
    facts: dict[str, str | int]

    @classmethod
    def of(cls, campaign: Campaign, table: Path | None) -> _Scored:
        from models.synthesizability import check_positive_unlabelled, positive_unlabelled_scores

        added = added_outcomes(told(campaign.view.events), campaign.host)
        outcomes = read_outcomes(table, campaign.host).joined(added)
        ranked = dict.fromkeys(
            Occupation.of(Composition.from_key(line.composition)) for line in campaign.view.ranking
        )
        open_ones = [occupation for occupation in ranked if outcomes.of(occupation) is None]
        positive, unlabelled = outcomes.descriptors[outcomes.pure], descriptor_table(open_ones)
        scores = positive_unlabelled_scores(positive, unlabelled, seed=campaign.seed)
        check = "a single success: no check possible"
        if len(positive) > 1:
            check = str(check_positive_unlabelled(positive, unlabelled, seed=campaign.seed))
        facts: dict[str, str | int] = {"check": check, "positive": len(positive), "unlabelled": len(unlabelled)}
        return cls(outcomes, dict(zip(open_ones, scores.tolist(), strict=True)), facts)
