"""Energy above the convex hull, E_hull (eV/atom): how much a compound gains by decomposing.

The compound and every competing phase (`calculators.phases`) are relaxed, cell included, by one calculator; the hull
is pymatgen's PhaseDiagram (Ong et al., Chem. Mater. 20, 1798 (2008)). Elements stand in it as free atoms at 0 eV, far
above everything, because the algorithm wants an entry for each; a decomposition in which one appears is refused. So
there is no exchange of oxygen with a gas, and oxidation states can only be exchanged among the metals. Energies are
those of 0 K: the mixing entropy of a high-entropy compound is not in E_hull.

A relaxed energy is content-addressed by structure, calculator, its versions and settings, and paid for once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pymatgen.core import Composition

from calculators import registry
from calculators.failures import CalculationFailed, invalid, unconverged
from calculators.label import KEY_DECIMALS_A, FailureKind, Structure
from calculators.labeller import NebLabeller
from calculators.phases import Phase, Reference, ReferenceName
from calculators.relax import Progress, relax, silent
from calculators.storage import write_json
from calculators.structures import check_cell, check_overlap

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

#: Raised whenever the way from structure to energy changes.
PROTOCOL = "1"


class HullSettings(BaseModel):
    """How energies are computed, and against what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calculator: str = Field("chgnet", description="A calculator with energies, forces and stress.")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed on to the calculator.")
    fmax_eV_per_A: float = Field(0.05, gt=0, description="Largest force of a relaxed structure, eV/Å.")
    relax_steps: int = Field(500, ge=1, description="Relaxation steps at most.")
    reference: ReferenceName = Field(
        "auto",
        description="Competing phases: shipped, materials-project (needs MP_API_KEY and ionloop[materials-project]), "
        "or auto: the latter if there is a key.",
    )


class RelaxedEnergy(BaseModel):
    """The energy of a relaxed cell, with what one must know before believing it."""

    key: str
    formula: str
    energy_eV: float
    atoms: int
    converged: bool
    fmax_eV_per_A: float
    force_calls: int
    seconds: float
    structure: Structure

    @property
    def energy_eV_per_atom(self) -> float:
        return self.energy_eV / self.atoms


class Hull(BaseModel):
    """E_hull of one composition, and what it was measured against."""

    e_hull_eV_per_atom: float  # negative: more stable than every reference phase
    energy_eV_per_atom: float
    products: dict[str, float]  # phase -> share of the atoms; what it decomposes into
    reference: str
    reference_version: str
    phases: int  # competing phases in the diagram
    unconverged: list[str] = Field(default_factory=list)  # of them, relaxed to less than asked for
    left_out: list[str] = Field(default_factory=list)  # could not be relaxed at all, and why

    def decomposition(self) -> str:
        """ "52 % Na4Zr2(SiO4)3 + 48 % NaZr2(PO4)3", by atoms."""
        shares = sorted(self.products.items(), key=lambda item: -item[1])
        return " + ".join(f"{share:.0%} {name.partition(' ')[0]}" for name, share in shares)


class Energies:
    """Relaxed energies by one calculator, kept in a folder.

    Raises:
        ValueError: the calculator is unknown or gives no energies (bond valence), or cannot run here.
    """

    def __init__(self, settings: HullSettings, folder: Path) -> None:
        labeller = registry.find(settings.calculator)
        if not isinstance(labeller, NebLabeller):
            raise ValueError(f"calculator '{settings.calculator}' gives no energies, which a hull needs")
        if (problem := labeller.unavailable()) is not None:
            raise ValueError(f"calculator '{settings.calculator}' cannot run here: {problem}")
        self.settings, self.folder, self._labeller = settings, folder, labeller

    def address(self, atoms: Atoms) -> dict[str, Any]:
        """All that the relaxed energy of this structure depends on."""
        return {
            "protocol": PROTOCOL,
            "numbers": atoms.numbers.tolist(),
            "cell": np.round(atoms.cell.array, KEY_DECIMALS_A).tolist(),
            "positions": np.round(atoms.positions, KEY_DECIMALS_A).tolist(),
            "versions": self._labeller.versions(),
            **self.settings.model_dump(exclude={"reference"}),
        }

    def key(self, atoms: Atoms) -> str:
        text = json.dumps(self.address(atoms), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.replace("-0.0,", "0.0,").encode()).hexdigest()[:32]

    def relaxed(self, atoms: Atoms, progress: Progress = silent, name: str = "") -> RelaxedEnergy:
        """The energy after relaxing atoms and cell, from the folder if it is there.

        Raises:
            ValueError: no cell, or overlapping atoms.
            CalculationFailed: the calculator returned no number.
        """
        check_cell(atoms)
        check_overlap(atoms)
        key = self.key(atoms)
        path = self.folder / f"{key}.json"
        kept = _read(path)
        if kept is not None:
            return kept
        start = time.perf_counter()
        calculator = self._labeller.calculator(self.settings.options, self.folder / key)
        done = relax(
            atoms,
            calculator,
            fmax_eV_per_A=self.settings.fmax_eV_per_A,
            steps=self.settings.relax_steps,
            cell=True,
            stage=name or "relax",
            progress=progress,
        )
        check_overlap(done.atoms)
        found = RelaxedEnergy(
            key=key,
            formula=atoms.get_chemical_formula("hill"),
            energy_eV=done.energy_eV,
            atoms=len(atoms),
            converged=done.converged,
            fmax_eV_per_A=round(done.fmax_eV_per_A, 5),
            force_calls=done.force_calls,
            seconds=round(time.perf_counter() - start, 3),
            structure=Structure.from_atoms(done.atoms),
        )
        write_json(path, found)
        return found


