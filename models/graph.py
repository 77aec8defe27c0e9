"""Crystal graphs and the two stores that models read rows from.

A crystal becomes a `Crystal`: for every atom its nearest neighbours (12 within 8 Å, and with them every
neighbour at the same distance as the twelfth, so that the graph does not depend on the order of atoms),
and all pairs of atoms within 8 Å with the distance of every periodic image, from which spatial encodings
are made.

`GraphStore` holds arbitrary structures. `HostGraphs` holds one graph and many decorations of it: rows
differ in what sits on the sites, not in where the sites are. Both hand out `GraphBatch`es by row id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
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
        neighbours: (n, k) int32 index of each neighbour, by distance; where an atom has fewer than k, its
            own.
        lengths: (n, k) float32 distance in Å, infinite where there is no neighbour.
        pairs: (2, p) int32 centre and other atom of every pair image within the cutoff, self included.
        distances: (p,) float32 distance in Å of every pair image.
        nearest: (p,) bool, True for the minimum image of each pair.
    """

    numbers: NDArray[np.uint8]
    neighbours: NDArray[np.int32]
    lengths: NDArray[np.float32]
    pairs: NDArray[np.int32]
    distances: NDArray[np.float32]
    nearest: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def hops(self) -> NDArray[np.uint8]:
        """(n, n) number of bonds on the shortest path, at most `MAX_HOPS`; bonds count in both directions."""
        n = len(self)
        centre, slot = np.nonzero(np.isfinite(self.lengths))
        bonds = csr_matrix((np.ones(len(centre)), (centre, self.neighbours[centre, slot])), shape=(n, n))
        steps = shortest_path(bonds, directed=False, unweighted=True)
        return np.minimum(steps, MAX_HOPS).astype(np.uint8)

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
        centre, other, distance = pair_images(atoms, CUTOFF_A)
        rank = np.arange(len(centre)) - np.searchsorted(centre, np.arange(n))[centre]
        counts = np.bincount(centre, minlength=n)
        last = np.full(n, np.inf)
        last[centre[rank == neighbours - 1]] = distance[rank == neighbours - 1]
        keep = distance <= last[centre] + SHELL_A if whole_shells else rank < neighbours
        width = max(int(np.bincount(centre[keep], minlength=n).max()), 1) if counts.any() else 1
        table = np.repeat(np.arange(n, dtype=np.int32)[:, None], width, axis=1)
        lengths = np.full((n, width), np.inf, np.float32)
        table[centre[keep], rank[keep]] = other[keep]
        lengths[centre[keep], rank[keep]] = distance[keep]

        itself = np.arange(n)
        pairs = np.concatenate([np.stack([itself, itself]), np.stack([centre, other])], axis=1)
        # Pairs are sorted by distance within a centre, and so the first of each is its minimum image.
        _, first = np.unique(pairs[0] * n + pairs[1], return_index=True)
        nearest = np.zeros(pairs.shape[1], bool)
        nearest[first] = True
        return cls(
            numbers=atoms.numbers.astype(np.uint8),
            neighbours=table,
            lengths=lengths,
            pairs=pairs.astype(np.int32),
            distances=np.concatenate([np.zeros(n), distance]).astype(np.float32),
            nearest=nearest,
        )


def check_structure(atoms: Atoms, name: str) -> None:
    """Raise ValueError with one line if no crystal graph can be made of a structure."""
    if len(atoms) == 0:
        raise ValueError(f"{name}: has no atoms")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(np.asarray(atoms.cell)).all()):
        raise ValueError(f"{name}: positions or cell are not finite numbers")
    if abs(np.linalg.det(np.asarray(atoms.cell))) < 1e-3:
        raise ValueError(f"{name}: has no periodic cell with a volume; crystal graphs need three lattice vectors")
    check_numbers(atoms.numbers, name)


