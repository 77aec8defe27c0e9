"""Molecular dynamics at constant volume and temperature with any ASE calculator, streamed to disk, resumable.

The trajectory (ASE .traj: positions and momenta in double precision, energy, thermostat) is the only state. A run
that was killed goes on from its last whole frame and gives the frames that it would have given: to the last bit where
the calculator is a function of the positions alone, within rounding where it keeps neighbour lists (EMT).
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory, TrajectoryReader, TrajectoryWriter
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from pydantic import BaseModel, ConfigDict, Field

from calculators.md_guard import Guard
from calculators.relax import Progress, silent
from calculators.thermostats import Thermostat, make_dynamics, state_of, temperature_K


class MdSettings(BaseModel):
    """Settings of one run. The defaults are those of Fu et al. (high-entropy LZSP, section 4.2): NVT by Berendsen,
    1 fs, 100 ps; the paper does not say what is discarded as equilibration nor the coupling time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    thermostat: Thermostat = "berendsen"
    time_step_fs: float = Field(1.0, gt=0, le=10)
    # The run takes equilibration_ps + ps; the first part is in the trajectory, but not analysed.
    ps: float = Field(100.0, gt=0)
    equilibration_ps: float = Field(1.0, ge=0)
    # Relaxation time of the kinetic energy (for Langevin: inverse friction).
    coupling_fs: float = Field(100.0, gt=0)
    frame_every: int = Field(10, ge=1)  # steps
    seed: int = 0  # of the initial velocities, and of Langevin's noise

    @property
    def steps(self) -> int:
        """Steps in all, a whole number of frames."""
        frames = (self.ps + self.equilibration_ps) * 1000 / self.time_step_fs / self.frame_every
        return int(np.ceil(frames - 1e-9)) * self.frame_every


def run_md(
    atoms: Atoms,
    calculator: Any,
    temperature_K: float,
    settings: MdSettings,
    path: Path,
    progress: Progress = silent,
) -> int:
    """Bring the trajectory at `path` to its full length, from its last frame if it has any.

    Args:
        atoms: start of a new trajectory, without vacancies; velocities are drawn (Maxwell-Boltzmann).
        progress: called once per frame with {"stage", "step", "steps", "ps", "temperature_K", "steps_per_s"}.

    Returns:
        the number of steps done in this call.

    Raises:
        CalculationFailed: `invalid`, when the run leaves physics (see `calculators.md_guard`); the frames before
            stay.
        BlockingIOError: another process writes this trajectory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path), TrajectoryWriter(path, mode="a", properties=["energy"]) as writer:
        last = last_frame(path)
        atoms = _start(atoms, temperature_K, settings.seed) if last is None else last
        atoms.calc = calculator
        first = 0 if last is None else int(last.info["step"])
        if first >= settings.steps:
            return 0
        dynamics = make_dynamics(
            atoms,
            settings.thermostat,
            temperature_K,
            settings.time_step_fs,
            settings.coupling_fs,
            settings.seed,
            last.info["thermostat"] if last is not None else None,
        )
        _run(atoms, dynamics, first, temperature_K, settings, writer, progress)
    return settings.steps - first


def _run(
    atoms: Atoms,
    dynamics: Any,
    first: int,
    target_K: float,
    settings: MdSettings,
    writer: TrajectoryWriter,
    progress: Progress,
) -> None:
    guard = Guard(atoms, target_K)
    clock = time.perf_counter()
    # irun yields before its first step, too.
    for step, _ in enumerate(dynamics.irun(settings.steps - first), first):
        measured_K = temperature_K(atoms)
        guard.step(step, atoms, measured_K)
        if step % settings.frame_every or (step == first and first > 0):
            continue
        guard.frame(step, atoms)
        time_fs = step * settings.time_step_fs
        atoms.info = {"step": step, "time_fs": time_fs, "thermostat": state_of(dynamics)}
        writer.write(atoms)
        elapsed_s = time.perf_counter() - clock
        progress(
            {
                "stage": "md",
                "step": step,
                "steps": settings.steps,
                "ps": time_fs / 1000,
                "temperature_K": round(measured_K, 1),
                "steps_per_s": round((step - first) / elapsed_s, 2),
            }
        )


def last_frame(path: Path) -> Atoms | None:
    """The last whole frame of a trajectory, None if there is none yet."""
    if frames_of(path) == 0:
        return None
    with Trajectory(path) as trajectory:
        return trajectory[-1]


def frames_of(path: Path) -> int:
    """Whole frames of a trajectory; a frame that was cut off by a kill does not count."""
    if not path.is_file() or path.stat().st_size == 0:
        return 0
    with TrajectoryReader(path) as trajectory:
        return len(trajectory)


def _start(atoms: Atoms, temperature_K: float, seed: int) -> Atoms:
    start = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    MaxwellBoltzmannDistribution(start, temperature_K=temperature_K, rng=np.random.default_rng(seed))
    Stationary(start)
    return start


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer per trajectory; the kernel frees the lock of a killed process."""
    with path.with_suffix(".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"{path}: another process is writing this trajectory") from None
        yield