def e_hull(
    atoms: Atoms,
    energies: Energies,
    reference: Reference,
    progress: Progress = silent,
) -> tuple[Hull, RelaxedEnergy]:
    """E_hull of an ordered structure (vacant sites "X" are left out), and its relaxed energy.

    Raises:
        ValueError: the reference lacks an element, or its phases cannot make up the composition.
        CalculationFailed: `unconverged` or `invalid` relaxation.
    """
    atoms = atoms[atoms.numbers != 0]
    elements = frozenset(atoms.get_chemical_symbols())
    phases = reference.phases(elements)
    check_elements(elements, phases, reference.name)
    found = energies.relaxed(atoms, progress, "compound")
    if not found.converged:
        raise unconverged(
            f"{found.formula}: {found.force_calls} force calls left a force of {found.fmax_eV_per_A:.3f} eV/Å "
            f"(asked for {energies.settings.fmax_eV_per_A:g}); allow more steps",
            "hull",
        )
    competing, not_converged, left_out = relax_phases(phases, energies, progress)
    value, products = above_hull(Composition(found.formula), found.energy_eV_per_atom, competing)
    result = Hull(
        e_hull_eV_per_atom=value,
        energy_eV_per_atom=found.energy_eV_per_atom,
        products=products,
        reference=reference.name,
        reference_version=reference.version,
        phases=len(competing),
        unconverged=not_converged,
        left_out=left_out,
    )
    return result, found


def check_elements(elements: frozenset[str], phases: Sequence[Phase], reference: str) -> None:
    """Refuse a phase diagram that lacks an element.

    Raises:
        ValueError: naming the elements.
    """
    missing = elements - frozenset().union(*(phase.elements for phase in phases))
    if missing:
        names = ", ".join(sorted(missing))
        raise ValueError(f"the {reference} reference has no phase with {names} among these elements: no E_hull")


def relax_phases(
    phases: Sequence[Phase], energies: Energies, progress: Progress = silent
) -> tuple[list[tuple[Phase, float]], list[str], list[str]]:
    """(phase, eV/atom) of all that could be relaxed; names of the unconverged; what was left out, and why.

    Raises:
        CalculationFailed: trouble of the machine's: a hull without that phase would be kept as if it were whole.
    """
    competing: list[tuple[Phase, float]] = []
    not_converged, left_out = [], []
    for place, phase in enumerate(phases, start=1):
        try:
            found = energies.relaxed(phase.atoms, progress, f"reference {place} of {len(phases)}, {phase.name},")
        except (CalculationFailed, ValueError) as error:
            if isinstance(error, CalculationFailed) and error.failure.kind in (
                FailureKind.TRANSIENT,
                FailureKind.WALLTIME,
            ):
                raise
            left_out.append(f"{phase.name}: {error}")
            continue
        competing.append((phase, found.energy_eV_per_atom))
        if not found.converged:
            not_converged.append(phase.name)
    return competing, not_converged, left_out


def above_hull(
    composition: Composition, energy_eV_per_atom: float, competing: Sequence[tuple[Phase, float]]
) -> tuple[float, dict[str, float]]:
    """E_hull (eV/atom) over the given phases, and the decomposition as shares of the atoms by phase name.

    Raises:
        ValueError: the phases cannot make up the composition.
        CalculationFailed: `invalid`, if energies are not below those of free atoms.
    """
    from pymatgen.analysis.phase_diagram import PDEntry

    diagram = _diagram(composition, competing)
    floor = diagram.get_hull_energy_per_atom(composition)
    parts = diagram.get_decomposition(composition).items()
    shares = {entry.name: float(share) for entry, share in parts if isinstance(entry, PDEntry)}
    free = sorted(name for name in shares if name.startswith(FREE))
    if free:
        names = ", ".join(name.removeprefix(FREE) for name in free)
        raise ValueError(
            f"{composition.reduced_formula} cannot be made of the reference phases: {names} would be left over as "
            "an element (an oxidation state that no phase of the reference has?): no E_hull"
        )
    return energy_eV_per_atom - float(floor), shares


#: Marks the elements that only the algorithm wants.
FREE = "free atom "


def _diagram(composition: Composition, competing: Sequence[tuple[Phase, float]]) -> PhaseDiagram:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    if any(energy >= 0 for _, energy in competing):
        raise invalid("energies of the reference phases are not below those of free atoms (0 eV)", "hull")
    entries = [
        PDEntry(_composition(phase), energy * _composition(phase).num_atoms, name=phase.name)
        for phase, energy in competing
    ]
    elements = [PDEntry(Composition(element.symbol), 0.0, name=FREE + element.symbol) for element in composition]
    return PhaseDiagram([*entries, *elements])


def _composition(phase: Phase) -> Composition:
    return Composition(phase.atoms.get_chemical_formula())


def _read(path: Path) -> RelaxedEnergy | None:
    try:
        return RelaxedEnergy.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None
