"""The SF-MSD model (Fu et al., high-entropy LZSP) as a step of `ionloop screen`: relax, take features, predict.

The model is `flows.sf_msd`, imported only by who needs it: this file is part of the configuration.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ase import Atoms
from pydantic import Field, model_validator

from calculators.relax import Progress, silent
from calculators.relaxations import RelaxationSettings, Relaxer
from flows.screening import Campaign, Candidate, Measurement, Step

if TYPE_CHECKING:
    import pandas as pd

    from flows.sf_msd import SfMsd

#: Target where the campaign's own labels teach.
BARRIER = "E_b_eV"


class SfMsdStep(Step):
    """What gradient boosting or a random forest says of relaxed orderings by their structural features.

    It learns E_b from the campaign's labels, or any target from a table. Structures to learn from and orderings of a
    candidate are relaxed by one calculator to the same force; the value is the mean over the orderings.
    """

    quantity: ClassVar[str] = "SF-MSD prediction"
    unit: ClassVar[str] = ""

    step: Literal["sf-msd"] = "sf-msd"
    table: Path | None = Field(
        None,
        description="CSV of `ionloop features` with a column for the target; default: the campaign's labels, whose "
        "relaxed structures are taken further to `relaxation`.",
    )
    target: str | None = Field(None, description="Column of the table that is learned: msd_A2, E_3D_eV, ...")
    columns: str = Field("structural", description="structural (the 17), multinary (with entropy), all, or names.")
    regressor: Literal["gradient-boosting", "random-forest"] = Field("gradient-boosting", description="Which one.")
    folds: int = Field(5, ge=2, description="Cross-validation folds; one composition is never in two of them.")
    needs_skill: bool = Field(
        True,
        description="No value from a model that is not better than the mean; false: a value, and the word NO SKILL.",
    )
    orderings: int = Field(
        3, ge=1, le=64, description="Random orderings of a candidate that are relaxed and averaged."
    )
    mobile_geometry: str | None = Field(
        None, description="Ideal polyhedron of the mobile ion, as ChemEnv names it; default T:4 for Li, else O:6."
    )
    calculator: str = Field("chgnet", description="A calculator with energies, forces and stress.")
    relaxation: RelaxationSettings = Field(default_factory=lambda: RelaxationSettings(fmax_eV_per_A=0.1))

    @model_validator(mode="after")
    def _target_is_named(self) -> SfMsdStep:
        if (self.table is None) != (self.target is None):
            raise ValueError("table and target belong together: the target is the column of the table to be learned")
        return self

    def address(self, candidate: Candidate) -> dict[str, Any]:
        relaxer = self._relaxer(candidate.campaign, silent)
        return {
            "model": self.model_dump(mode="json", include={"columns", "regressor", "folds", "needs_skill", "target"}),
            "learned_from": self._source(candidate.campaign),
            "mobile_geometry": self.mobile_geometry,
            "orderings": [relaxer.key(atoms, candidate.campaign.host.mobile) for atoms in self._orderings(candidate)],
        }

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        import pandas as pd

        campaign = candidate.campaign
        model = campaign.once(f"sf-msd {self.model_dump_json()}", lambda: self._trained(campaign, progress))
        facts = model.facts()
        if self.needs_skill and not model.check.skilled:
            return Measurement(reason=model.caveat, facts=facts)
        rows, refused = self._rows(campaign, candidate.formula, self._orderings(candidate), progress)
        facts["left_out"] = refused
        if not rows:
            return Measurement(reason=f"no ordering could be relaxed: {refused[0]}", facts=facts)
        table = pd.DataFrame(rows)
        predicted = model.predict(table)
        facts |= {
            "orderings": len(rows),
            "predicted": predicted.round(6).tolist(),
            "spread": float(predicted.std(ddof=1)) if len(rows) > 1 else None,
            "outside_of_what_was_learned": model.outside(table),
        }
        return Measurement(value=float(predicted.mean()), caveat=model.caveat, facts=facts)

    # -- what it learns from

    def _source(self, campaign: Campaign) -> list[Any]:
        """What decides the model, as JSON."""
        if self.table is None:
            return [[label.label_key, label.value_eV] for label in campaign.view.best]
        return [hashlib.sha256(self.table.read_bytes()).hexdigest() if self.table.is_file() else "no such file"]

    def _trained(self, campaign: Campaign, progress: Progress) -> SfMsd:
        from flows.sf_msd import SfMsd
        from flows.transport import read_table

        table = self._labels(campaign, progress) if self.table is None else read_table(self.table)
        return SfMsd.of(table, self.target or BARRIER, self.columns, self.regressor, self.folds, campaign.seed)

    def _labels(self, campaign: Campaign, progress: Progress) -> pd.DataFrame:
        """One row per converged label whose structure was kept."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for label in campaign.view.best:
            if (atoms := campaign.relaxed(label)) is None:
                continue
            found, _ = self._rows(campaign, label.formula, [atoms], progress)
            known = {"id": label.label_key, "composition": label.composition, BARRIER: label.value_eV}
            rows += [known | features for features in found]
        if not rows:
            raise ValueError(
                f"none of {len(campaign.view.best)} converged labels has a relaxed structure to learn from"
            )
        return pd.DataFrame(rows)

    # -- structures

    def _orderings(self, candidate: Candidate) -> list[Atoms]:
        drawn = (candidate.ordering(index) for index in range(self.orderings))
        return [_bare(atoms) for atoms in drawn]

    def _rows(
        self, campaign: Campaign, name: str, structures: list[Atoms], progress: Progress
    ) -> tuple[list[dict[str, float]], list[str]]:
        """Features of relaxed structures, and why others have none."""
        from flows.sf_msd import framework_of
        from models.structural_features import structural_features

        relaxer, roles = self._relaxer(campaign, progress), framework_of(campaign.host, self.mobile_geometry)
        rows, refused = [], []
        for atoms in structures:
            relaxed = relaxer(_bare(atoms), name, campaign.host.mobile)
            try:
                rows.append(structural_features(relaxed.checked().atoms, roles))
            except ValueError as error:
                refused.append(str(error))
        return rows, refused

    def _relaxer(self, campaign: Campaign, progress: Progress) -> Relaxer:
        return Relaxer(self.calculator, campaign.view.folder / "screening" / "relaxations", self.relaxation, progress)


def _bare(atoms: Atoms) -> Atoms:
    there = atoms[atoms.numbers != 0]
    return Atoms(there.numbers, positions=there.positions, cell=there.cell, pbc=True)
