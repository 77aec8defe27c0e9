"""Does a calculator behave as the shared labeller assumes? `ionloop calculators check NAME` prints this
table.

The checks run on a small probe structure that the calculator is known to handle (by default rocksalt NaCl;
give your own for a calculator that knows other elements). Each gives a measured figure and the limit it is
held to. A calculator that runs an executable gets a temporary folder, gone afterwards.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.calculator import CalculationFailed, PropertyNotImplementedError
from scipy.spatial.transform import Rotation

from calculators import registry
from calculators.failures import CalculationFailed as NoValue
from calculators.failures import classify
from calculators.label import Structure, Work
from calculators.labeller import Labeller, NebLabeller
from calculators.pipeline import label_key, label_work

#: Finite-difference step (Å): large enough for single precision, small enough for smooth potentials.
STEP_A = 0.01


@dataclass(frozen=True)
class Check:
    """One line of the table: what was looked at, what was found, whether that is good enough, and the limit."""

    name: str
    passed: bool
    found: str
    limit: str = ""


@dataclass(frozen=True)
class Limits:
    """What the labeller needs; energies in eV per cell, forces in eV/Å."""

    force_eV_per_A: float = 0.01
    energy_eV: float = 1e-3


def probe() -> Atoms:
    """Rocksalt NaCl, 8 atoms, rattled, in a slightly sheared cell: nothing in it is zero by symmetry."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.set_cell(atoms.cell.array @ np.array([[1, 0.02, 0], [0, 1, 0.01], [0, 0, 1.015]]), scale_atoms=True)
    atoms.rattle(0.08, seed=3)
    return atoms


def metal_probe() -> Atoms:
    """fcc Cu, 8 atoms, rattled: for EMT and other metals-only potentials."""
    atoms = make_supercell(bulk("Cu"), [[2, 0, 0], [0, 2, 0], [0, 0, 2]])
    atoms.rattle(0.08, seed=3)
    return atoms


def check(
    name: str, atoms: Atoms | None = None, limits: Limits | None = None, options: dict[str, Any] | None = None
) -> Iterator[Check]:
    """Run the suite on a calculator of the registry, one finished check at a time.

    Args:
        atoms: the probe; by default NaCl, or Cu if the calculator does not know NaCl.
        options: of the calculator, as in the settings of a label.

    Raises:
        UnknownCalculator: no such calculator.
        ValueError: it does not take these options.
    """
    labeller = registry.find(name)
    problem = labeller.unavailable()
    yield Check("available", problem is None, problem or versions(labeller))
    if problem is not None:
        return
    if isinstance(labeller, NebLabeller):
        with tempfile.TemporaryDirectory() as folder:
            yield from _calculator_checks(name, labeller, Path(folder), atoms, limits or Limits(), options or {})
    else:
        yield from _labeller_checks(name, labeller, atoms)


def _calculator_checks(
    name: str,
    labeller: NebLabeller,
    folder: Path,
    atoms: Atoms | None,
    limits: Limits,
    options: dict[str, Any],
) -> Iterator[Check]:
    complete = labeller.settings({"options": options} if options else {})["options"]
    make = labeller.maker(complete, folder)
    try:
        make()
    except Exception as error:  # noqa: BLE001 - whatever it is, there is nothing to check
        yield Check("can be made", False, classify(error, "").reason)
        return
    refusals: list[str] = []
    probes = [atoms] if atoms is not None else [probe(), metal_probe()]
    chosen = next((candidate for candidate in probes if _runs(make, candidate, refusals)), None)
    yield Check("runs", chosen is not None, chosen.get_chemical_formula() if chosen else "; ".join(refusals))
    if chosen is not None:
        yield from _energy_checks(make, chosen, limits)
        yield _travels(name, chosen, options)
        yield _in_a_process(name, complete, chosen, evaluate(make(), chosen)[0], limits)


def versions(labeller: Labeller) -> str:
    return ", ".join(f"{package} {found}" for package, found in labeller.versions().items()) or "no versions given"


def _runs(factory: Callable[[], Any], atoms: Atoms, refusals: list[str]) -> bool:
    try:
        evaluate(factory(), atoms)
    except Exception as error:  # noqa: BLE001 - any refusal means: not this structure
        refusals.append(f"not on {atoms.get_chemical_formula()}: {classify(error, '').reason}")
        return False
    return True