def pair_images(atoms: Atoms, cutoff_A: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Centre, other atom and distance (Å) of all pair images within a cutoff, by centre and then by
    distance."""
    cell = np.ascontiguousarray(np.asarray(atoms.cell), dtype=float)
    positions = np.ascontiguousarray(atoms.get_positions(wrap=True, pbc=True), dtype=float)
    centre, other, _, distance = find_points_in_spheres(
        positions, positions, r=cutoff_A, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
    )
    away = distance > 1e-8
    centre, other, distance = centre[away], other[away], distance[away]
    order = np.lexsort((other, distance, centre))
    return centre[order], other[order], distance[order]


@dataclass
class Bonds:
    """The different bonds of a batch over a shared graph: place in the graph, element here, element there.

    A first convolution's message depends on these three alone, so that it is computed once per different bond (some
    thousands) instead of once per bond of every row.

    Attributes:
        place: (u,) flat index into the graph's (n, k) neighbour lists.
        centre, other: (u,) atomic numbers.
        index: (t, k) which of the different bonds each bond is.
    """

    place: torch.Tensor
    centre: torch.Tensor
    other: torch.Tensor
    index: torch.Tensor

    def to(self, device: torch.device | str) -> Bonds:
        return Bonds(*(value.to(device) for value in (self.place, self.centre, self.other, self.index)))


@dataclass
class GraphBatch:
    """Crystals laid out one after another: b crystals, t atoms in all, k neighbours.

    With `shared` the geometry is that of one crystal of n = t / b atoms and holds for all: `lengths` is
    (n, k), and `pair_index` counts in one (n, n) matrix instead of in (b, n, n).

    Attributes:
        numbers: (t,) atomic numbers.
        crystal: (t,) which crystal each atom belongs to.
        slot: (t,) position of each atom within its crystal.
        sizes: (b,) number of atoms.
        neighbours: (t, k) index into the batch's atoms.
        lengths: (t or n, k) Å, infinite where there is no neighbour.
        pair_index: (p,) flat index into (b or 1, n, n), n the largest crystal, of each pair image.
        pair_lengths: (p,) Å.
        nearest: (p,) bool, minimum images.
        fidelity: (b,) index of the fidelity that is asked for.
        complete: whether every atom has k neighbours.
        bonds: the different bonds, if the graph is shared.
        hops: (b or 1, n, n) or None if not asked for.
    """

    numbers: torch.Tensor
    crystal: torch.Tensor
    slot: torch.Tensor
    sizes: torch.Tensor
    neighbours: torch.Tensor
    lengths: torch.Tensor
    pair_index: torch.Tensor
    pair_lengths: torch.Tensor
    nearest: torch.Tensor
    fidelity: torch.Tensor
    complete: bool
    shared: bool = False
    bonds: Bonds | None = None
    hops: torch.Tensor | None = None

    @property
    def width(self) -> int:
        """Number of atoms of the largest crystal."""
        return int(self.sizes.max())

    def to(self, device: torch.device | str) -> GraphBatch:
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, (torch.Tensor, Bonds))
        }
        return replace(self, **moved)


def collate(crystals: Sequence[Crystal], fidelity: Sequence[int] | None = None, hops: bool = False) -> GraphBatch:
    """Lay crystals of any sizes out in one batch."""
    sizes = np.array([len(crystal) for crystal in crystals])
    n, k = sizes.max(), max(crystal.lengths.shape[1] for crystal in crystals)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    total = offsets[-1]
    neighbours = np.repeat(np.arange(total)[:, None], k, axis=1)
    lengths = np.full((total, k), np.inf, np.float32)
    for crystal, start, end in zip(crystals, offsets[:-1], offsets[1:], strict=True):
        width = crystal.lengths.shape[1]
        neighbours[start:end, :width] = crystal.neighbours + start
        lengths[start:end, :width] = crystal.lengths
    pair_index = [
        (index * n + crystal.pairs[0].astype(np.int64)) * n + crystal.pairs[1]
        for index, crystal in enumerate(crystals)
    ]
    steps = None
    if hops:
        steps = torch.full((len(crystals), n, n), MAX_HOPS, dtype=torch.uint8)
        for index, crystal in enumerate(crystals):
            steps[index, : len(crystal), : len(crystal)] = torch.from_numpy(crystal.hops)
    return GraphBatch(
        numbers=torch.from_numpy(np.concatenate([crystal.numbers for crystal in crystals]).astype(np.int64)),
        crystal=torch.from_numpy(np.repeat(np.arange(len(crystals)), sizes)),
        slot=torch.from_numpy(np.arange(total) - np.repeat(offsets[:-1], sizes)),
        sizes=torch.from_numpy(sizes),
        neighbours=torch.from_numpy(neighbours),
        lengths=torch.from_numpy(lengths),
        pair_index=torch.from_numpy(np.concatenate(pair_index)),
        pair_lengths=torch.from_numpy(np.concatenate([crystal.distances for crystal in crystals])),
        nearest=torch.from_numpy(np.concatenate([crystal.nearest for crystal in crystals])),
        fidelity=torch.as_tensor([0] * len(crystals) if fidelity is None else list(fidelity)),
        complete=bool(np.isfinite(lengths).all()),
        hops=steps,
    )


class Store(Protocol):
    """Rows that a graph network can read."""

    def __len__(self) -> int: ...

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of atoms of each row."""
        ...

    def batch(
        self, rows: NDArray[np.int64], fidelity: NDArray[np.int64] | None = None, hops: bool = False
    ) -> GraphBatch: ...


