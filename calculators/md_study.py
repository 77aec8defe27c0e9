"""One material at several temperatures: relax, run, judge stability and diffusion, extrapolate. Files in a folder.

    OUT/work.json              what was asked; another structure or calculator needs another folder
    OUT/relaxed.extxyz         where every run starts
    OUT/1000K/trajectory.traj  the run (`calculators.md`)
    OUT/transport.json         the result, OUT/msd.csv and OUT/arrhenius.csv its tables

What is there is not done again: a killed study goes on, a longer one extends its runs, and temperatures may be
added, or run in separate processes on the same folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field

from calculators import registry
from calculators.arrhenius import ROOM_K, Arrhenius, Point, fit_arrhenius, nernst_einstein_mS_per_cm
from calculators.command import large_enough
from calculators.displacements import read_displacements
from calculators.failures import CalculationFailed
from calculators.label import Failure, Structure, Work
from calculators.labeller import NebLabeller
from calculators.md import MdSettings, run_md
from calculators.pipeline import provenance, start_folder
from calculators.relax import Progress, relax, silent
from calculators.settings import validated
from calculators.stability import Stability, StabilitySettings, framework_stability
from calculators.storage import write_images, write_json, write_text
from calculators.structures import split
from calculators.transport import Diffusion, TransportSettings, Verdict, diffusion, require_kinisi

RESULT = "transport.json"
#: Raised whenever the same settings would give another trajectory.
PROTOCOL = "1"


class StudySettings(BaseModel):
    """Everything a study can be told. As Fu et al., it relaxes first and then keeps the lattice fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    relax: bool = True  # atoms and cell, before the dynamics
    relax_fmax_eV_per_A: float = Field(0.05, gt=0)
    relax_steps: int = Field(300, ge=1)
    # The cell is repeated until no vector is shorter than this.
    min_cell_A: float = Field(8.0, ge=0)
    charge_e: float | None = Field(None, gt=0)  # of the mobile ion; by default its usual oxidation state
    room_K: float = Field(ROOM_K, gt=0)
    options: dict[str, Any] = Field(default_factory=dict)  # passed on to the calculator's factory
    md: MdSettings = MdSettings()
    transport: TransportSettings = TransportSettings()
    stability: StabilitySettings = StabilitySettings()

    def decisive(self) -> dict[str, Any]:
        """What decides the trajectories, step by step: not how long they are, nor how they are analysed."""
        dynamics = self.md.model_dump(exclude={"ps", "equilibration_ps"})
        return self.model_dump(exclude={"md", "transport", "stability", "charge_e", "room_K"}) | {"md": dynamics}


class AtTemperature(BaseModel):
    """One run: why it failed, or what it says of framework and ion."""

    temperature_K: float
    trajectory: str
    failure: Failure | None = None
    stability: Stability | None = None
    diffusion: Diffusion | None = None
    sigma_mS_per_cm: float | None = None
    sigma_error_mS_per_cm: float | None = None

    @property
    def excluded(self) -> str:
        """Why this temperature is not on the Arrhenius line; empty if it is."""
        if self.failure is not None:
            return self.failure.reason
        assert self.stability is not None
        assert self.diffusion is not None
        if self.stability.stable is False:
            return self.stability.reason
        return "" if self.diffusion.verdict is Verdict.DIFFUSIVE else self.diffusion.reason


class Transport(BaseModel):
    """The result of a study, as in transport.json."""

    formula: str
    ion: str
    ions: int
    charge_e: float
    volume_A3: float
    calculator: str
    runs: list[AtTemperature]
    arrhenius: Arrhenius
    provenance: dict[str, Any]


def study(
    structure: Atoms,
    ion: str,
    calculator: str,
    temperatures_K: Sequence[float],
    out: Path,
    settings: dict[str, Any] | None = None,
    progress: Progress = silent,
    name: str = "",
) -> Transport:
    """Run what is not there yet, and judge all of it.

    Args:
        structure: an ordering; sites of element X are vacant and left out.
        settings: of `StudySettings`, as plain data.
        progress: called with the events of `calculators.relax` and `calculators.md`, which say "target_K".

    Raises:
        ValueError: senseless structure, ion, calculator, temperatures or settings, or a folder with other work.
        ImportError: kinisi is not installed.
    """
    require_kinisi()
    checked = study_settings(settings)
    temperatures = sorted(set(temperatures_K))
    if not temperatures or not all(0 < temperature < 10_000 for temperature in temperatures):
        raise ValueError(f"temperatures: {list(temperatures_K)}; give one or more between 0 and 10000 K")
    atoms = split(large_enough(structure, checked.min_cell_A), ion).atoms
    charge = checked.charge_e or usual_charge_e(ion)
    labeller = _energies(calculator)
    if problem := labeller.unavailable():
        raise ImportError(f"calculator '{calculator}' {problem}")
    work = _work(structure, ion, calculator, checked, name or str(atoms.symbols))
    versions = _versions(labeller)
    start_folder(out, work, work.key(versions), of=lambda marked: marked.key(versions))
    engine = labeller.factory(**checked.options)
    start = _relaxed(atoms, engine, checked, out / "relaxed.extxyz", progress)
    runs = [_run(start, ion, charge, engine, kelvin, checked, out, progress) for kelvin in temperatures]
    ions, volume = int((start.symbols == ion).sum()), float(start.cell.volume)
    result = Transport(
        formula=start.get_chemical_formula(),
        ion=ion,
        ions=ions,
        charge_e=charge,
        volume_A3=volume,
        calculator=calculator,
        runs=runs,
        arrhenius=fit_arrhenius(_points(runs), ions, volume, charge, checked.room_K),
        provenance=provenance(work) | {"settings": checked.model_dump(mode="json")},
    )
    write_json(out / RESULT, result)
    write_text(out / "msd.csv", _msd_table(runs))
    write_text(out / "arrhenius.csv", _arrhenius_table(runs))
    return result


