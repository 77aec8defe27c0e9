"""How long one CHGNet CI-NEB label takes, against plain ASE with CHGNet's own calculator.

Baseline: what the documentation of ASE and CHGNet suggests. BFGS for both end points, NEB with linear minimum-image
interpolation, improved tangent, climb=True, one `CHGNetCalculator` per image over one shared model, live end points,
BFGS on the band. Ours: `BarrierRun` (frozen end points, IDPP, rearranged network) to the same fmax, same images, same
hop from the same relaxed ordering, one process, one after the other.

Resumable, so that a quiet machine is needed only for minutes at a time: `prepare` relaxes the orderings and finds a
hop of each; every `compare` times the next composition that OUT/rows.jsonl lacks; `table` prints what there is.

    OMP_NUM_THREADS=1 python benchmarks/neb_speed.py prepare OUT
    OMP_NUM_THREADS=1 python benchmarks/neb_speed.py compare OUT --images 5 --fmax 0.05    # once a composition
    python benchmarks/neb_speed.py table OUT
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from calculators.hops import build_network, distinct
from calculators.labeller import NebLabeller
from calculators.storage import read_images, write_json
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


@functools.cache
def stock_factory() -> Callable[[], Any]:
    from chgnet.model import CHGNet
    from chgnet.model.dynamics import CHGNetCalculator

    model = CHGNet.load(use_device="cpu", verbose=False)
    return lambda: CHGNetCalculator(model=model, use_device="cpu")


@dataclass
class Plain:
    """What plain ASE found: barriers (eV), whether it converged, and network evaluations."""

    forward_eV: float
    backward_eV: float
    converged: bool
    force_calls: int


def plain_ase(initial: Atoms, moved: Atoms, images: int, fmax: float) -> Plain:
    factory = stock_factory()
    ends, calls = [], 0
    for state in (initial.copy(), moved.copy()):
        state.calc = factory()
        engine = BFGS(state, logfile=None)
        engine.run(fmax=fmax, steps=200)
        ends.append(state)
        calls += engine.nsteps + 1
    band = [ends[0], *(ends[0].copy() for _ in range(images)), ends[1]]
    for image in band[1:-1]:
        image.calc = factory()
    neb = NEB(band, climb=True, method="improvedtangent")
    neb.interpolate(mic=True)
    engine = BFGS(neb, logfile=None)
    converged = engine.run(fmax=fmax, steps=200)
    energies = np.array([image.get_potential_energy() for image in band])
    calls += (engine.nsteps + 1) * images
    return Plain(float(energies.max() - energies[0]), float(energies.max() - energies[-1]), bool(converged), calls)


def prepare(number: int, fmax: float, folder: Path) -> None:
    """Relax one ordering and write it (start.extxyz) and its easiest hop whose end points hold (hop.json)."""
    dopants = DOPANTS[number]
    composition = Composition(
        host="nzsp",
        amounts=tuple(sorted((element, 2) for element in dopants)),
        valences=tuple(sorted(dopants.items())),
        mobile=12,
    )
    ordering = split(draw(load_host("nzsp"), composition), "Na")
    run = chgnet_run(folder, 3, fmax)
    relaxed = run.relax_ordering(ordering).atoms
    vacancies, names, _ = vacancies_after(ordering, relaxed)
    network = build_network(relaxed, ordering.ion, vacancies, names, run.settings.hop_cutoff_A)
    for edge in distinct(network.computable)[:6]:
        atom = int(ordering.mobile[edge.first])
        try:
            run.final_state(relaxed, atom, np.array(edge.vector_A))
        except CalculationFailed:
            continue
        hop = {"name": edge.name, "atom": atom, "vector_A": edge.vector_A}
        break
    else:
        hop = {"failed": "no hop holds"}
    write_json(folder / "hop.json", hop)


def chgnet_run(folder: Path, images: int, fmax: float) -> BarrierRun:
    labeller = registry.find("chgnet")
    assert isinstance(labeller, NebLabeller)
    settings = {"preset": "quick", "images": images, "fmax_eV_per_A": fmax, "endpoint_fmax_eV_per_A": fmax}
    return labeller.run(settings, folder)


def compare(number: int, images: int, fmax: float, prepared: Path, folder: Path) -> dict[str, Any]:
    """Both ways from the prepared ordering to a barrier: end points and band, not the ordering's own relaxation."""
    hop = json.loads((prepared / "hop.json").read_text())
    row: dict[str, Any] = {"dopants": "".join(DOPANTS[number]), "images": images, "fmax_eV_per_A": fmax}
    if "failed" in hop:
        return row | hop
    initial = read_images(prepared / "relaxed.extxyz")[0]
    vector = np.array(hop["vector_A"])
    moved = initial.copy()
    moved.positions[hop["atom"]] += vector
    for factory in (registry.find("chgnet").factory, stock_factory()):  # load both networks before any clock runs
        initial.copy().calc = factory()

    clock, run = Clock(), chgnet_run(folder, images, fmax)
    with run.timed("end points"):
        start = run.relax_end_point(initial.copy(), "initial")
    final = run.final_state(start, hop["atom"], vector)
    band = run.band(start, final, folder)
    ours = clock.read()
    clock = Clock()
    plain = plain_ase(initial, moved, images, fmax)
    row |= {"hop": hop["name"], "ours_s": clock_s(ours), "plain_s": clock_s(clock.read())}
    return row | {
        "ours_eV": [round(band.forward_eV, 4), round(band.backward_eV, 4)],
        "plain_eV": [round(plain.forward_eV, 4), round(plain.backward_eV, 4)],
        "converged": [band.converged, plain.converged],
        "force_calls": [run.force_calls, plain.force_calls],
        "our_stages_s": run.seconds,
    }