def evaluate(calculator: Any, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å), computed afresh."""
    copy = atoms.copy()
    copy.calc = calculator
    return float(copy.get_potential_energy()), np.array(copy.get_forces())


def _energy_checks(factory: Callable[[], Any], atoms: Atoms, limits: Limits) -> Iterator[Check]:
    energy, forces = evaluate(factory(), atoms)
    rng = np.random.default_rng(0)
    shared = factory()

    yield _within("forces are minus the energy's slope", _slope_error(shared, atoms, forces), limits.force_eV_per_A)

    again = evaluate(factory(), atoms)
    difference = max(abs(again[0] - energy), np.abs(again[1] - forces).max())
    yield _within("deterministic between two objects", difference, limits.energy_eV / 10)

    moved = atoms.copy()
    moved.positions += rng.uniform(-5, 5, 3)
    yield _same("translation", evaluate(shared, moved), energy, forces, limits)

    wrapped = atoms.copy()
    wrapped.positions[0] += wrapped.cell.array.sum(0)
    yield _same("periodic image of one atom", evaluate(shared, wrapped), energy, forces, limits)

    rotation = Rotation.random(random_state=0).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation.T)
    turned.positions = atoms.positions @ rotation.T
    yield _same("rotation", evaluate(shared, turned), energy, forces @ rotation.T, limits)

    order = rng.permutation(len(atoms))
    yield _same("permutation of atoms", evaluate(shared, atoms[order]), energy, forces[order], limits)

    double = make_supercell(atoms, np.diag([1, 1, 2]))
    doubled = evaluate(shared, double)
    yield _supercell(abs(doubled[0] - 2 * energy), limits)

    yield _stress(factory(), atoms)
    yield _absurd(factory, atoms)
    start, calls = time.perf_counter(), 0
    while calls < 3 or (time.perf_counter() - start < 1 and calls < 50):
        shifted = atoms.copy()
        shifted.positions[0, 0] += 1e-3 * (calls + 1)
        evaluate(shared, shifted)
        calls += 1
    seconds = (time.perf_counter() - start) / calls
    yield Check("time per call", True, f"{1000 * seconds:.3g} ms for {len(atoms)} atoms")


def _within(name: str, value: float, limit: float) -> Check:
    return Check(name, bool(value <= limit), f"{value:.2g}", f"{limit:g}")


def _same(name: str, got: tuple[float, np.ndarray], energy: float, forces: np.ndarray, limits: Limits) -> Check:
    energy_error, force_error = abs(got[0] - energy), np.abs(got[1] - forces).max()
    passed = energy_error <= limits.energy_eV and force_error <= limits.force_eV_per_A
    found = f"{energy_error:.2g} eV, {force_error:.2g} eV/Å"
    return Check(name, bool(passed), found, f"{limits.energy_eV:g} eV, {limits.force_eV_per_A:g} eV/Å")


def _supercell(error_eV: float, limits: Limits) -> Check:
    line = _within("supercell: energy doubles", error_eV, 2 * limits.energy_eV)
    hint = "" if line.passed else " eV: too few k-points or too short a cutoff? use a larger cell"
    return replace(line, found=line.found + hint)


def _slope_error(calculator: Any, atoms: Atoms, forces: np.ndarray) -> float:
    """Largest difference (eV/Å) between forces and central differences along three coordinates and one
    direction.
    """
    rng = np.random.default_rng(1)
    directions = [rng.normal(size=atoms.positions.shape)]
    for _ in range(3):
        single = np.zeros_like(atoms.positions)
        single[rng.integers(len(atoms)), rng.integers(3)] = 1
        directions.append(single)
    worst = 0.0
    for direction in directions:
        direction = direction / np.linalg.norm(direction)
        slopes = []
        for sign in (1, -1):
            displaced = atoms.copy()
            displaced.positions += sign * STEP_A * direction
            slopes.append(sign * evaluate(calculator, displaced)[0])
        worst = max(worst, abs(-sum(slopes) / (2 * STEP_A) - float((forces * direction).sum())))
    return worst


def _stress(calculator: Any, atoms: Atoms) -> Check:
    """Stress by finite differences of the cell; needed only for relaxing it."""
    name, limit = "stress is the energy's slope by strain", 2e-4
    copy = atoms.copy()
    copy.calc = calculator
    try:
        stress = copy.get_stress(voigt=False)
    except (PropertyNotImplementedError, NotImplementedError):
        return Check(name, True, "no stress: use relax=atoms")
    worst, h = 0.0, 2e-3
    for i, j in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            strained = atoms.copy()
            strain = np.zeros((3, 3))
            strain[i, j] += sign * h / 2
            strain[j, i] += sign * h / 2
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(sign * evaluate(calculator, strained)[0])
        worst = max(worst, abs(sum(energies) / (2 * h) / atoms.get_volume() - stress[i, j]))
    return Check(name, worst <= limit, f"{worst:.2g} eV/Å^3", f"{limit:g} eV/Å^3")


def _absurd(factory: Callable[[], Any], atoms: Atoms) -> Check:
    """Two atoms in one place: an exception, no number, or a huge energy are all fine; a calm answer is not."""
    name = "absurd structure is noticed"
    crowded = atoms.copy()
    crowded.positions[1] = crowded.positions[0] + [0.02, 0, 0]
    normal, _ = evaluate(factory(), atoms)
    try:
        energy, forces = evaluate(factory(), crowded)
    except (ArithmeticError, ValueError, RuntimeError, CalculationFailed, NoValue) as error:
        return Check(name, True, f"raises {type(error).__name__}")
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        return Check(name, True, "answers NaN")
    found = f"{energy - normal:+.3g} eV, force {np.abs(forces).max():.3g} eV/Å"
    # Potentials fitted to sane structures often extrapolate calmly; the labeller therefore checks distances
    # itself.
    return Check(
        name, True, f"{found}{' (does not notice; distances are checked anyway)' if energy < normal else ''}"
    )


def _travels(name: str, atoms: Atoms, options: dict[str, Any]) -> Check:
    """A worker gets its work as JSON, the calculator by name: nothing of it may change on the way."""
    settings = {"options": options} if options else {}
    work = Work(structure=Structure.from_atoms(atoms), ion=str(atoms.symbols[0]), calculator=name, settings=settings)
    try:
        sent = label_key(work)
        there = label_key(Work.model_validate_json(work.model_dump_json()))
    except ValueError as error:
        return Check("work for it travels as JSON", False, str(error))
    return Check("work for it travels as JSON", sent == there, f"key {there[:8]} on both sides")


def _in_a_process(name: str, options: dict[str, Any], atoms: Atoms, here_eV: float, limits: Limits) -> Check:
    """The same energy in a fresh process to which structure, options and the calculator's name are pickled."""
    title = "pickled to a worker process"
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as worker:
        try:
            there_eV = worker.submit(_energy_by_name, name, options, atoms, folder).result()
        except Exception as error:  # noqa: BLE001 - whatever a calculator raises there
            return Check(title, False, f"{type(error).__name__}: {error}".splitlines()[0][:100])
    return _within(title, abs(there_eV - here_eV), limits.energy_eV / 10)


