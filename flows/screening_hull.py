"""Thermodynamic stability as a step of the screen: E_hull by calculation, or by a model trained on such values.

The step and its counts follow Tao et al. (Matter 8, 102380 (2025)): the ten of lowest E_hull among the low barriers.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar, Literal

from ase import Atoms
from pydantic import ConfigDict, Field

from calculators.hull import Energies, HullSettings, e_hull
from calculators.phases import Reference, open_reference
from calculators.relax import Progress, silent
from flows.screening import Candidate, Measurement, Step
from flows.server import home


def hull_folder() -> Path:
    """Relaxed energies are shared by all campaigns of this machine."""
    return home() / "hull"


@functools.cache
def shared_reference(name: Any) -> Reference:
    """The reference, opened once per process."""
    return open_reference(name, hull_folder())


class HullStep(HullSettings, Step):
    """E_hull by calculation: the composition and all competing phases relaxed by one calculator."""

    quantity: ClassVar[str] = "E_hull"
    unit: ClassVar[str] = "eV/atom"
    digits: ClassVar[int] = 4

    step: Literal["hull"] = "hull"
    orderings: int = Field(
        1, ge=1, le=64, description="Orderings that are relaxed; the lowest counts, all are written down."
    )

    def settings(self) -> HullSettings:
        return HullSettings(**{name: getattr(self, name) for name in HullSettings.model_fields})

    def energies(self) -> Energies:
        return Energies(self.settings(), hull_folder())

    def address(self, candidate: Candidate) -> dict[str, Any]:
        energies, reference = self.energies(), shared_reference(self.reference)
        return {
            "structures": [energies.key(atoms) for atoms in self._orderings(candidate)],
            "reference": [reference.name, reference.version],
        }

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        energies, reference = self.energies(), shared_reference(self.reference)
        found = [e_hull(atoms, energies, reference, progress) for atoms in self._orderings(candidate)]
        hull, energy = min(found, key=lambda pair: pair[0].e_hull_eV_per_atom)
        return Measurement(
            value=hull.e_hull_eV_per_atom,
            reason=f"against {hull.reference}: {hull.decomposition()}",
            facts={
                **hull.model_dump(),
                "orderings_eV_per_atom": [one.e_hull_eV_per_atom for one, _ in found],
                "calculator": self.calculator,
                "relaxed": energy.key,
            },
        )

    def _orderings(self, candidate: Candidate) -> list[Atoms]:
        """The structures that a label relaxed or would relax; vacant sites are no atoms here."""
        relaxed = candidate.relaxed()
        drawn = [candidate.ordering(index) for index in range(self.orderings)]
        structures = drawn if relaxed is None else [relaxed, *drawn[1:]]
        return [_bare(atoms) for atoms in structures]


def _bare(atoms: Atoms) -> Atoms:
    there = atoms[atoms.numbers != 0]
    return Atoms(there.numbers, positions=there.positions, cell=there.cell, pbc=True)


class HullModelStep(Step):
    """E_hull as a trained model predicts it for the unrelaxed ordering: nothing is relaxed."""

    quantity: ClassVar[str] = "predicted E_hull"
    unit: ClassVar[str] = "eV/atom"
    digits: ClassVar[int] = 4

    model_config = ConfigDict(protected_namespaces=())

    step: Literal["hull-model"] = "hull-model"
    model: Path = Field(description="Folder of a model that `ionloop train` made from E_hull values.")
    orderings: int = Field(1, ge=1, le=64, description="Orderings that the prediction averages over.")

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        from models.commands import predict_atoms

        structures = [_bare(candidate.ordering(index)) for index in range(self.orderings)]
        mean, sigma = predict_atoms(self.model, structures, [candidate.formula] * len(structures))
        facts = {"sigma_eV_per_atom": float(sigma.mean()), "model": str(self.model)}
        return Measurement(value=float(mean.mean()), facts=facts)
