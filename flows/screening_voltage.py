"""The step `voltage` of `[screen]`: the paper's rules for a sodium-excess electrode, on a campaign's compositions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from agent.electrode_screening import Rules, judge
from agent.electrodes import CONTENTS, Arrangement, ElectrodeSpace, metals_of
from calculators.relax import Progress, silent
from calculators.relaxations import RelaxationSettings, Relaxer
from flows.electrodes import RATTLE_A, Study, candidate_of
from flows.screening import Candidate, Measurement, Step


class VoltageStep(Step):
    """(V21 - V43) / V43 of what passes the three rules of Shim et al. (2024); the metals sit as in the campaign.

    Relaxations lie in the campaign's folder and are shared by all compositions and screens (docs/electrodes.md).
    """

    quantity: ClassVar[str] = "(V21 - V43)/V43"
    unit: ClassVar[str] = ""

    step: Literal["voltage"] = "voltage"
    calculator: str = Field("chgnet", description="A calculator with energies and forces.")
    contents: tuple[float, ...] = Field(
        CONTENTS, description="Mobile ions per formula unit; 1 to 4 for V21, V32, V43."
    )
    rattle_A: float = Field(
        RATTLE_A, ge=0, description="Displacements from which a host relaxes, Å; 0 for its symmetric structure."
    )
    relaxation: RelaxationSettings = Field(default_factory=RelaxationSettings)
    rules: Rules = Field(default_factory=Rules)

    def address(self, candidate: Candidate) -> dict[str, Any]:
        arrangement = self._arrangement(candidate)
        decides = self.model_dump(mode="json", include={"calculator", "contents", "rattle_A", "relaxation", "rules"})
        return decides | {"host": candidate.campaign.host.name, "symbols": list(arrangement.symbols)}

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        results = candidate.campaign.view.folder / "screening" / "relaxations"
        relaxer = Relaxer(self.calculator, results, self.relaxation, progress)
        study = Study(ElectrodeSpace(candidate.campaign.host, self.contents), relaxer, self.rattle_A)
        row = study.row(self._arrangement(candidate))
        found = judge(candidate_of(row), self.rules)
        reason = "; ".join(found.reasons)
        return Measurement(value=found.score if found.passed else None, reason=reason, facts=row)

    @staticmethod
    def _arrangement(candidate: Candidate) -> Arrangement:
        """The campaign's own ordering of the metals."""
        atoms = candidate.ordering()
        symbols = tuple(atoms.symbols[atoms.arrays["sublattice"] == "substituted"])
        metals = metals_of(candidate.campaign.host, dict(candidate.composition.amounts))
        return Arrangement(metals, f"{metals.name(candidate.campaign.host)}#campaign", symbols, 1)
