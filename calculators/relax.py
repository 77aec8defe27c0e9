"""Relaxing atoms, and the cell if asked, with any ASE calculator."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS
from ase.optimize.optimize import Optimizer

from calculators.failures import invalid

# ASE's cell filter asks SciPy for the logarithm of the strain, which warns at errors of 1e-12 at every step.
warnings.filterwarnings("ignore", message="logm result may be inaccurate", category=RuntimeWarning)

#: Called with one event per optimiser step: {"stage", "step", "fmax_eV_per_A", "force_calls", ...}.
Progress = Callable[[dict[str, Any]], None]

#: Called with structures that carry their results, in the order of the path.
Record = Callable[[Sequence[Atoms]], None]

#: What else of a calculator's results is written with a structure: fine-tuning learns from it.
KEPT = ("free_energy", "stress", "magmoms")

#: BFGS diagonalises a dense matrix every step: nothing at 250 degrees of freedom, a quarter of a CHGNet band at
#: 720, seconds at 2,400. Above this many, LBFGS, which took the same number of steps to the same barrier.
BFGS_LIMIT = 600

#: No atom moves further than this in one step (Å).
MAX_STEP_A = 0.2


def silent(event: dict[str, Any]) -> None:
    """The default progress callback."""


def forget(frames: Sequence[Atoms]) -> None:
    """The default record of frames."""


@dataclass
class Relaxation:
    """A relaxed structure, its energy and forces frozen into `atoms.calc` (no live calculator left).

    fmax in eV/Å (for a cell relaxation including the cell's generalised forces).
    """

    atoms: Atoms
    energy_eV: float
    fmax_eV_per_A: float
    steps: int
    force_calls: int
    converged: bool


def make_optimizer(target: Any, name: str, degrees_of_freedom: int) -> Optimizer:
    """BFGS, LBFGS or FIRE on atoms, a cell filter or a band; "auto" chooses by size."""
    if name == "auto":
        name = "bfgs" if degrees_of_freedom <= BFGS_LIMIT else "lbfgs"
    if name == "fire":
        return FIRE(target, logfile=None, maxstep=MAX_STEP_A)
    if name == "bfgs":
        return BFGS(target, logfile=None, maxstep=MAX_STEP_A)
    return LBFGS(target, logfile=os.devnull, maxstep=MAX_STEP_A)


def frozen(atoms: Atoms, energy_eV: float, forces: np.ndarray) -> Atoms:
    """A copy of `atoms` that carries these results instead of a live calculator."""
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(copy, energy=energy_eV, free_energy=energy_eV, forces=forces)
    return copy


def snapshot(atoms: Atoms) -> Atoms:
    """A copy of `atoms` with all that its live calculator knows of it; nothing is computed that is not known."""
    copy = atoms.copy()
    needed = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(apply_constraint=False)}
    known = {name: atoms.calc.results[name] for name in KEPT if name in atoms.calc.results}
    copy.calc = SinglePointCalculator(copy, **known | needed)
    return copy


def relax(
    atoms: Atoms,
    calculator: Any,
    *,
    fmax_eV_per_A: float,
    steps: int,
    cell: bool = False,
    stage: str = "relax",
    optimizer: str = "auto",
    progress: Progress = silent,
    record: Record = forget,
) -> Relaxation:
    """Relax a copy of `atoms` until no force exceeds `fmax_eV_per_A`, or `steps` are used up.

    Args:
        record: is given the structure of every step.

    Raises:
        CalculationFailed: `invalid`, if energy or forces are not finite numbers.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    target = FrechetCellFilter(atoms) if cell else atoms
    engine = make_optimizer(target, optimizer, 3 * len(target))
    fmax = np.inf
    for step, _ in enumerate(engine.irun(fmax=fmax_eV_per_A, steps=steps)):
        fmax = float(np.linalg.norm(target.get_forces(), axis=1).max())
        if not (np.isfinite(fmax) and np.isfinite(atoms.get_potential_energy())):
            raise invalid(f"the calculator returned an energy or force that is no number at step {step}", stage)
        progress({"stage": stage, "step": step, "fmax_eV_per_A": round(fmax, 4), "force_calls": step + 1})
        if record is not forget:
            record([snapshot(atoms)])
        if fmax < fmax_eV_per_A:
            break
    steps_done = engine.nsteps
    energy = float(atoms.get_potential_energy())
    return Relaxation(
        atoms=frozen(atoms, energy, atoms.get_forces()),
        energy_eV=energy,
        fmax_eV_per_A=fmax,
        steps=steps_done,
        force_calls=steps_done + 1,
        converged=fmax < fmax_eV_per_A,
    )
