"""A step of `ionloop screen`: the conditions of `ionloop search`, as a filter."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from calculators.relax import Progress, silent
from flows.screening import Campaign, Candidate, Measurement, Step, Verdict
from flows.search import Query


class SearchStep(Step):
    """Percentile of E_b within the whole space (%, 0 is the lowest barrier), of what fits all conditions.

    The conditions are written as for `ionloop search`, and read by the same parser (docs/structural-features.md).
    """

    quantity: ClassVar[str] = "percentile of E_b"
    unit: ClassVar[str] = "%"
    digits: ClassVar[int] = 1

    step: Literal["search"] = "search"
    elements: str | None = Field(None, description='All of these on the substituted sublattice, e.g. "Zr,Hf,Sn".')
    without: str | None = Field(None, description="None of these.")
    entropy: str | None = Field(None, description='In units of R: ">=1.5", or ">=1,<1.5".')
    eb: str | None = Field(None, description='Label, else prediction, eV: "<0.4".')
    percentile: str | None = Field(None, description='Of E_b within the whole space, %: "<=5".')
    price: str | None = Field(None, description='Of the dearest substituted element, USD/kg: "<=100".')
    formula: str | None = Field(None, description="This one only, or a composition key.")

    @cached_property
    def query(self) -> Query:
        parts = ("elements", "without", "entropy", "eb", "percentile", "price", "formula")
        return Query.parse(**{part: getattr(self, part) for part in parts})

    @model_validator(mode="after")
    def _can_be_read(self) -> SearchStep:
        _ = self.query
        return self

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        atlas, key = candidate.campaign.atlas, candidate.composition.key
        if (row := atlas.rows.get(key)) is None:
            return Measurement(reason="not in space.csv, so nothing is known of its place in the space")
        facts = {
            "unmet": [words for words, holds in self._conditions(candidate.campaign) if not holds[row]],
            "entropy_R": float(atlas.table.at[row, "entropy_R"]),
            "entropy_class": str(atlas.table.at[row, "entropy_class"]),
        }
        return Measurement(value=float(atlas.table.at[row, "percentile"]), reason=atlas.note, facts=facts)

    def admit(self, candidate: Candidate, value: float) -> Verdict:
        if unmet := candidate.found[self.name].facts["unmet"]:
            return Verdict(False, f"does not fit: {'; '.join(unmet)}")
        return super().admit(candidate, value)

    def _conditions(self, campaign: Campaign) -> list[tuple[str, NDArray[np.bool_]]]:
        """Over the whole space, once per screen."""
        return campaign.once(f"search {self.query}", lambda: list(campaign.atlas.conditions(self.query)))