class _NotCloned:
    """scikit-learn's `clone` copies what an estimator holds; graphs are never changed, so they are shared
    instead."""

    def __sklearn_clone__(self) -> Self:
        return self


class GraphStore(_NotCloned):
    """Crystal graphs of a list of structures; row i is structure i."""

    def __init__(
        self,
        structures: Sequence[Atoms],
        names: Sequence[str] | None = None,
        whole_shells: bool = True,
        cache: Path | None = None,
        processes: int = 1,
    ):
        """Build all graphs (some 5 ms for 80 atoms).

        Args:
            names: for messages.
            whole_shells: see `Crystal.from_atoms`.
            cache, processes: see `models.cache.build_graphs`.

        Raises:
            ValueError: see `Crystal.from_atoms`; the message carries the structure's name or number.
        """
        from models.cache import build_graphs

        titles = [f"structure {i}" for i in range(len(structures))] if names is None else list(names)
        self.crystals = build_graphs(structures, titles, whole_shells, cache, processes)

    def __len__(self) -> int:
        return len(self.crystals)

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array([len(self.crystals[row]) for row in rows])

    def batch(
        self, rows: NDArray[np.int64], fidelity: NDArray[np.int64] | None = None, hops: bool = False
    ) -> GraphBatch:
        return collate([self.crystals[row] for row in rows], None if fidelity is None else fidelity.tolist(), hops)