def study_settings(given: dict[str, Any] | None) -> StudySettings:
    """Complete, checked settings from a person's few (`ValueError` if wrong)."""
    return validated(StudySettings, given or {}, "settings of md")


def study_key(structure: Atoms, ion: str, calculator: str, settings: dict[str, Any] | None = None) -> str:
    """Content address of a study's trajectories (hex): which folder may hold them, whatever their length."""
    work = _work(structure, ion, calculator, study_settings(settings), "")
    return work.key(_versions(_energies(calculator)))


def _work(structure: Atoms, ion: str, calculator: str, settings: StudySettings, name: str) -> Work:
    return Work(
        structure=Structure.from_atoms(structure),
        ion=ion,
        calculator=calculator,
        settings=settings.decisive(),
        name=name,
    )


def _versions(labeller: NebLabeller) -> dict[str, str]:
    return {"md protocol": PROTOCOL} | labeller.versions()


def _energies(calculator: str) -> NebLabeller:
    labeller = registry.find(calculator)
    if not isinstance(labeller, NebLabeller):
        raise ValueError(f"calculator '{calculator}' gives no energies and forces: dynamics needs them")
    return labeller


def usual_charge_e(ion: str) -> float:
    """The element's lowest positive common oxidation state (pymatgen).

    Raises:
        ValueError: it has none; the user must say.
    """
    from pymatgen.core import Element

    states = [state for state in Element(ion).common_oxidation_states if state > 0]
    if not states:
        raise ValueError(f"charge of {ion}: no usual one is known; give charge_e")
    return float(min(states))


def _relaxed(atoms: Atoms, engine: Any, settings: StudySettings, path: Path, progress: Progress) -> Atoms:
    """The start of all runs, always as the file says it, so that a resumed study starts from the same digits."""
    if not path.exists():
        if settings.relax:
            atoms = relax(
                atoms,
                engine,
                fmax_eV_per_A=settings.relax_fmax_eV_per_A,
                steps=settings.relax_steps,
                cell=True,
                progress=progress,
            ).atoms
        write_images(path, atoms)
    found = ase.io.read(path)
    assert isinstance(found, Atoms)
    return found


def _run(
    start: Atoms,
    ion: str,
    charge_e: float,
    engine: Any,
    kelvin: float,
    settings: StudySettings,
    out: Path,
    progress: Progress,
) -> AtTemperature:
    path = out / f"{kelvin:g}K" / "trajectory.traj"
    found = AtTemperature(temperature_K=kelvin, trajectory=str(path.relative_to(out)))
    try:
        run_md(start, engine, kelvin, settings.md, path, lambda event: progress(event | {"target_K": kelvin}))
    except CalculationFailed as error:
        return found.model_copy(update={"failure": error.failure})
    moved = read_displacements(path, ion, settings.md.equilibration_ps)
    seen = diffusion(moved, settings.transport)
    found = found.model_copy(update={"stability": framework_stability(moved, settings.stability), "diffusion": seen})
    if seen.d_cm2_per_s is None or seen.d_error_cm2_per_s is None:
        return found
    factor = nernst_einstein_mS_per_cm(1.0, seen.ions, moved.volume_A3, kelvin, charge_e)
    return found.model_copy(
        update={
            "sigma_mS_per_cm": factor * seen.d_cm2_per_s,
            "sigma_error_mS_per_cm": factor * seen.d_error_cm2_per_s,
        }
    )


def _points(runs: Sequence[AtTemperature]) -> list[Point]:
    points = []
    for run in runs:
        seen = run.diffusion
        if not run.excluded and seen is not None and seen.d_cm2_per_s is not None and seen.ln_d_error is not None:
            points.append(Point(run.temperature_K, seen.d_cm2_per_s, seen.ln_d_error))
    return points


def _msd_table(runs: Sequence[AtTemperature]) -> str:
    rows = [
        (run.temperature_K, *row)
        for run in runs
        if run.diffusion is not None
        for row in zip(run.diffusion.lag_ps, run.diffusion.msd_A2, run.diffusion.msd_error_A2, strict=True)
    ]
    return _table(("temperature_K", "lag_ps", "msd_A2", "msd_error_A2"), rows)


def _arrhenius_table(runs: Sequence[AtTemperature]) -> str:
    rows = []
    for run in runs:
        seen, framework = run.diffusion, run.stability
        rows.append(
            (
                run.temperature_K,
                seen.d_cm2_per_s if seen else None,
                seen.d_error_cm2_per_s if seen else None,
                run.sigma_mS_per_cm,
                run.sigma_error_mS_per_cm,
                seen.window_msd_A2 if seen else None,
                framework.rmsd_A if framework else None,
                run.excluded,
            )
        )
    names = ("temperature_K", "D_cm2_per_s", "D_error_cm2_per_s", "sigma_mS_per_cm", "sigma_error_mS_per_cm")
    return _table((*names, "window_msd_A2", "framework_rmsd_A", "excluded"), rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows)
    return stream.getvalue()