def clock_s(read: tuple[float, float]) -> dict[str, float]:
    return {"cpu": round(read[0], 1), "wall": round(read[1], 1)}


def rows(out: Path) -> list[dict[str, Any]]:
    path = out / "rows.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def compare_next(out: Path, images: int, fmax: float, only: int | None = None) -> None:
    done = {(row["dopants"], row["images"], row["fmax_eV_per_A"]) for row in rows(out)}
    for number, dopants in enumerate(DOPANTS):
        wanted = only is None or number == only
        if wanted and ("".join(dopants), images, fmax) not in done and (out / str(number) / "hop.json").exists():
            break
    else:
        sys.exit("nothing prepared is left to compare")
    with tempfile.TemporaryDirectory() as folder:
        row = compare(number, images, fmax, out / str(number), Path(folder))
    with (out / "rows.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    print(json.dumps(row))


def table(out: Path) -> None:
    """Markdown, one line a composition, then the ratios."""
    print("| substituents | images | hop | plain, s | ours, s | ratio | plain, eV | ours, eV | off, meV | calls |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    ratios, worst = [], 0.0
    for row in rows(out):
        if "failed" in row:
            print(f"| {row['dopants']} | {row['images']} | {row['failed']} |")
            continue
        plain, ours = row["plain_s"]["wall"], row["ours_s"]["wall"]
        ratio = plain / ours
        off = [1000 * (a - b) for a, b in zip(row["ours_eV"], row["plain_eV"], strict=True)]
        both = all(row["converged"])
        if both:
            ratios.append(ratio)
            worst = max(worst, *map(abs, off))
        energies = " | ".join(f"{pair[0]:.4f} / {pair[1]:.4f}" for pair in (row["plain_eV"], row["ours_eV"]))
        calls = f"{row['force_calls'][1]} / {row['force_calls'][0]}"
        print(
            f"| {row['dopants']} | {row['images']} | {row['hop']} | {plain} | {ours} "
            f"| {ratio:.2f} | {energies} | {off[0]:.1f} / {off[1]:.1f}{'' if both else ' (unconverged)'} | {calls} |"
        )
    if ratios:
        print(
            f"\n{len(ratios)} compared; ratio {min(ratios):.2f} to {max(ratios):.2f}, median {np.median(ratios):.2f};"
        )
        print(f"largest difference of a barrier {worst:.1f} meV")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "compare", "table"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--only", type=int, help="compare this composition (0 to 9), not the next")
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å, end points and band")
    arguments = parser.parse_args()
    if arguments.what == "table":
        table(arguments.out)
    elif arguments.what == "compare":
        compare_next(arguments.out, arguments.images, arguments.fmax, arguments.only)
    else:
        for number in range(len(DOPANTS)):
            if not (arguments.out / str(number) / "hop.json").exists():
                prepare(number, arguments.fmax, arguments.out / str(number))
                print(f"prepared {number + 1} of {len(DOPANTS)}", flush=True)


if __name__ == "__main__":
    main()
