"""How long one CHGNet CI-NEB label takes, against plain ASE with CHGNet's own calculator.

Baseline: what the documentation of ASE and CHGNet suggests. BFGS for both end points, NEB with linear minimum-image
interpolation, improved tangent, climb=True, one `CHGNetCalculator` per image over one shared model, live end points,
BFGS on the band. Ours: `BarrierRun` (frozen end points, IDPP, rearranged network) to the same fmax, same images, same
hop from the same relaxed ordering. Times are processor time of one thread, so that a busy machine does not matter
much; wall time is printed beside.

    OMP_NUM_THREADS=1 python benchmarks/neb_speed.py --compositions 10 --images 5 --fmax 0.05
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.mep import NEB
from ase.optimize import BFGS

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from calculators import registry
from calculators.barrier import BarrierRun
from calculators.failures import CalculationFailed
from calculators.hops import Edge, build_network, distinct
from calculators.label import FailureKind
from calculators.labeller import NebLabeller
from calculators.structures import split, vacancies_after

#: Sets of four substituents on two zirconium sites each, all tetravalent mixes or charge-compensated.
DOPANTS = [
    {"Hf": 4, "Sn": 4, "Ge": 4, "Ti": 4},
    {"Sn": 4, "Sc": 3, "Ge": 4, "Nb": 5},
    {"Y": 3, "Ta": 5, "Hf": 4, "Sn": 4},
    {"Al": 3, "Ta": 5, "Ti": 4, "Hf": 4},
    {"In": 3, "Nb": 5, "Zr": 4, "Ti": 4},
    {"Sc": 3, "Nb": 5, "Hf": 4, "Ge": 4},
    {"Ga": 3, "Ta": 5, "Zr": 4, "Sn": 4},
    {"Y": 3, "Nb": 5, "Ti": 4, "Zr": 4},
    {"Al": 3, "Nb": 5, "Hf": 4, "Zr": 4},
    {"Sc": 3, "Ta": 5, "Sn": 4, "Ti": 4},
]


class Clock:
    """Processor and wall seconds, and network evaluations, of a stretch of work."""

    def __init__(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        return time.process_time() - self.cpu, time.perf_counter() - self.wall


def stock_factory() -> Callable[[], Any]:
    from chgnet.model import CHGNet
    from chgnet.model.dynamics import CHGNetCalculator

    model = CHGNet.load(use_device="cpu", verbose=False)
    return lambda: CHGNetCalculator(model=model, use_device="cpu")


def plain_ase(initial: Atoms, moved: Atoms, images: int, fmax: float) -> tuple[float, float, bool]:
    """Forward and backward barrier (eV) and whether it converged, by plain ASE and the stock calculator."""
    factory = stock_factory()
    ends = []
    for state in (initial.copy(), moved.copy()):
        state.calc = factory()
        BFGS(state, logfile=None).run(fmax=fmax, steps=200)
        ends.append(state)
    band = [ends[0], *(ends[0].copy() for _ in range(images)), ends[1]]
    for image in band[1:-1]:
        image.calc = factory()
    neb = NEB(band, climb=True, method="improvedtangent")
    neb.interpolate(mic=True)
    converged = BFGS(neb, logfile=None).run(fmax=fmax, steps=200)
    energies = np.array([image.get_potential_energy() for image in band])
    return float(energies.max() - energies[0]), float(energies.max() - energies[-1]), bool(converged)


def first_valid_hop(run: BarrierRun, ordering: Any, relaxed: Atoms) -> tuple[Edge, Atoms, Atoms]:
    """The easiest hop whose end points hold, its initial state and its final state before relaxation."""
    vacancies, names, _ = vacancies_after(ordering, relaxed)
    network = build_network(relaxed, ordering.ion, vacancies, names, run.settings.hop_cutoff_A)
    for edge in distinct(network.computable)[:6]:
        atom = int(ordering.mobile[edge.first])
        try:
            run.final_state(relaxed, atom, np.array(edge.vector_A))
        except CalculationFailed:
            continue
        moved = relaxed.copy()
        moved.positions[atom] += edge.vector_A
        return edge, relaxed, moved
    raise CalculationFailed(FailureKind.INVALID, "no hop holds", "end points")


def compare(number: int, images: int, fmax: float, folder: Path) -> dict[str, Any]:
    host = load_host("nzsp")
    dopants = DOPANTS[number]
    composition = Composition(
        host="nzsp",
        amounts=tuple(sorted((element, 2) for element in dopants)),
        valences=tuple(sorted(dopants.items())),
        mobile=12,
    )
    ordering = split(draw(host, composition), "Na")
    labeller = registry.find("chgnet")
    assert isinstance(labeller, NebLabeller)
    settings = {"preset": "quick", "images": images, "fmax_eV_per_A": fmax, "endpoint_fmax_eV_per_A": fmax}
    run = labeller.run(settings, folder)
    relaxed = run.relax_ordering(ordering)
    edge, initial, moved = first_valid_hop(run, ordering, relaxed.atoms)

    clock, run.force_calls, run.seconds = Clock(), 0, {}
    start = run.initial_state(relaxed)
    final = run.final_state(start, int(ordering.mobile[edge.first]), np.array(edge.vector_A))
    band = run.band(start, final, folder)
    ours = clock.read()
    clock = Clock()
    plain_forward, plain_backward, plain_converged = plain_ase(initial, moved, images, fmax)
    plain = clock.read()
    ase.io.write(folder / "band.extxyz", band.images)
    return {
        "dopants": "".join(dopants),
        "hop": edge.name,
        "ours_eV": round(band.forward_eV, 4),
        "plain_eV": round(plain_forward, 4),
        "difference_meV": round(1000 * (band.forward_eV - plain_forward), 1),
        "difference_backward_meV": round(1000 * (band.backward_eV - plain_backward), 1),
        "ours_converged": band.converged,
        "plain_converged": plain_converged,
        "ours_cpu_s": round(ours[0], 1),
        "plain_cpu_s": round(plain[0], 1),
        "ours_wall_s": round(ours[1], 1),
        "plain_wall_s": round(plain[1], 1),
        "speedup_cpu": round(plain[0] / ours[0], 2),
        "our_force_calls": run.force_calls,
        "our_stages_s": run.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compositions", type=int, default=len(DOPANTS))
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å, end points and band")
    arguments = parser.parse_args()
    rows = []
    for number in range(arguments.compositions):
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows.append(compare(number, arguments.images, arguments.fmax, Path(folder)))
            except CalculationFailed as failure:
                print(json.dumps({"dopants": "".join(DOPANTS[number]), "failed": str(failure)}), flush=True)
                continue
        print(json.dumps(rows[-1]), flush=True)
    both = [row for row in rows if row["ours_converged"] and row["plain_converged"]]
    if both:
        speedups = [row["speedup_cpu"] for row in both]
        worst = max(abs(row["difference_meV"]) for row in both)
        print(f"{len(both)} of {arguments.compositions} compared; median speedup {np.median(speedups):.2f}")
        print(f"largest difference of the forward barrier {worst} meV")


if __name__ == "__main__":
    main()
