"""Are the shipped reference phases of the hull what they say? Checks that need no other source.

    python benchmarks/hull_reference.py --relax

Every phase of calculators/data/hull_phases.extxyz that comes from no database was typed in from the paper that stands
beside it. For each: space group of the structure; root-mean-square deviation of bond-valence sums from formal
valences (the global instability index; Brown, Chem. Rev. 109, 6858 (2009): above 0.2 is strained, above about 0.3 was
seldom determined right), and with --relax what CHGNet's relaxation does: change of volume, energy gained, longest way
of an atom, and the index of what comes out. A wrong coordinate or cell shows as a volume off by more than 8 %,
or as an atom that leaves its place. `--all` takes every phase, also those from databases and the isostructural ones.

Relaxed energies are those of `ionloop hull`, kept in ionloop's home folder.
"""

from __future__ import annotations

import argparse

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from pymatgen.core import Composition
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from calculators.chgnet import ChgnetCalculator
from calculators.hull import Energies, HullSettings
from calculators.phases import Phase, _shipped
from calculators.relaxations import framework_move_A
from flows.screening_hull import hull_folder

DATABASES = ("Materials Project", "Crystallography Open Database")
REACH_A = 3.5
#: Bond-valence parameters of cation-oxygen bonds, Å (Brese and O'Keeffe, Acta Cryst. B47, 192 (1991); b = 0.37 Å).
R0_A = {
    **{"Li": 1.466, "Na": 1.803, "Mg": 1.693, "Al": 1.651, "Si": 1.624, "P": 1.617, "Sc": 1.849, "Ti": 1.815},
    **{"Y": 2.019, "Zr": 1.928, "Nb": 1.911, "La": 2.172, "Ta": 1.920},
}


def instability(atoms: Atoms) -> float:
    """Global instability index of cations and oxygen, valence units; NaN without a parameter for an element."""
    symbols = np.array(atoms.get_chemical_symbols())
    guesses = Composition(atoms.get_chemical_formula()).oxi_state_guesses(max_sites=-1)
    if not guesses or not set(symbols) - {"O"} <= set(R0_A):
        return float("nan")
    i, j, distance_A = neighbor_list("ijd", atoms, REACH_A)
    bonds = (symbols[i] != "O") & (symbols[j] == "O")
    valence = np.exp((np.array([R0_A.get(symbol, 0.0) for symbol in symbols[i]]) - distance_A) / 0.37)
    sums = np.zeros(len(symbols))
    np.add.at(sums, i[bonds], valence[bonds])
    np.add.at(sums, j[bonds], valence[bonds])
    formal = np.array([abs(guesses[0][symbol]) for symbol in symbols])
    return float(np.sqrt(np.mean((sums - formal) ** 2)))


def spacegroup(atoms: Atoms) -> str:
    found = SpacegroupAnalyzer(AseAtomsAdaptor.get_structure(atoms), symprec=0.01)
    return f"{found.get_space_group_symbol()} ({found.get_space_group_number()})"


def chosen(everything: bool) -> list[Phase]:
    phases = _shipped()[1]
    if everything:
        return list(phases)
    return [phase for phase in phases if not phase.source.startswith((*DATABASES, "in the type of"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--relax", action="store_true")
    given = parser.parse_args()
    energies = Energies(HullSettings(), hull_folder())
    print("| phase | atoms | space group | instability, v.u. | volume, % | energy, meV/atom | way, Å | after |")
    print("|---|---|---|---|---|---|---|---|")
    for phase in chosen(given.all):
        line = f"| {phase.name} | {len(phase.atoms)} | {spacegroup(phase.atoms)} | {instability(phase.atoms):.2f} |"
        if given.relax:
            relaxed = energies.relaxed(phase.atoms)
            after = relaxed.structure.to_atoms()
            volume = 100 * (after.cell.volume / phase.atoms.cell.volume - 1)
            start = phase.atoms.copy()
            start.calc = ChgnetCalculator()
            gained = 1000 * (start.get_potential_energy() / len(start) - relaxed.energy_eV_per_atom)
            way = framework_move_A(phase.atoms, after, "")
            line += f" {volume:+.1f} | {gained:.1f} | {way:.2f} | {instability(after):.2f} |"
            line += "" if relaxed.converged else " not converged"
        print(line, flush=True)


if __name__ == "__main__":
    main()
