"""The crystal graph of CHGNet as plain arrays, for one structure or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Graph:
    """Atoms, undirected bonds within the atom cutoff, and angles between short bonds.

    Attributes:
        numbers: (n_atoms,) atomic numbers; owner: (n_atoms,) structure that each atom belongs to.
        vectors_A: (n_bonds, 3) from second to first atom of each undirected bond; first, second: (n_bonds,).
        center, neighbour, bond: (n_edges,) directed edges (two per bond) and the bond of each; sorted by
        center.
        short: (n_short,) bonds within the bond cutoff.
        angle_center: (n_angles,) common atom; angle_i, angle_j: (n_angles,) positions in `short` of the two
            bonds, sorted by angle_i; sign: (n_angles,) +1 if both bond vectors point alike to or from the
            atom, else -1.
    """

    numbers: Index
    owner: Index
    vectors_A: NDArray[np.float64]
    first: Index
    second: Index
    center: Index
    neighbour: Index
    bond: Index
    short: Index
    angle_center: Index
    angle_i: Index
    angle_j: Index
    sign: NDArray[np.float64]


def build_graph(structures: Sequence[Atoms], atom_cutoff_A: float, bond_cutoff_A: float) -> Graph:
    """One graph of all structures (not connected with each other).

    Each bond appears once; its two directions are made from it, which keeps them consistent by construction.
    """
    parts, offset = [], 0
    for atoms in structures:
        first, second, vectors = _bonds(atoms, atom_cutoff_A)
        parts.append((first + offset, second + offset, vectors))
        offset += len(atoms)
    first, second, vectors = (np.concatenate(column) for column in zip(*parts, strict=True))
    n_bonds = len(first)
    center = np.concatenate([first, second])
    order = np.argsort(center, kind="stable")
    bond = np.concatenate([np.arange(n_bonds)] * 2)
    direction = np.repeat([1.0, -1.0], n_bonds)
    short = np.flatnonzero((vectors**2).sum(1) < bond_cutoff_A**2)
    rank = np.full(n_bonds, -1)
    rank[short] = np.arange(len(short))
    edges = order[rank[bond[order]] >= 0]
    one, two = _pairs_within_groups(center[edges])
    one, two = edges[one], edges[two]
    by_bond = np.argsort(rank[bond[one]], kind="stable")
    one, two = one[by_bond], two[by_bond]
    return Graph(
        numbers=np.concatenate([atoms.numbers for atoms in structures]),
        owner=np.repeat(np.arange(len(structures)), [len(atoms) for atoms in structures]),
        vectors_A=vectors,
        first=first,
        second=second,
        center=center[order],
        neighbour=np.concatenate([second, first])[order],
        bond=bond[order],
        short=short,
        angle_center=center[one],
        angle_i=rank[bond[one]],
        angle_j=rank[bond[two]],
        sign=direction[one] * direction[two],
    )


def _bonds(atoms: Atoms, cutoff_A: float) -> tuple[Index, Index, NDArray[np.float64]]:
    """Every pair of atoms (periodic images are pairs of their own) within the cutoff, once."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions = np.ascontiguousarray(atoms.positions, dtype=float)
    cell = np.ascontiguousarray(atoms.cell.array, dtype=float)
    i, j, image, distance = find_points_in_spheres(
        all_coords=positions,
        center_coords=positions,
        r=float(cutoff_A),
        pbc=np.ones(3, dtype=np.int64),
        lattice=cell,
        tol=1e-8,
    )
    a, b, c = image.astype(np.int64).T
    upper_image = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
    once = (distance > 1e-8) & ((i < j) | ((i == j) & upper_image))
    i, j, image = i[once].astype(np.int64), j[once].astype(np.int64), image[once]
    return i, j, positions[i] - positions[j] - image @ cell


def _pairs_within_groups(group: Index) -> tuple[Index, Index]:
    """All ordered pairs of different members of the same group; `group` is sorted."""
    _, starts, counts = np.unique(group, return_index=True, return_counts=True)
    repeats = np.repeat(counts, counts)
    one = np.repeat(np.arange(len(group)), repeats)
    begin = np.repeat(np.repeat(starts, counts), repeats)
    within = np.arange(len(one)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    two = begin + within
    different = one != two
    return one[different], two[different]
