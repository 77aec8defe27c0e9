"""A crystal as a graph: for every atom its nearest neighbours, and all pairs of atoms within 8 Å.

Neighbours are 12 within 8 Å, and with them every one at the same distance as the twelfth, so that the graph does not
depend on the order of atoms. Pairs carry the distance of every periodic image; spatial encodings are made of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path

from models.features import check_numbers

CUTOFF_A = 8.0
NEIGHBOURS = 12
#: Neighbours whose distance differs by less than this (Å) from the twelfth's belong to the same shell.
SHELL_A = 0.01
#: Hop distances are stored up to this number; farther (or unconnected) atoms count as this far.
MAX_HOPS = 15


@dataclass(frozen=True)
class Crystal:
    """One crystal graph of n atoms, in NumPy.

    Attributes:
        numbers: (n,) uint8 atomic numbers; 0 is a vacant site.
        bonds: (2, e) int32 neighbour and atom, by atom and then by distance: the neighbour is what the atom hears,
            torch-geometric's order of source and target.
        lengths: (e,) float32 distance in Å.
        vectors: (e, 3) float32 from the atom to its neighbour in Å.
        pairs: (2, p) int32 centre and other atom of every pair image within the cutoff, self included.
        distances: (p,) float32 distance in Å of every pair image.
        nearest: (p,) bool, True for the minimum image of each pair.
        marked: (n,) bool, the sites that the target is a property of, from the array "focus" of the structure: the
            ion on its path, a defect. None marked means all are alike.
    """

    numbers: NDArray[np.uint8]
    bonds: NDArray[np.int32]
    lengths: NDArray[np.float32]
    vectors: NDArray[np.float32]
    pairs: NDArray[np.int32]
    distances: NDArray[np.float32]
    nearest: NDArray[np.bool_]
    marked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def hops(self) -> NDArray[np.uint8]:
        """(n, n) number of bonds on the shortest path, at most `MAX_HOPS`; bonds count in both directions."""
        n = len(self)
        bonded = csr_matrix((np.ones(self.bonds.shape[1]), tuple(self.bonds)), shape=(n, n))
        steps = shortest_path(bonded, directed=False, unweighted=True)
        return np.minimum(steps, MAX_HOPS).astype(np.uint8)

    @cached_property
    def pairs_of_marked(self) -> NDArray[np.int64]:
        """Which pair images have a marked centre."""
        return np.flatnonzero(self.marked[self.pairs[0]])

    @classmethod
    def from_atoms(
        cls, atoms: Atoms, name: str = "structure", neighbours: int = NEIGHBOURS, whole_shells: bool = True
    ) -> Self:
        """Build the graph of a periodic structure (time grows linearly with the number of atoms).

        Args:
            atoms: a crystal; always taken as periodic in three directions.
            name: for messages.
            neighbours: how many nearest neighbours an atom listens to, if that many lie within 8 Å.
            whole_shells: also take the neighbours that are as far as the last one; False cuts the shell
                where the search happens to put it, as the released code does.

        Raises:
            ValueError: no atoms, no volume, coordinates that are not finite, an element without features.
        """
        check_structure(atoms, name)
        n = len(atoms)
        marked = marked_sites(atoms, name)
        centre, other, distance, vector = pair_images(atoms, CUTOFF_A)
        rank = np.arange(len(centre)) - np.searchsorted(centre, np.arange(n))[centre]
        last = np.full(n, np.inf)
        last[centre[rank == neighbours - 1]] = distance[rank == neighbours - 1]
        keep = distance <= last[centre] + SHELL_A if whole_shells else rank < neighbours
        itself = np.arange(n)
        pairs = np.concatenate([np.stack([itself, itself]), np.stack([centre, other])], axis=1)
        # Pairs are sorted by distance within a centre, and so the first of each is its minimum image.
        _, first = np.unique(pairs[0] * n + pairs[1], return_index=True)
        nearest = np.zeros(pairs.shape[1], bool)
        nearest[first] = True
        return cls(
            numbers=atoms.numbers.astype(np.uint8),
            bonds=np.stack([other[keep], centre[keep]]).astype(np.int32),
            lengths=distance[keep].astype(np.float32),
            vectors=vector[keep].astype(np.float32),
            pairs=pairs.astype(np.int32),
            distances=np.concatenate([np.zeros(n), distance]).astype(np.float32),
            nearest=nearest,
            marked=marked,
        )


def marked_sites(atoms: Atoms, name: str) -> NDArray[np.bool_]:
    """(n,) bool from the array "focus" of a structure; none where it has no such array.

    Raises:
        ValueError: the array is not one of yes and no.
    """
    if "focus" not in atoms.arrays:
        return np.zeros(len(atoms), bool)
    focus = atoms.arrays["focus"]
    if focus.ndim != 1 or not np.isin(focus, (0, 1)).all():
        raise ValueError(f'{name}: the array "focus" must hold true or false (1 or 0) for every atom')
    return focus.astype(bool)


def check_structure(atoms: Atoms, name: str) -> None:
    """Raise ValueError with one line if no crystal graph can be made of a structure."""
    if len(atoms) == 0:
        raise ValueError(f"{name}: has no atoms")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(np.asarray(atoms.cell)).all()):
        raise ValueError(f"{name}: positions or cell are not finite numbers")
    if abs(np.linalg.det(np.asarray(atoms.cell))) < 1e-3:
        raise ValueError(f"{name}: has no periodic cell with a volume; crystal graphs need three lattice vectors")
    check_numbers(atoms.numbers, name)


def pair_images(
    atoms: Atoms, cutoff_A: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Centre, other atom, distance and vector (Å) of all pair images within a cutoff, by centre and then by
    distance."""
    cell = np.ascontiguousarray(np.asarray(atoms.cell), dtype=float)
    positions = np.ascontiguousarray(atoms.get_positions(wrap=True, pbc=True), dtype=float)
    centre, other, image, distance = find_points_in_spheres(
        positions, positions, r=cutoff_A, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
    )
    away = distance > 1e-8
    centre, other, image, distance = centre[away], other[away], image[away], distance[away]
    order = np.lexsort((other, distance, centre))
    centre, other, distance = centre[order], other[order], distance[order]
    return centre, other, distance, positions[other] + image[order] @ cell - positions[centre]
