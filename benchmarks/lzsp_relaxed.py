"""Relaxed Li3Zr2Si2PO12 orderings with their bond-valence barriers: data for the structural features.

    python benchmarks/lzsp_relaxed.py quaternary --first 0 --count 120 --out quaternary.jsonl
    python benchmarks/lzsp_relaxed.py orderings --first 0 --count 24 --out orderings.jsonl

`quaternary`: one random ordering each of compositions drawn from the 735 of Fu et al. (four elements 1:1:1:1 on the
Zr sites, Li 2.5-3.5). `orderings`: the 24 ways in which the four elements of their benchmark composition
Li2.5Zr0.5Ta0.5Hf0.5Ti0.5Si2PO12 can sit on four Zr sites. Both in the primitive cell (2 formula units; the paper's
supercell has 8), relaxed (cell and atoms) with the pretrained CHGNet 0.3.0; the paper fine-tuned it first. One line
of JSON per structure; what is in the file already is not computed again.

The target is the bond-valence percolation barrier of the relaxed framework (eV), not a mean squared displacement:
100 ps of molecular dynamics for each of 172 structures, as in the paper, is out of reach of a CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from agent.composition import Composition
from agent.filters import ChargeBalance
from agent.hosts import Host, load_host
from agent.ordering import draw
from agent.space import Proportions, SpaceConfig, build_space
from calculators.bondvalence import SiteEnergy, percolation_barriers
from calculators.chgnet import ChgnetCalculator
from calculators.relax import relax

#: The rhombohedral cell in thirds of the conventional vectors.
PRIMITIVE, FORMULA_UNITS = [[2, 1, 1], [-1, 1, 1], [-1, -2, 1]], 2
FMAX_EV_PER_A, STEPS, GRID_A = 0.1, 200, 0.25
SEED = 20261121


def primitive_host() -> Host:
    """The shipped LZSP host, whose own cell has 16 Zr sites, in the primitive cell with 4."""
    host = load_host("lzsp").model_dump(by_alias=True)
    for orbit in host["sites"]:
        orbit["species"] = {e: n * FORMULA_UNITS // host["formula_units"] for e, n in orbit["species"].items()}
    return Host.model_validate(host | {"name": "lzsp-primitive", "cell": PRIMITIVE, "formula_units": FORMULA_UNITS})


def quaternary(first: int, count: int) -> Iterator[tuple[str, Atoms, Composition]]:
    host = primitive_host()
    # Four elements 1:1:1:1 of Zr and the 23 dopants: on four sites, one each.
    settings = SpaceConfig(
        candidates=sorted(host.valences),
        generator=Proportions(types=["4-1"]),
        filters=[ChargeBalance(window=(2.5, 3.5))],
    )
    compositions = build_space(host, settings).compositions
    assert len(compositions) == 735
    order = np.random.default_rng(SEED).permutation(len(compositions))
    for i in order[first : first + count]:
        yield f"{compositions[i].formula(host)}", draw(host, compositions[i], 0, SEED), compositions[i]


def orderings(first: int, count: int) -> Iterator[tuple[str, Atoms, Composition]]:
    host = primitive_host()
    composition = Composition.of(host, {"Ta": 1, "Hf": 1, "Ti": 1})
    seen: dict[bytes, Atoms] = {}
    index = 0
    while len(seen) < min(first + count, 24):
        atoms = draw(host, composition, index, SEED)
        seen.setdefault(atoms.numbers[atoms.arrays["sublattice"] == "substituted"].tobytes(), atoms)
        index += 1
    for place, atoms in list(enumerate(seen.values()))[first:]:
        yield f"{composition.formula(host)} #{place}", atoms, composition


def relaxed(name: str, atoms: Atoms, composition: Composition) -> dict[str, Any]:
    start = time.perf_counter()
    there = atoms[atoms.numbers != 0]
    found = relax(there, ChgnetCalculator(), fmax_eV_per_A=FMAX_EV_PER_A, steps=STEPS, cell=True)
    grid = SiteEnergy(found.atoms, there.get_initial_charges(), "Li").grid(GRID_A)
    one, two, three = percolation_barriers(grid)
    return {
        "name": name,
        "composition": composition.key,
        "E_1D_eV": one,
        "E_2D_eV": two,
        "E_3D_eV": three,
        "energy_eV_per_atom": found.energy_eV / len(there),
        "converged": found.converged,
        "steps": found.steps,
        "seconds": round(time.perf_counter() - start, 1),
        "numbers": found.atoms.numbers.tolist(),
        "charges_e": there.get_initial_charges().tolist(),
        "cell_A": found.atoms.cell.array.round(5).tolist(),
        "positions_A": found.atoms.positions.round(4).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quaternary", "orderings"])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit-s", type=float, default=np.inf, help="begin no structure after so many seconds")
    arguments = parser.parse_args()
    known = set()
    if arguments.out.is_file():
        known = {json.loads(line)["name"] for line in arguments.out.read_text().splitlines()}
    make = {"quaternary": quaternary, "orderings": orderings}[arguments.what]
    start = time.perf_counter()
    for name, atoms, composition in make(arguments.first, arguments.count):
        if name in known:
            continue
        if time.perf_counter() - start > arguments.limit_s:
            break
        row = relaxed(name, atoms, composition)
        with arguments.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        print(f"{name}: E_3D {row['E_3D_eV']:.3f} eV, {row['steps']} steps, {row['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
