"""A data set for a stability model: published DFT E_hull of NASICONs, on orderings of the NASICON framework.

Ouyang et al., Nat. Commun. 12, 5752 (2021) computed E_hull (PBE, against the Materials Project) of 3,881 NASICONs and
published compositions and values, not structures (github.com/Jeff-oakley/NASICON_Predictor_Data, MIT licence:
RawData/train.csv and test.csv). Here every sodium phosphate, silicate or sulphate among them gets the ordering of
lowest Ewald energy of some hundred on the unrelaxed primitive cell of 42 sites, which is all that a screen has before
anything is relaxed. Then

    python benchmarks/stability_nasicon.py train.csv test.csv --out stability
    ionloop train stability/nasicon.extxyz --out stability/model --unit eV/atom

prints the cross-validated error beside the mean predictor's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
from ase import Atoms
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Composition, Structure

from agent.elements import candidates
from calculators.phases import Shipped

TETRAHEDRAL = {"Si": 4, "P": 5, "S": 6}
#: Values beyond this are of compositions that nobody would look at (the table reaches 8 eV/atom).
LARGEST_EV_PER_ATOM = 0.2


def framework() -> Atoms:
    """Na4Zr2(SiO4)3 in its primitive cell: every site of the NASICON framework, occupied."""
    phases = Shipped().phases(frozenset(["Na", "Zr", "Si", "O"]))
    return next(phase.atoms for phase in phases if phase.name == "Na4Zr2(SiO4)3 NASICON")


def ewald_matrix(atoms: Atoms) -> np.ndarray:
    """(sites, sites) matrix A, eV/e²: the energy of charges q in a neutral cell is q^T A q."""
    scaled = atoms.get_scaled_positions()
    unit = Structure(atoms.cell.array, ["Na+"] * len(atoms), scaled, site_properties={"charge": [1.0] * len(atoms)})
    matrix = np.asarray(EwaldSummation(unit).total_energy_matrix)
    return (matrix + matrix.T) / 2


def contents(formula: str) -> tuple[list[str], list[str], int] | None:
    """Elements of the 4 metal and 6 tetrahedral sites and the number of Na of a primitive cell, if it is one."""
    composition = Composition(formula)
    cell = composition * (24 / composition["O"]) if composition["O"] else composition
    metals, tetrahedra, sodium = [], [], 0
    for element, amount in cell.items():
        count = round(amount)
        if abs(amount - count) > 1e-6:
            return None
        if element.symbol == "Na":
            sodium = count
        elif element.symbol in TETRAHEDRAL:
            tetrahedra += [element.symbol] * count
        elif element.symbol != "O":
            metals += [element.symbol] * count
    fits = len(metals) == 4 and len(tetrahedra) == 6 and 0 < sodium <= 8
    return (metals, tetrahedra, sodium) if fits else None


def valences(metals: Sequence[str], charge_e: int) -> dict[str, int] | None:
    """The first tabulated valences with which the metals carry this charge; None if there are none."""
    from itertools import product

    table = candidates().valences | {"Zr": (4,), "Hf": (4,)}
    elements = sorted(set(metals))
    if not set(elements) <= set(table):
        return None
    for choice in product(*(table[element] for element in elements)):
        chosen = dict(zip(elements, choice, strict=True))
        if sum(chosen[element] for element in metals) == charge_e:
            return chosen
    return None


def ordering(formula: str, sites: Atoms, matrix: np.ndarray, tries: int = 200) -> Atoms | None:
    """The arrangement of lowest Ewald energy of `tries` random ones, without its vacant sites."""
    found = contents(formula)
    if found is None:
        return None
    metals, tetrahedra, sodium = found
    charge = valences(metals, 48 - sodium - sum(TETRAHEDRAL[element] for element in tetrahedra))
    if charge is None:
        return None
    rng = np.random.default_rng(sum(map(ord, formula)))
    places = {symbol: np.flatnonzero(sites.symbols == symbol) for symbol in ("Na", "Zr", "Si", "O")}
    best, lowest = None, np.inf
    for _ in range(tries):
        symbols = np.array(["O"] * len(sites), dtype=object)
        symbols[places["Na"]] = rng.permutation(["Na"] * sodium + ["X"] * (8 - sodium))
        symbols[places["Zr"]] = rng.permutation(metals)
        symbols[places["Si"]] = rng.permutation(tetrahedra)
        known = {"Na": 1, "X": 0, "O": -2, **TETRAHEDRAL, **charge}
        q = np.array([known[symbol] for symbol in symbols], dtype=float)
        energy = q @ matrix @ q
        if energy < lowest:
            best, lowest = symbols, energy
    assert best is not None
    there = best != "X"
    return Atoms(list(best[there]), positions=sites.positions[there], cell=sites.cell, pbc=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+", help="train.csv and test.csv of the published data.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=0, help="At most so many, drawn at random; 0: all.")
    given = parser.parse_args()
    table = pd.concat([pd.read_csv(path) for path in given.tables])
    table["e_hull"] = table["NewEhullLst"] / 1000.0  # meV/atom in the table
    table = table[table["e_hull"].abs() <= LARGEST_EV_PER_ATOM].sample(frac=1.0, random_state=0)
    sites = framework()
    matrix = ewald_matrix(sites)
    frames: list[Atoms] = []
    for formula, value in zip(table["CompName"], table["e_hull"], strict=True):
        atoms = ordering(str(formula), sites, matrix)
        if atoms is not None:
            atoms.info = {"name": str(formula), "e_hull_eV_per_atom": float(value)}
            frames.append(atoms)
        if given.most and len(frames) == given.most:
            break
    given.out.mkdir(parents=True, exist_ok=True)
    ase.io.write(given.out / "nasicon.extxyz", frames)
    values = np.array([frame.info["e_hull_eV_per_atom"] for frame in frames])
    print(f"{len(frames)} of {len(table)} compositions; E_hull {values.mean():.4f} ± {values.std():.4f} eV/atom")


if __name__ == "__main__":
    main()
