"""Where the time of a CHGNet label goes, and how it grows with atoms and images.

NASICON cells Na6Zr4Si4P2O24 (40 atoms) repeated to 80, 160 and 320, the hop of one Na into a vacant site. Of every
part of a label a fixed number of steps is run (not to convergence), timed in processor seconds of one thread:

    hops          the migration network with bond-valence estimates
    interpolation IDPP
    graph         neighbour list and angles          }
    forward       the network                        }  of every force call
    derivative    its backward pass                  }
    optimiser     NEB projection, LBFGS, the rest of a step
    files         the saved band

    OMP_NUM_THREADS=1 python benchmarks/neb_growth.py OUT.json      # about two minutes
    python benchmarks/neb_growth.py OUT.json --plot docs/benchmarks/neb-growth.png
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from ase import Atoms
from ase.spacegroup import crystal
from matplotlib.figure import Figure

import calculators.chgnet_network as network
import calculators.neb as neb
from calculators.chgnet import ChgnetCalculator
from calculators.hops import build_network
from calculators.relax import frozen
from calculators.settings import NebSettings

REPEATS = {40: (1, 1, 1), 80: (1, 1, 2), 160: (1, 2, 2), 320: (2, 2, 2)}
IMAGES = (1, 3, 5, 7)
#: Optimiser steps of a band that are timed, and images while atoms grow, and atoms while images grow.
STEPS, BASE_IMAGES, BASE_ATOMS = 5, 3, 80
PARTS = ("graph", "forward", "derivative", "optimiser", "files")
COLORS = {
    "graph": "#b7c9d6",
    "forward": "#7aa6c2",
    "derivative": "#1f5a85",
    "optimiser": "#d9a441",
    "files": "#999999",
}


class Clock:
    """Processor seconds by part; what runs inside another part counts only for the inner one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.inner = [0.0]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.process_time()
        self.inner.append(0.0)
        try:
            yield
        finally:
            total, inside = time.process_time() - start, self.inner.pop()
            self.spent[name] += total - inside
            self.inner[-1] += total

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return run


def cell(atoms: int) -> tuple[Atoms, Atoms, np.ndarray]:
    """Initial and final state of a hop, and the vacant sites (fractional)."""
    names = ["Na", "Na", "Zr", "P", "O", "O"]
    places = [(0, 0, 0), (0.6363, 0, 0.25), (0, 0, 0.1456), (0.2904, 0, 0.25), (0.182, -0.0278, 0.1945)]
    places.append((0.189, 0.1697, 0.0864))
    shape = {"spacegroup": 167, "cellpar": [8.81, 8.81, 22.75, 90, 90, 120], "primitive_cell": True}
    made = crystal(names, places, **shape)
    one = Atoms(made.numbers, positions=made.positions, cell=made.cell, pbc=True)
    one.numbers[np.flatnonzero(one.symbols == "P")[:4]] = 14
    sodium = np.flatnonzero(one.symbols == "Na")
    one.numbers[sodium[[-1, -3]]] = 0
    full = one * REPEATS[atoms]
    vacant = np.flatnonzero(full.numbers == 0)
    real = full[full.numbers != 0]
    assert len(real) == atoms
    target = full.positions[vacant[0]]
    ions = np.flatnonzero(real.symbols == "Na")
    probe = real + Atoms("Na", positions=[target])
    distances = probe.get_distances(len(real), ions, mic=True)
    ion = int(ions[distances.argmin()])
    final = real.copy()
    final.positions[ion] += probe.get_distance(ion, len(real), mic=True, vector=True)
    return real, final, full.get_scaled_positions()[vacant]


def measure(atoms: int, images: int) -> dict[str, Any]:
    """Processor seconds of every part; those of the band by optimiser step."""
    initial, final, vacancies = cell(atoms)
    clock = Clock()
    ions = int((initial.symbols == "Na").sum())
    carrier = initial.copy()
    charges = {"Na": 1, "Zr": 4, "Si": 4, "P": 5, "O": -2}
    carrier.set_initial_charges([charges[symbol] for symbol in initial.symbols])
    with clock.part("hops"):
        build_network(carrier, "Na", vacancies, ["Na"] * (ions + len(vacancies)), 4.0)
    for state in (initial, final):
        live = state.copy()
        live.calc = ChgnetCalculator()
        state.calc = frozen(live, live.get_potential_energy(), live.get_forces()).calc
    with clock.part("interpolation"):
        band = neb.interpolated(initial, final, images)
    band[0].calc, band[-1].calc = initial.calc, final.calc
    settings = NebSettings(images=images, fmax_eV_per_A=1e-6, steps=STEPS)
    replaced = {
        "build_graph": clock.timed("graph", network.build_graph),
        "torch.autograd.grad": clock.timed("derivative", torch.autograd.grad),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(network, "build_graph", replaced["build_graph"]),
        mock.patch.object(network.Network, "sites", clock.timed("forward", network.Network.sites)),
        mock.patch.object(torch.autograd, "grad", replaced["torch.autograd.grad"]),
        mock.patch.object(neb, "write_images", clock.timed("files", neb.write_images)),
        clock.part("optimiser"),
    ):
        found = neb.run_band(band, ChgnetCalculator, settings, band_file=Path(folder) / "band.extxyz")
    calls = found.force_calls // images
    once = {name: round(clock.spent[name], 3) for name in ("hops", "interpolation")}
    return {"atoms": atoms, "images": images} | once | {name: clock.spent[name] / calls for name in PARTS}


def collect(out: Path) -> None:
    measure(40, 1)  # loads and warms up
    rows = []
    for atoms, images in [(atoms, BASE_IMAGES) for atoms in REPEATS] + [(BASE_ATOMS, images) for images in IMAGES]:
        rows.append(measure(atoms, images))
        print(json.dumps({name: round(value, 4) for name, value in rows[-1].items()}), flush=True)
    out.write_text(json.dumps(rows, indent=1))


def table(rows: list[dict[str, Any]]) -> None:
    print("| atoms | images | " + " | ".join(PARTS) + " | step, s | hops, s | interpolation, s |")
    print("|" + "---|" * (len(PARTS) + 5))
    for row in rows:
        step = sum(row[part] for part in PARTS)
        parts = " | ".join(f"{row[part]:.3f}" for part in PARTS)
        print(f"| {row['atoms']} | {row['images']} | {parts} | {step:.2f} | {row['hops']} | {row['interpolation']} |")


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    by_atoms, by_images = figure.subplots(1, 2)
    grown = (by_atoms, "atoms", rows[: len(REPEATS)]), (by_images, "images", rows[len(REPEATS) :])
    for axes, what, part_rows in grown:
        bottom = np.zeros(len(part_rows))
        labels = [str(row[what]) for row in part_rows]
        for part in PARTS:
            heights = np.array([row[part] for row in part_rows])
            axes.bar(labels, heights, 0.7, bottom=bottom, color=COLORS[part], label=part)
            bottom += heights
        axes.set(xlabel=what, ylabel="processor seconds per band step")
    by_atoms.set_title(f"{BASE_IMAGES} images", fontsize=9)
    by_images.set_title(f"{BASE_ATOMS} atoms", fontsize=9)
    by_atoms.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--plot", type=Path, help="only plot what OUT.json holds")
    arguments = parser.parse_args()
    if arguments.plot is None:
        torch.set_num_threads(1)
        collect(arguments.out)
    rows = json.loads(arguments.out.read_text())
    table(rows)
    if arguments.plot is not None:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
