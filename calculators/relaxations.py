"""Relaxed structures that are computed once: energies before and after, what moved, and a verdict, on disk.

A result is addressed by what it was made from (structure, calculator, settings, versions), so a run that was killed
repeats nothing that was finished, and two studies share what they have in common. Failures are results too: a
relaxation that did not converge or that lost its framework is remembered with its verdict, never as an energy.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calculators import registry
from calculators.failures import classify
from calculators.label import FailureKind, Structure, Work
from calculators.labeller import NebLabeller
from calculators.relax import Progress, relax, silent
from calculators.storage import write_json
from calculators.structures import check_cell, check_overlap


class RelaxationSettings(BaseModel):
    """How a structure is relaxed, and what counts as the same structure afterwards.

    `max_volume_change` is |V_after / V_before - 1|; `max_framework_move_A` is the longest way (Å) of any atom that is
    not the mobile ion, in fractional coordinates, drift taken off, so that a strain of the cell does not count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: bool = True
    fmax_eV_per_A: float = Field(0.05, gt=0)
    steps: int = Field(500, ge=1)
    optimizer: Literal["auto", "bfgs", "lbfgs", "fire"] = "auto"
    max_volume_change: float = Field(0.15, gt=0)
    max_framework_move_A: float = Field(1.5, gt=0)
    options: dict[str, Any] = Field(default_factory=dict)  # for the calculator's factory


class Relaxed(BaseModel):
    """One relaxation. `verdict` is "ok", or why its energies must not be used."""

    key: str
    name: str  # for people
    calculator: str
    versions: dict[str, str]
    settings: RelaxationSettings
    verdict: str
    energy_before_eV: float | None = None
    energy_after_eV: float | None = None
    fmax_eV_per_A: float | None = None
    steps: int = 0
    force_calls: int = 0
    seconds: float = 0.0
    volume_before_A3: float | None = None
    volume_after_A3: float | None = None
    framework_move_A: float | None = None
    magmoms_muB: list[float] = Field(default_factory=list)  # one per atom, if the calculator predicts them
    structure: Structure | None = None  # after

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"

    @property
    def atoms(self) -> Atoms:
        """The relaxed structure.

        Raises:
            ValueError: there is none; the message is the verdict.
        """
        if self.structure is None:
            raise ValueError(f"{self.name}: {self.verdict}")
        return self.structure.to_atoms()

    def checked(self) -> Self:
        """This result itself if its verdict is "ok".

        Raises:
            ValueError: it is not; the message is the verdict.
        """
        if not self.ok:
            raise ValueError(f"{self.name} with {self.calculator}: {self.verdict}")
        return self

    @property
    def energy_eV(self) -> float:
        """Energy of the relaxed cell (eV); `ValueError` unless the verdict is "ok"."""
        energy = self.checked().energy_after_eV
        assert energy is not None
        return energy

    @property
    def energy_eV_per_atom(self) -> float:
        """Energy of the relaxed cell per atom (eV); `ValueError` unless the verdict is "ok"."""
        return self.energy_eV / len(self.atoms)

    @property
    def relaxation_energy_eV_per_atom(self) -> float:
        """|E_after - E_before| / atoms (eV/atom): equation 2 of Shim et al. (2024).

        The formation energies of that equation differ from these by the same chemical potentials, which cancel.
        """
        before = self.checked().energy_before_eV
        assert before is not None
        return abs(self.energy_eV - before) / len(self.atoms)


