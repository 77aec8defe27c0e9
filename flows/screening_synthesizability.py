"""A step of `ionloop screen`: will it come out of the furnace as one phase?"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from agent.formula import Occupation, descriptor_table
from agent.hosts import Host
from calculators.relax import Progress, silent
from flows.outcomes import PhaseClassifier, SynthesizabilitySection, told
from flows.screening import Candidate, Measurement, Step


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
    classifier: Literal["naive-bayes", "knn", "tree", "mlp"] = Field("naive-bayes", description="Which classifier.")

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        campaign = candidate.campaign
        section = SynthesizabilitySection(table=self.table, classifier=self.classifier)
        trained = _trained(section, campaign.host, told(campaign.view.events), campaign.seed)
        occupation = Occupation.of(candidate.composition)
        facts = {"classifier": str(trained)}
        known = dict(zip(trained.outcomes.occupations, trained.outcomes.pure.tolist(), strict=True))
        if occupation in known:
            return Measurement(value=float(known[occupation]), reason="found by experiment", facts=facts)
        return Measurement(value=float(trained.probability(descriptor_table([occupation]))[0]), facts=facts)


@lru_cache(maxsize=4)
def _trained(
    section: SynthesizabilitySection, host: Host, added: tuple[tuple[str, str], ...], seed: int
) -> PhaseClassifier:
    """Once per screen, not once per composition."""
    return PhaseClassifier.of(section, host, added, seed)
