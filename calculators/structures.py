"""Orderings in and out: reading, checking, and telling atoms from vacant sites."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import find_mic
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

#: Two atoms closer than this are an error of the input, not a geometry (the shortest bond, H-H, is 0.74 Å).
OVERLAP_A = 0.6


@dataclass
class Ordering:
    """An ordering split into its atoms and its vacant mobile-ion sites.

    Attributes:
        atoms: the atoms that are there, in the order of the input (vacancies removed).
        ion: symbol of the mobile ion.
        mobile: (n_mobile,) indices of the mobile ions in `atoms`.
        vacancies: (n_vacant, 3) fractional coordinates of the vacant sites.
        sites: (n_mobile + n_vacant, 3) fractional coordinates of all mobile sites, occupied ones first.
        names: name of each of these sites ("Na1", "Na2"), or the ion's symbol where nobody named it.
    """

    atoms: Atoms
    ion: str
    mobile: NDArray[np.int64]
    vacancies: NDArray[np.float64]
    sites: NDArray[np.float64]
    names: list[str]


def split(atoms: Atoms, ion: str) -> Ordering:
    """Separate atoms from vacant sites (atomic number 0).

    Raises:
        ValueError: unknown element, no mobile ion, no cell, or overlapping atoms.
    """
    if ion not in chemical_symbols[1:]:
        raise ValueError(f"mobile ion: '{ion}' is no element; give a symbol such as Na or Li")
    check_cell(atoms)
    real = atoms.numbers != 0
    mobile = atoms.symbols == ion
    if not mobile.any():
        raise ValueError(f"mobile ion: no {ion} in {atoms[real].get_chemical_formula()}")
    check_overlap(atoms)
    labels = atoms.arrays.get("site")
    fractional = atoms.get_scaled_positions(wrap=False)
    mobile_rows, vacant_rows = np.flatnonzero(mobile), np.flatnonzero(~real)
    rows = np.concatenate([mobile_rows, vacant_rows])
    names = [str(labels[row]) for row in rows] if labels is not None else [ion] * len(rows)
    kept = atoms[real]
    return Ordering(
        atoms=Atoms(kept.numbers, positions=kept.positions, cell=kept.cell, pbc=True),
        ion=ion,
        mobile=np.flatnonzero(kept.symbols == ion),
        vacancies=fractional[vacant_rows],
        sites=fractional[rows],
        names=names,
    )


def check_cell(atoms: Atoms) -> None:
    if atoms.cell.rank != 3 or atoms.cell.volume / max(len(atoms), 1) < 1.0:
        lengths = ", ".join(f"{length:.3g}" for length in atoms.cell.lengths())
        raise ValueError(f"cell: needs three lattice vectors and at least 1 Å^3 an atom, got lengths {lengths} Å")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise ValueError("positions: not all of them are finite numbers")


def check_overlap(atoms: Atoms) -> None:
    """Refuse sites (vacant ones too) that lie on top of each other.

    Raises:
        ValueError: naming the closest pair.
    """
    periodic = atoms.copy()
    periodic.pbc = True
    i, j, distance = neighbor_list("ijd", periodic, OVERLAP_A)
    if len(distance):
        worst = distance.argmin()
        first, second = sorted((int(i[worst]), int(j[worst])))
        symbols = atoms.get_chemical_symbols()
        raise ValueError(
            f"overlapping atoms: {symbols[first]} {first} and {symbols[second]} {second} are "
            f"{distance[worst]:.2f} Å apart (at least {OVERLAP_A} Å is needed)"
        )


def vacancies_after(ordering: Ordering, relaxed: Atoms) -> tuple[NDArray[np.float64], list[str], int]:
    """Which sites are vacant once the ordering has relaxed, ions being free to change site.

    Ions are assigned to sites one to one with the least sum of squared distances (the drift of the whole
    lattice does not matter: sites are compared in fractional coordinates of the relaxed cell).

    Returns:
        fractional coordinates of the vacant sites (n_vacant, 3); the name of each ion's present site, then of
        each vacancy; the number of ions that left the site they started on.
    """
    n_mobile, n_sites = len(ordering.mobile), len(ordering.sites)
    ions = relaxed.get_scaled_positions(wrap=False)[ordering.mobile]
    differences = (ordering.sites[None] - ions[:, None]).reshape(-1, 3) @ relaxed.cell.array
    _, distances = find_mic(differences, relaxed.cell)
    _, assigned = linear_sum_assignment((distances**2).reshape(n_mobile, n_sites))
    vacant = np.setdiff1d(np.arange(n_sites), assigned)
    names = [ordering.names[site] for site in (*assigned, *vacant)]
    return ordering.sites[vacant], names, int((assigned != np.arange(n_mobile)).sum())


def structure_file(path: str | Path) -> Path:
    """The file of a structure: that of its name, or, for "cells.extxyz@3", the one that holds the frame."""
    path = Path(path)
    return path if path.is_file() else path.with_name(path.name.rpartition("@")[0] or path.name)


def read_structure(path: str | Path) -> Atoms:
    """Read one structure from any format that ASE knows; "cells.extxyz@3" is frame 3 of a file of many.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, several frames, or sites that are only partly occupied.
    """
    frames = _read(path, index=None)
    if len(frames) > 1:
        raise ValueError(f"structure: {path}: several frames; name one by its number, such as @0")
    return frames[0]


def read_frames(path: str | Path) -> list[Atoms]:
    """All structures of a file, such as a band that was written as one trajectory.

    Raises:
        as `read_structure`.
    """
    return _read(path, index=":")


def _read(path: str | Path, index: str | None) -> list[Atoms]:
    if not structure_file(path).is_file():
        raise FileNotFoundError(f"structure: no such file: {path}")
    try:
        found = ase.io.read(path, index=index)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ValueError(
            f"structure: {path} cannot be read as CIF, POSCAR or what else ASE knows ({said})"
        ) from error
    frames = [found] if isinstance(found, Atoms) else found
    for atoms in frames:
        _refuse_partly_occupied(atoms, path)
        atoms.pbc = True
    return frames


def _refuse_partly_occupied(atoms: Atoms, path: str | Path) -> None:
    for site, occupants in (atoms.info.get("occupancy") or {}).items():
        if len(occupants) > 1 or abs(sum(occupants.values()) - 1) > 1e-3:
            shares = ", ".join(f"{element} {share:g}" for element, share in occupants.items())
            raise ValueError(
                f"structure: {path}: site {site} is only partly occupied ({shares}); "
                "give an ordered structure, with X for vacant mobile sites"
            )