class Relaxer:
    """Relaxes structures with a calculator of the registry, or finds them relaxed in its folder.

    Args:
        calculator: a name of `calculators.registry`, or module:object, that gives energies and forces.
        folder: where results lie, one JSON file each; safe to share between processes and studies.

    Raises:
        ValueError: unknown calculator, or one without energies and forces.
    """

    def __init__(
        self,
        calculator: str,
        folder: Path,
        settings: RelaxationSettings | None = None,
        progress: Progress = silent,
    ) -> None:
        labeller = registry.find(calculator)
        if not isinstance(labeller, NebLabeller):
            raise ValueError(f"calculator '{calculator}' gives no energies and forces; take chgnet, for example")
        if problem := labeller.unavailable():
            raise ValueError(f"calculator '{calculator}': {problem}")
        self.name, self.folder, self.progress = calculator, Path(folder), progress
        self.settings = settings or RelaxationSettings()
        self.versions = labeller.versions()
        self._labeller = labeller

    def but(self, **changed: Any) -> Relaxer:
        """The same with some settings changed."""
        settings = RelaxationSettings(**(self.settings.model_dump() | changed))
        return Relaxer(self.name, self.folder, settings, self.progress)

    def key(self, atoms: Atoms, mobile: str = "") -> str:
        """Content address of a relaxation."""
        settings = self.settings.model_dump()
        work = Work(structure=Structure.from_atoms(atoms), ion=mobile, calculator=self.name, settings=settings)
        return work.key(self.versions)

    def find(self, atoms: Atoms, mobile: str = "") -> Relaxed | None:
        """The result, if it is there already."""
        try:
            return Relaxed.model_validate_json(self._path(self.key(atoms, mobile)).read_text())
        except (FileNotFoundError, ValidationError):
            return None

    def __call__(self, atoms: Atoms, name: str, mobile: str = "") -> Relaxed:
        """Relax `atoms`, or take what is known of exactly this.

        Args:
            atoms: periodic, without vacant sites.
            name: for people.
            mobile: element that may move as it likes; all others are the framework ("" for none).

        Raises:
            ValueError: no cell, or overlapping atoms.
        """
        check_cell(atoms)
        check_overlap(atoms)
        if (known := self.find(atoms, mobile)) is not None:
            return known.model_copy(update={"name": name})
        result = self._compute(atoms, name, mobile)
        write_json(self._path(result.key), result)
        return result

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def _compute(self, atoms: Atoms, name: str, mobile: str) -> Relaxed:
        settings, started = self.settings, time.monotonic()
        result = Relaxed(
            key=self.key(atoms, mobile),
            name=name,
            calculator=self.name,
            versions=self.versions,
            settings=settings,
            verdict="ok",
        )
        calculator = self._labeller.factory(**settings.options)
        before = atoms.copy()
        before.calc = calculator
        try:
            result.energy_before_eV = float(before.get_potential_energy())
            found = relax(
                atoms,
                calculator,
                fmax_eV_per_A=settings.fmax_eV_per_A,
                steps=settings.steps,
                cell=settings.cell,
                optimizer=settings.optimizer,
                progress=self.progress,
            )
        except Exception as error:
            failure = classify(error, "relax")
            if failure.kind is not FailureKind.INVALID:
                raise  # the machine's trouble is not remembered
            result.verdict = f"invalid: {failure.reason}"
            return result
        result.energy_after_eV, result.fmax_eV_per_A = found.energy_eV, found.fmax_eV_per_A
        result.steps, result.force_calls = found.steps, found.force_calls
        result.volume_before_A3, result.volume_after_A3 = float(atoms.cell.volume), float(found.atoms.cell.volume)
        result.framework_move_A = framework_move_A(atoms, found.atoms, mobile)
        result.structure = Structure.from_atoms(found.atoms)
        result.verdict = judged(result, found.converged)
        result.magmoms_muB = magnetic_moments_muB(found.atoms, calculator)
        result.seconds = round(time.monotonic() - started, 2)
        return result


def judged(result: Relaxed, converged: bool) -> str:
    """ "ok", or the first reason why the energies must not be used."""
    settings = result.settings
    if result.energy_before_eV is None or not np.isfinite(result.energy_before_eV):
        return "invalid: the energy before relaxation is no number"
    if not converged:
        return (
            f"unconverged: {result.fmax_eV_per_A:.3f} eV/Å after {result.steps} steps "
            f"(asked for {settings.fmax_eV_per_A:g}); allow more steps"
        )
    assert result.volume_before_A3 is not None
    assert result.volume_after_A3 is not None
    assert result.framework_move_A is not None
    change = result.volume_after_A3 / result.volume_before_A3 - 1
    if abs(change) > settings.max_volume_change:
        return f"collapsed: the volume changed by {change:+.1%} (limit {settings.max_volume_change:.0%})"
    if result.framework_move_A > settings.max_framework_move_A:
        return (
            f"collapsed: a framework atom moved {result.framework_move_A:.2f} Å "
            f"(limit {settings.max_framework_move_A:g} Å)"
        )
    return "ok"


def framework_move_A(before: Atoms, after: Atoms, mobile: str = "") -> float:
    """Longest way (Å, in the cell after) of an atom that is not `mobile`, the framework's mean drift taken off.

    Optimisers do not wrap, so fractional coordinates are followed as they are.
    """
    framework = np.array([symbol != mobile for symbol in before.get_chemical_symbols()])
    if not framework.any():
        return 0.0
    moved = after.cell.scaled_positions(after.positions) - before.cell.scaled_positions(before.positions)
    moved = moved[framework] - moved[framework].mean(axis=0)
    return float(np.linalg.norm(moved @ after.cell.array, axis=1).max())


def magnetic_moments_muB(atoms: Atoms, calculator: Any) -> list[float]:
    """Magnetic moment (μB) of every atom as the calculator predicts it; empty if it does not."""
    probe = atoms.copy()
    probe.calc = calculator
    try:
        return [round(float(moment), 3) for moment in probe.get_magnetic_moments()]
    except (PropertyNotImplementedError, NotImplementedError):
        return []