class BondVocabulary:
    """Numbers every (place in the host's graph, element here, element there) that occurs in any row."""

    def __init__(self, neighbours: NDArray[np.int32], numbers: NDArray[np.uint8]):
        """
        Args:
            neighbours: (n, k) of the host's graph.
            numbers: (rows, n) decorations.
        """
        n, k = neighbours.shape
        present = np.zeros((n, 256), bool)
        for site in range(n):
            present[site, np.unique(numbers[:, site])] = True
        self.rank = (np.cumsum(present, axis=1) - 1).astype(np.int64)  # of an element among those of its site
        kinds = present.sum(axis=1)
        self.neighbours = neighbours
        self.width = kinds[neighbours]
        sizes = kinds[:, None] * self.width
        self.base = (np.cumsum(sizes) - sizes.reshape(-1)).reshape(n, k)
        elements = [np.flatnonzero(row) for row in present]
        self.place = np.repeat(np.arange(n * k), sizes.reshape(-1))
        flat = [(elements[i], elements[j]) for i in range(n) for j in neighbours[i]]
        self.centre = np.concatenate([np.repeat(here, len(there)) for here, there in flat])
        self.other = np.concatenate([np.tile(there, len(here)) for here, there in flat])

    def bonds(self, numbers: NDArray[np.uint8]) -> Bonds:
        """Different bonds of some rows (b, n)."""
        rank = self.rank[np.arange(numbers.shape[1]), numbers]
        code = self.base + rank[:, :, None] * self.width + rank[:, self.neighbours]
        used = np.zeros(len(self.place), bool)
        used[code.reshape(-1)] = True
        renumbered = np.cumsum(used) - 1
        found = (self.place[used], self.centre[used], self.other[used], renumbered[code])
        place, centre, other, index = (torch.from_numpy(values.astype(np.int64)) for values in found)
        return Bonds(place, centre, other, index.reshape(-1, self.neighbours.shape[1]))


class HostGraphs(_NotCloned):
    """One shared graph of a host's sites and many decorations of it."""

    def __init__(self, sites: Atoms, numbers: NDArray[Any], whole_shells: bool = True):
        """
        Args:
            sites: the host's computational cell with every site occupied.
            numbers: (rows, sites) atomic numbers, 0 for a vacant site; kept, not copied, if uint8.
            whole_shells: see `Crystal.from_atoms`.

        Raises:
            ValueError: the two do not fit together, or an element has no features.
        """
        numbers = np.asarray(numbers)
        if numbers.ndim != 2 or numbers.shape[1] != len(sites):
            raise ValueError(f"numbers has shape {numbers.shape}; expected (rows, {len(sites)}), one column a site")
        check_numbers(numbers, "numbers")
        self.numbers = numbers.astype(np.uint8, copy=False)
        self.crystal = Crystal.from_atoms(sites, "host sites", whole_shells=whole_shells)

    def __len__(self) -> int:
        return len(self.numbers)

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.full(len(rows), len(self.crystal))

    @cached_property
    def _geometry(self) -> GraphBatch:
        return collate([self.crystal], hops=True)

    @cached_property
    def _vocabulary(self) -> BondVocabulary:
        return BondVocabulary(self.crystal.neighbours, self.numbers)

    def batch(
        self, rows: NDArray[np.int64], fidelity: NDArray[np.int64] | None = None, hops: bool = False
    ) -> GraphBatch:
        one, n, b = self._geometry, len(self.crystal), len(rows)
        offset = torch.arange(b)[:, None, None] * n
        return GraphBatch(
            numbers=torch.from_numpy(self.numbers[rows].astype(np.int64)).reshape(-1),
            crystal=torch.arange(b).repeat_interleave(n),
            slot=torch.arange(n).repeat(b),
            sizes=torch.full((b,), n),
            neighbours=(one.neighbours[None] + offset).reshape(b * n, -1),
            lengths=one.lengths,
            pair_index=one.pair_index,
            pair_lengths=one.pair_lengths,
            nearest=one.nearest,
            fidelity=torch.zeros(b, dtype=torch.long) if fidelity is None else torch.from_numpy(fidelity),
            complete=one.complete,
            shared=True,
            bonds=self._vocabulary.bonds(self.numbers[rows]),
            hops=one.hops if hops else None,
        )


def batches(sizes: NDArray[np.int64], max_pairs: int, max_rows: int) -> Iterator[NDArray[np.int64]]:
    """Split positions 0..len(sizes)-1 into groups of similar size, so that padding and memory stay small.

    A group of b crystals, the largest with n atoms, obeys b * n * n <= max_pairs (or b = 1) and b <=
    max_rows.
    """
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while (
            end < len(order)
            and end - start < max_rows
            and (end - start + 1) * int(sizes[order[end]]) ** 2 <= max_pairs
        ):
            end += 1
        yield order[start:end]
        start = end
