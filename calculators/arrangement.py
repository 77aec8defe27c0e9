"""Where the mobile ions of an ordering stand: sample many arrangements, rank them cheaply, relax the best few.

A random arrangement relaxes far, and its hops with it. The cheap energy is the Ewald sum of the formal charges, a
quadratic form q^T A q whose matrix is computed once; where no charges are known, single points of the surrogate, or
of the calculator itself. Arrangements of one energy are taken for one (most are equivalent by symmetry).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from calculators.barrier import BarrierRun
from calculators.relax import Relaxation
from calculators.storage import write_images
from calculators.structures import split

#: Arrangements are enumerated up to this many, and sampled above; single points cost more than Ewald sums.
MANY, MANY_SINGLE_POINTS = 2000, 50
#: Arrangements closer in energy than this are one (eV).
SAME_EV = 1e-3


def arrangements(atoms: Atoms, ion: str, most: int, seed: int = 0) -> NDArray[np.bool_]:
    """(n, n_sites) which mobile sites are vacant: all arrangements, or that of `atoms` and `most` random ones."""
    sites = np.flatnonzero((atoms.symbols == ion) | (atoms.numbers == 0))
    own = atoms.numbers[sites] == 0
    vacant = int(own.sum())
    if comb(len(sites), vacant) <= most:
        chosen = np.array(list(combinations(range(len(sites)), vacant)))
    else:
        rng = np.random.default_rng(seed)
        chosen = np.argsort(rng.random((most, len(sites))), axis=1)[:, :vacant]
    empty = np.zeros((len(chosen), len(sites)), dtype=bool)
    np.put_along_axis(empty, chosen, True, axis=1)
    return np.unique(np.concatenate([own[None], empty]), axis=0)


def arranged(atoms: Atoms, ion: str, empty: NDArray[np.bool_]) -> Atoms:
    """`atoms` with these of its mobile sites vacant; an ion's formal charge goes with it."""
    sites = np.flatnonzero((atoms.symbols == ion) | (atoms.numbers == 0))
    charges = atoms.get_initial_charges()
    charge = charges[atoms.symbols == ion].mean()
    moved = atoms.copy()
    moved.numbers[sites] = np.where(empty, 0, atoms.numbers[atoms.symbols == ion][0])
    charges[sites] = np.where(empty, 0.0, charge)
    moved.set_initial_charges(charges)
    return moved


def ewald_energies(structures: list[Atoms]) -> NDArray[np.float64]:
    """Ewald energy (eV) of each set of formal charges on the same sites."""
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Structure

    first = structures[0]
    unit = Structure(
        Lattice(first.cell.array),
        ["Na+"] * len(first),
        first.get_scaled_positions(),
        site_properties={"charge": [1.0] * len(first)},
    )
    matrix = EwaldSummation(unit).total_energy_matrix
    charges = np.array([atoms.get_initial_charges() for atoms in structures])
    return np.asarray(np.einsum("ni,ij,nj->n", charges, matrix, charges))


def single_points(structures: list[Atoms], factory: Callable[[], Any]) -> NDArray[np.float64]:
    """Energy (eV) of each structure, vacancies taken out, by one calculator."""
    calculator = factory()
    energies = []
    for atoms in structures:
        real = atoms[atoms.numbers != 0]
        real.set_initial_charges(None)
        real.calc = calculator
        energies.append(real.get_potential_energy())
    return np.array(energies)


def ranked(atoms: Atoms, ion: str, factory: Callable[[], Any]) -> tuple[list[Atoms], dict[str, Any]]:
    """Arrangements of different energy, lowest first, and how many were tried by which energy."""
    charged = bool(atoms.get_initial_charges().any())
    empty = arrangements(atoms, ion, MANY if charged else MANY_SINGLE_POINTS)
    tried = [arranged(atoms, ion, row) for row in empty]
    energies = ewald_energies(tried) if charged else single_points(tried, factory)
    order = np.argsort(energies.round(6), kind="stable")
    new = np.concatenate([[True], np.diff(energies[order]) > SAME_EV])
    facts = {"tried": len(tried), "different": int(new.sum()), "ranked_by": "Ewald" if charged else "single points"}
    return [tried[row] for row in order[new]], facts


def lowest_arrangement(run: BarrierRun, atoms: Atoms, ion: str) -> tuple[Atoms, Relaxation, dict[str, Any]]:
    """Relax the best few of the ranked arrangements, each in its own folder, and keep the lowest.

    Returns:
        the arrangement (vacant sites as X), its relaxation, and for the label's provenance what was tried and the
        relaxed energies (eV).
    """
    best, facts = ranked(atoms, ion, run.surrogate or run.factory)
    found = []
    for number, candidate in enumerate(best[: run.settings.arrangements]):
        own = replace(run, folder=run.folder / "arrangements" / str(number), force_calls=0, seconds={})
        found.append(own.relax_ordering(split(candidate, ion)))
        run.force_calls += own.force_calls
        for stage, seconds in own.seconds.items():
            run.seconds[stage] = round(run.seconds.get(stage, 0.0) + seconds, 3)
    energies = [relaxation.energy_eV for relaxation in found]
    kept = int(np.argmin(energies))
    write_images(run.folder / "initial.extxyz", split(best[kept], ion).atoms)
    write_images(run.folder / "relaxed.extxyz", found[kept].atoms)
    return best[kept], found[kept], facts | {"relaxed_eV": [round(energy, 4) for energy in energies], "kept": kept}
