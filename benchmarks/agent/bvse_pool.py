"""Label the whole NASICON pool with its bond-valence barriers: `python -m benchmarks.agent.bvse_pool`.

Every composition of the default space (994), several random orderings each, on the unrelaxed host lattice. The
bond-valence energy is a sum over framework atoms, and the orderings of a host differ only in what sits on the
substituted sites: so the field of the fixed framework and one field per (site, element, valence) are computed once
with `calculators.bondvalence.SiteEnergy`, and an ordering is a sum of nine arrays. Same numbers as labelling it alone
(`--check` compares), several times faster.

Writes benchmarks/data/nzsp_bvse.csv: composition, ordering, E_1D_eV, E_2D_eV, E_3D_eV. Resumable. Orderings 6 to 23,
for a truth with less noise, stand in nzsp_bvse_more.csv (`--first 6 --orderings 24 --out ...`). With `--cheap`
another table, nzsp_virtual_crystal.csv: the barriers of the average crystal on a coarse grid, one evaluation per
composition.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from agent.composition import Composition
from agent.hosts import Host, load_host
from agent.ordering import draw
from agent.space import build_space
from calculators.bondvalence import SiteEnergy, percolation_barriers

DATA = Path(__file__).parents[1] / "data" / "nzsp_bvse.csv"
#: Orderings 6 to 23 of the same compositions.
MORE = DATA.with_name("nzsp_bvse_more.csv")
CHEAP = DATA.with_name("nzsp_virtual_crystal.csv")
#: Grid of the cheap fidelity.
COARSE_A = 0.4
COLUMNS = ["composition", "ordering", "E_1D_eV", "E_2D_eV", "E_3D_eV"]
SPACING_A = 0.25
#: No barrier of the pool is above this; a smaller interval means fewer bisection steps.
LIMIT_EV = 3.0
TOLERANCE_EV = 0.001


class PoolFields:
    """Bond-valence fields of a host, ready to be added up for any ordering of it."""

    def __init__(self, host: Host, spacing_A: float = SPACING_A) -> None:
        self.host, self.spacing_A = host, spacing_A
        self.sites = host.sites()
        self.substituted = np.flatnonzero(self.sites.arrays["sublattice"] == "substituted")
        framework = self.sites[self.sites.arrays["sublattice"] != "substituted"]
        self.base = self._grid(framework)
        self.field = cache(self._field)

    def _grid(self, atoms: Atoms) -> NDArray[np.float64]:
        return SiteEnergy(atoms, atoms.get_initial_charges(), self.host.mobile).grid(self.spacing_A)

    def _field(self, site: int, number: int, charge: int) -> NDArray[np.float32]:
        mobile = int(np.flatnonzero(self.sites.arrays["sublattice"] == "mobile")[0])
        pair = self.sites[[mobile, site]]
        pair.numbers[1] = number
        pair.set_initial_charges([self.host.charges_e[self.host.mobile], charge])
        return self._grid(pair).astype(np.float32)

    def energy(self, atoms: Atoms) -> NDArray[np.float64]:
        """Site energy (eV) of an ordering on the grid."""
        total = self.base.copy()
        charges = np.rint(atoms.get_initial_charges()).astype(int)
        for site in self.substituted:
            total += self.field(int(site), int(atoms.numbers[site]), int(charges[site]))
        return total

    def virtual_crystal(self, composition: Composition) -> tuple[float, float, float]:
        """E_1D, E_2D, E_3D (eV) of the mean field: every substituted site is the composition's average ion.

        One evaluation per composition, no ordering: a cheap fidelity.
        """
        total = self.base.copy()
        valences = dict(composition.valences)
        for element, count in composition.amounts:
            for site in self.substituted:
                field = self.field(int(site), atomic_numbers[element], valences[element])
                total += field * (count / len(self.substituted))
        return percolation_barriers(total, LIMIT_EV, TOLERANCE_EV)

    def barriers(self, atoms: Atoms) -> tuple[float, float, float]:
        """E_1D, E_2D, E_3D (eV) of an ordering."""
        return percolation_barriers(self.energy(atoms), LIMIT_EV, TOLERANCE_EV)


def label(
    fields: PoolFields, compositions: Iterable[Composition], orderings: Iterable[int], path: Path, seconds: float
) -> None:
    """Append what is missing to the table, ordering by ordering, until the time is up."""
    done: set[tuple[str, int]] = set()
    if path.exists():
        with path.open() as file:
            done = {(row["composition"], int(row["ordering"])) for row in csv.DictReader(file)}
    new = not path.exists()
    compositions = list(compositions)
    start, count = time.monotonic(), 0
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        for ordering in orderings:
            for composition in compositions:
                if (composition.key, ordering) in done:
                    continue
                if time.monotonic() - start > seconds:
                    return
                values = fields.barriers(draw(fields.host, composition, ordering))
                writer.writerow([composition.key, ordering, *(f"{v:.4f}" for v in values)])
                count += 1
                if count % 100 == 0:
                    file.flush()
                    rate = (time.monotonic() - start) / count
                    print(f"ordering {ordering}: {count} labels, {rate:.3f} s each", flush=True)


def label_cheap(fields: PoolFields, compositions: list[Composition]) -> None:
    start = time.monotonic()
    with CHEAP.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([c for c in COLUMNS if c != "ordering"])
        for composition in compositions:
            writer.writerow([composition.key, *(f"{v:.4f}" for v in fields.virtual_crystal(composition))])
    print(f"{(time.monotonic() - start) / len(compositions):.3f} s each")


def check(fields: PoolFields, compositions: list[Composition], n: int = 5) -> None:
    """Compare with labelling the ordering by itself."""
    for composition in compositions[:: len(compositions) // n]:
        atoms = draw(fields.host, composition)
        alone = SiteEnergy(atoms, atoms.get_initial_charges(), fields.host.mobile).grid(fields.spacing_A)
        print(composition.key, fields.barriers(atoms), percolation_barriers(alone, LIMIT_EV, TOLERANCE_EV))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orderings", type=int, default=8, help="number behind the last ordering of a composition")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so long; run again to go on")
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--cheap", action="store_true", help="the cheap fidelity instead")
    parser.add_argument("--check", action="store_true", help="compare five labels with the labeller's own")
    args = parser.parse_args()
    host = load_host("nzsp")
    compositions = build_space(host).compositions
    if args.cheap:
        label_cheap(PoolFields(host, COARSE_A), compositions)
        return
    fields = PoolFields(host)
    if args.check:
        check(fields, compositions)
        return
    label(fields, compositions, range(args.first, args.orderings), args.out, 60 * args.minutes)


if __name__ == "__main__":
    main()