def _energy_by_name(name: str, options: dict[str, Any], atoms: Atoms, folder: str) -> float:
    labeller = registry.find(name)
    assert isinstance(labeller, NebLabeller)
    return float(evaluate(labeller.maker(options, Path(tempfile.mkdtemp(dir=folder)))(), atoms)[0])


def _labeller_checks(name: str, labeller: Labeller, atoms: Atoms | None) -> Iterator[Check]:
    """What can be asked of something that is no energy calculator: a label, twice the same."""
    structure = atoms if atoms is not None else probe()
    ion = str(structure.symbols[0])
    work = Work(structure=Structure.from_atoms(structure), ion=ion, calculator=name)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        labels = [label_work(work, Path(folder) / part) for part in "ab"]
        seconds = (time.perf_counter() - start) / 2
    first, second = labels
    answered = first.value_eV is not None
    found = f"{first.value_eV:.3f} eV" if first.value_eV is not None else str(first.failure)
    yield Check(f"labels {structure.get_chemical_formula()}", answered, found)
    yield Check("deterministic", first.value_eV == second.value_eV, str(second.value_eV))
    yield Check("names its fidelity", bool(labeller.fidelity), labeller.fidelity)
    yield Check("time per label", True, f"{seconds:.2g} s for {len(structure)} atoms")


def as_table(checks: list[Check]) -> str:
    """Plain text table, one line a check."""
    width = max(len(entry.name) for entry in checks)
    lines = []
    for entry in checks:
        limit = f"   (limit {entry.limit})" if entry.limit else ""
        lines.append(f"{'ok  ' if entry.passed else 'FAIL'}  {entry.name:<{width}}  {entry.found}{limit}")
    return "\n".join(lines)
