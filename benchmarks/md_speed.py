"""Steps per second of molecular dynamics, and whether it is the same dynamics: ours against plain ASE with CHGNet.

Baseline: what the documentation of ASE and CHGNet shows, `NVTBerendsen` driving `CHGNetCalculator`, a trajectory
frame every ten steps. Ours: `run_md` (guards, resumable trajectory) driving `ChgnetCalculator`. Same cell,
velocities, thermostat, time step. How fast rounding alone grows is shown by a second plain run whose start is moved
by 1e-6 Å.

    OMP_NUM_THREADS=1 python benchmarks/md_speed.py --steps 100
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.io.trajectory import Trajectory
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from numpy.typing import NDArray

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from calculators.chgnet import ChgnetCalculator
from calculators.md import MdSettings, run_md
from calculators.relax import relax

KELVIN, FRAME_EVERY = 1000.0, 10


def cell() -> Atoms:
    """80 atoms of NASICON, Na12 with Hf, Sn, Ge and Ti on the zirconium sites; atoms relaxed a little."""
    amounts = (("Ge", 2), ("Hf", 2), ("Sn", 2), ("Ti", 2))
    valences = tuple((element, 4) for element, _ in amounts)
    drawn = draw(load_host("nzsp"), Composition(host="nzsp", amounts=amounts, valences=valences, mobile=12))
    atoms = drawn[drawn.numbers != 0]
    return relax(atoms, ChgnetCalculator(), fmax_eV_per_A=0.3, steps=30).atoms


def plain(start: Atoms, steps: int, path: Path) -> None:
    from chgnet.model import CHGNet
    from chgnet.model.dynamics import CHGNetCalculator

    atoms = start.copy()
    MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN, rng=np.random.default_rng(0))
    Stationary(atoms)
    atoms.set_constraint(FixCom())  # so that ASE counts 3N - 3 degrees of freedom
    atoms.calc = CHGNetCalculator(model=CHGNet.load(use_device="cpu", verbose=False), use_device="cpu")
    dynamics = NVTBerendsen(
        atoms,
        1 * units.fs,
        temperature_K=KELVIN,
        taut=100 * units.fs,
        trajectory=str(path),
        loginterval=FRAME_EVERY,
    )
    dynamics.run(steps)


def ours(start: Atoms, steps: int, path: Path) -> None:
    settings = MdSettings(ps=steps / 1000, equilibration_ps=0, frame_every=FRAME_EVERY)
    run_md(start, ChgnetCalculator(), KELVIN, settings, path)


def timed(run: Callable[[Atoms, int, Path], None], start: Atoms, steps: int, folder: Path) -> tuple[float, float]:
    """Steps per second of processor time and of wall time; two steps before do not count."""
    run(start, FRAME_EVERY if run is ours else 2, folder / f"{run.__name__}-warm.traj")
    cpu, wall = time.process_time(), time.perf_counter()
    run(start, steps, folder / f"{run.__name__}.traj")
    return steps / (time.process_time() - cpu), steps / (time.perf_counter() - wall)


def positions(path: Path) -> NDArray[np.float64]:
    with Trajectory(path) as trajectory:
        return np.array([frame.positions for frame in trajectory])


def apart_A(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest distance between the two places of an atom, at every frame."""
    return np.linalg.norm(first - second, axis=2).max(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    start = cell()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speeds = {run.__name__: timed(run, start, steps, folder) for run in (plain, ours)}
        nudged = start.copy()
        nudged.positions += np.random.default_rng(1).normal(scale=1e-6, size=nudged.positions.shape)
        plain(nudged, steps, folder / "nudged.traj")
        base = positions(folder / "plain.traj")
        deviation = apart_A(base, positions(folder / "ours.traj"))
        growth = apart_A(base, positions(folder / "nudged.traj"))
    print("| run | steps/s of processor time | steps/s of wall time |")
    print("|---|---|---|")
    for label, (cpu, wall) in speeds.items():
        print(f"| {label} | {cpu:.2f} | {wall:.2f} |")
    ratios = [ours_one / plain_one for ours_one, plain_one in zip(speeds["ours"], speeds["plain"], strict=True)]
    print(f"| ratio | {ratios[0]:.2f} | {ratios[1]:.2f} |\n")
    print("| step | ours against plain, Å | plain against plain moved by 1e-6 Å, Å |")
    print("|---|---|---|")
    for frame in range(0, len(deviation), max(1, len(deviation) // 5)):
        print(f"| {frame * FRAME_EVERY} | {deviation[frame]:.1e} | {growth[frame]:.1e} |")


if __name__ == "__main__":
    main()
