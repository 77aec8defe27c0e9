"""Cells that the tests of `calculators` share."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell, niggli_reduce
from ase.calculators.calculator import Calculator, all_changes
from ase.spacegroup import crystal

CHARGES = {
    "Na": 1,
    "Zr": 4,
    "Hf": 4,
    "Sn": 4,
    "Ge": 4,
    "Ti": 4,
    "Si": 4,
    "P": 5,
    "O": -2,
    "Sc": 3,
    "Al": 3,
    "Y": 3,
}
CHARGES |= {"Nb": 5, "Ta": 5, "Mg": 2, "In": 3, "X": 0}


def nasicon_host() -> Atoms:
    """The R-3c NASICON cell (FACTS: hexagonal a 8.81, c 22.75 Å) doubled to 84 sites: 16 Na, 8 Zr, 12 P, 48
    O.
    """
    basis = [
        ("Na", (0, 0, 0), "Na1"),
        ("Na", (0.6363, 0, 0.25), "Na2"),
        ("Zr", (0, 0, 0.1456), "Zr"),
        ("P", (0.2904, 0, 0.25), "P"),
        ("O", (0.1820, -0.0278, 0.1945), "O1"),
        ("O", (0.1890, 0.1697, 0.0864), "O2"),
    ]
    symbols, positions, names = zip(*basis, strict=True)
    primitive = crystal(
        symbols, positions, spacegroup=167, cellpar=[8.81, 8.81, 22.75, 90, 90, 120], primitive_cell=True
    )
    kinds = np.asarray(names)[primitive.arrays["spacegroup_kinds"]]
    primitive = Atoms(primitive.numbers, positions=primitive.positions, cell=primitive.cell, pbc=True)
    primitive.set_array("site", kinds)
    host = make_supercell(primitive, [[1, 0, 0], [0, 1, 0], [1, 1, 2]])
    niggli_reduce(host)
    return host


def nasicon_ordering(
    dopants: tuple[str, ...] = (), sodium: int = 12, silicon: int | None = None, seed: int = 0
) -> Atoms:
    """An ordering of 84 sites with X for vacancies, dopants on Zr, and as much Si as neutrality asks for.

    The arrangement is the lowest in Coulomb energy of 40 drawn ones.
    """
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Structure

    rng = np.random.default_rng(seed)
    host = nasicon_host()
    metals = list(dopants) + ["Zr"] * (8 - len(dopants))
    charge = sodium + sum(CHARGES[metal] for metal in metals) + 12 * 5 - 96
    silicon = charge if silicon is None else silicon
    if not 0 <= silicon <= 12:
        raise ValueError(f"no neutral cell with {metals} and {sodium} Na")
    best: tuple[float, Atoms] | None = None
    for _ in range(40):
        atoms = host.copy()
        symbols = np.array(atoms.get_chemical_symbols(), dtype=object)
        symbols[np.flatnonzero(host.symbols == "Zr")] = rng.permutation(metals)
        tetrahedra = np.flatnonzero(host.symbols == "P")
        symbols[rng.choice(tetrahedra, silicon, replace=False)] = "Si"
        symbols[rng.choice(np.flatnonzero(host.symbols == "Na"), 16 - sodium, replace=False)] = "X"
        atoms.symbols = symbols
        atoms.set_initial_charges([CHARGES[symbol] for symbol in symbols])
        real = atoms[atoms.numbers != 0]
        structure = Structure(Lattice(real.cell.array), real.numbers, real.get_scaled_positions())
        structure.add_oxidation_state_by_site(real.get_initial_charges().tolist())
        energy = EwaldSummation(structure).total_energy
        if best is None or energy < best[0]:
            best = energy, atoms
    assert best is not None
    return best[1]


def copper_with_vacancy(size: int = 2) -> Atoms:
    """fcc Cu (EMT) with one vacant site, marked X."""
    atoms = bulk("Cu", cubic=True) * size
    atoms.set_array("site", np.array(["Cu1"] * len(atoms)))
    atoms.numbers[0] = 0
    return atoms


class Springs(Calculator):
    """An Einstein crystal: every atom on a spring of `k_eV_per_A2` at its first place. All its averages are known."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - ASE's own protocol

    def __init__(self, rest_A, k_eV_per_A2=2.0):
        super().__init__()
        self.rest_A, self.k = np.array(rest_A), k_eV_per_A2

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        moved = self.atoms.positions - self.rest_A
        energy = 0.5 * (self.k * moved**2).sum()
        self.results = {"energy": energy, "free_energy": energy, "forces": -self.k * moved}
