"""Climbing-image nudged elastic band (Henkelman, Uberuaga, Jónsson, J. Chem. Phys. 113, 9901 (2000)) through
ASE.

Always the improved tangent (Henkelman & Jónsson, J. Chem. Phys. 113, 9978 (2000)), image-dependent pair
potential
interpolation, frozen end points, and one calculator object per image: with a shared one ASE recomputes images
whose positions have not changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.mep import NEB
from numpy.typing import NDArray

from calculators import idpp
from calculators.failures import invalid
from calculators.relax import Progress, Record, forget, make_optimizer, silent, snapshot
from calculators.settings import NebSettings
from calculators.storage import read_images, write_images

#: The band in the folder of its hop.
BAND_FILE = "band.extxyz"

#: A band is written at least this often (optimiser steps), so that a killed run loses little.
SAVE_EVERY = 5

#: No solid-state hop is this hard: such an energy is a broken potential or two atoms in one place.
ABSURD_BARRIER_EV = 20.0


@dataclass
class Band:
    """A band with frozen results; `images[0]` and `images[-1]` are the end points.

    path_eV is relative to the initial state; path_A is the distance along the path in configuration space.
    """

    images: list[Atoms]
    path_A: list[float]
    path_eV: list[float]
    fmax_eV_per_A: float
    steps: int
    force_calls: int
    converged: bool

    @property
    def forward_eV(self) -> float:
        return max(self.path_eV)

    @property
    def backward_eV(self) -> float:
        return max(self.path_eV) - self.path_eV[-1]

    @property
    def reaction_energy_eV(self) -> float:
        return self.path_eV[-1]


def interpolated(initial: Atoms, final: Atoms, images: int) -> list[Atoms]:
    """A band of `images` interior images between two end points, improved by IDPP (Smidstrup et al., 2014).

    Positions of `final` must be unwrapped (the atom moves from its place in `initial` straight to its place
    in `final`); see `unwrapped`.
    """
    band = [initial.copy()]
    for step in range(1, images + 1):
        image = initial.copy()
        image.positions += (final.positions - initial.positions) * step / (images + 1)
        band.append(image)
    band.append(final.copy())
    idpp.improve(band)
    return band


def unwrapped(initial: Atoms, final: Atoms) -> Atoms:
    """`final` with every atom at its periodic image nearest to its place in `initial`.

    Raises:
        ValueError: the two differ in atoms, their order or their cell.
    """
    if len(initial) != len(final) or (initial.numbers != final.numbers).any():
        raise ValueError(
            f"end points: {initial.get_chemical_formula()} and {final.get_chemical_formula()} "
            "must hold the same atoms in the same order"
        )
    if np.abs(initial.cell.array - final.cell.array).max() > 1e-3:
        raise ValueError("end points: the two cells differ; relax them in one and the same cell")
    image = final.copy()
    image.cell = initial.cell
    image.positions = initial.positions + find_mic(final.positions - initial.positions, initial.cell)[0]
    image.calc = final.calc
    return image


def run_band(
    images: list[Atoms],
    factory: Callable[[], Any],
    settings: NebSettings,
    *,
    band_file: Path | None = None,
    progress: Progress = silent,
    record: Record = forget,
) -> Band:
    """Optimise a band whose end points carry their energies; every interior image gets its own calculator.

    Convergence is judged by the projected force on every single image, the climbing one included.

    Args:
        band_file: written every few steps and at the end (extended XYZ, one frame an image).
        record: is given the interior images of every step.

    Raises:
        CalculationFailed: `invalid`, on energies that are not finite or absurd. Running out of steps is not
            raised: `Band.converged` says so.
    """
    interior = images[1:-1]
    for image in interior:
        image.calc = factory()
    neb = _Band(
        images,
        k=settings.spring_eV_per_A2,
        climb=settings.climb,
        method="improvedtangent",
        parallel=settings.parallel_images,
    )
    engine = make_optimizer(neb, settings.optimizer, 3 * len(neb))
    fmax = np.inf
    for step, _ in enumerate(engine.irun(fmax=settings.fmax_eV_per_A, steps=settings.steps)):
        forces = neb.get_forces().reshape(len(interior), -1, 3)
        fmax = float(np.linalg.norm(forces, axis=2).max())
        energies = np.asarray(neb.energies)
        barrier = float(energies.max() - energies[0])
        if not (np.isfinite(fmax) and np.isfinite(barrier)):
            raise invalid(f"the calculator returned an energy or force that is no number at step {step}", "neb")
        if barrier > ABSURD_BARRIER_EV:
            raise invalid(f"an image lies {barrier:.1f} eV above the initial state: atoms overlap on the path", "neb")
        progress(
            {
                "stage": "neb",
                "step": step,
                "fmax_eV_per_A": round(fmax, 4),
                "barrier_eV": round(barrier, 4),
                "force_calls": (step + 1) * len(interior),
            }
        )
        if record is not forget:
            record([snapshot(image) for image in interior])
        done = fmax < settings.fmax_eV_per_A
        if band_file is not None and (step % SAVE_EVERY == 0 or done):
            write_images(band_file, [snapshot(image) for image in images])
        if done:
            break
    saved = [snapshot(image) for image in images]
    if band_file is not None:
        write_images(band_file, saved)
    energies = np.array([image.get_potential_energy() for image in saved])
    return Band(
        images=saved,
        path_A=path_lengths(saved).tolist(),
        path_eV=(energies - energies[0]).tolist(),
        fmax_eV_per_A=fmax,
        steps=engine.nsteps,
        force_calls=(engine.nsteps + 1) * len(interior),
        converged=fmax < settings.fmax_eV_per_A,
    )


class _Band(NEB):
    """ASE's NEB, which lets calculators that want it compute all images in one pass (see ChgnetCalculator)."""

    def get_forces(self) -> NDArray[np.float64]:
        interior = self.images[1:-1]
        if getattr(interior[0].calc, "batches", bool)():
            interior[0].calc.calculate_together(interior)
        forces: NDArray[np.float64] = super().get_forces()
        return forces


def path_lengths(images: list[Atoms]) -> NDArray[np.float64]:
    """Distance along the path (Å, all atoms' displacements in quadrature), 0 for the first image."""
    steps = [
        np.linalg.norm(find_mic(after.positions - before.positions, before.cell)[0])
        for before, after in pairwise(images)
    ]
    return np.concatenate([[0.0], np.cumsum(steps)])


def saved_band(band_file: Path, initial: Atoms, final: Atoms, images: int) -> list[Atoms] | None:
    """The interior of an earlier, unfinished run between these very end points, or None."""
    band = read_images(band_file)
    if band is None or len(band) != images + 2:
        return None
    for ours, theirs in ((initial, band[0]), (final, band[-1])):
        if len(ours) != len(theirs) or np.abs(ours.positions - theirs.positions).max() > 1e-3:
            return None
    return [initial.copy(), *(image.copy() for image in band[1:-1]), final.copy()]
