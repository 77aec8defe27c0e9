"""Crystal graphs laid out one after another in tensors, as the networks read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.crystal import MAX_HOPS, Crystal


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
class Queries:
    """The atoms whose final vectors are asked for, where that is not all: b lists of at most f.

    Attributes:
        atoms: (q,) index into the batch's atoms.
        place: (q,) flat index into (b, f).
        width: f.
    """

    atoms: torch.Tensor
    place: torch.Tensor
    width: int

    def to(self, device: torch.device | str) -> Queries:
        return Queries(self.atoms.to(device), self.place.to(device), self.width)


@dataclass
class GraphBatch:
    """Crystals laid out one after another: b crystals, t atoms in all, k neighbours.

    With `queries` pairs and hops are those of these atoms alone: f takes the place of the first n of (b, n, n).

    With `shared` the geometry is that of one crystal of n = t / b atoms and holds for all: `lengths` is
    (n, k), and `pair_index` counts in one (n, n) matrix instead of in (b, n, n).

    Attributes:
        numbers: (t,) atomic numbers.
        crystal: (t,) which crystal each atom belongs to.
        slot: (t,) position of each atom within its crystal.
        sizes: (b,) number of atoms.
        neighbours: (t, k) index into the batch's atoms.
        lengths: (t or n, k) Å, infinite where there is no neighbour.
        vectors: (t or n, k, 3) Å, from the atom to its neighbour.
        pair_index: (p,) flat index into (b or 1, n, n), n the largest crystal, of each pair image.
        pair_lengths: (p,) Å.
        nearest: (p,) bool, minimum images.
        marked: (t,) bool, see `Crystal`.
        fidelity: (b,) index of the fidelity that is asked for.
        complete: whether every atom has k neighbours.
        bonds: the different bonds, if the graph is shared.
        hops: (b or 1, n, n) or None if not asked for.
        queries: atoms that are asked for, None if all are.
    """

    numbers: torch.Tensor
    crystal: torch.Tensor
    slot: torch.Tensor
    sizes: torch.Tensor
    neighbours: torch.Tensor
    lengths: torch.Tensor
    vectors: torch.Tensor
    pair_index: torch.Tensor
    pair_lengths: torch.Tensor
    nearest: torch.Tensor
    marked: torch.Tensor
    fidelity: torch.Tensor
    complete: bool
    shared: bool = False
    bonds: Bonds | None = None
    hops: torch.Tensor | None = None
    queries: Queries | None = None

    @property
    def width(self) -> int:
        """Number of atoms of the largest crystal."""
        return int(self.sizes.max())

    def to(self, device: torch.device | str) -> GraphBatch:
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, (torch.Tensor, Bonds, Queries))
        }
        return replace(self, **moved)


def collate(
    crystals: Sequence[Crystal], fidelity: Sequence[int] | None = None, hops: bool = False, marked: bool = False
) -> GraphBatch:
    """Lay crystals of any sizes out in one batch.

    With `marked`, ask for the marked atoms alone if every crystal has some.
    """
    sizes = np.array([len(crystal) for crystal in crystals])
    n, k = sizes.max(), max(crystal.lengths.shape[1] for crystal in crystals)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    total = offsets[-1]
    neighbours = np.repeat(np.arange(total)[:, None], k, axis=1)
    lengths = np.full((total, k), np.inf, np.float32)
    vectors = np.zeros((total, k, 3), np.float32)
    for crystal, start, end in zip(crystals, offsets[:-1], offsets[1:], strict=True):
        width = crystal.lengths.shape[1]
        neighbours[start:end, :width] = crystal.neighbours + start
        lengths[start:end, :width] = crystal.lengths
        vectors[start:end, :width] = crystal.vectors
    asked = [crystal.marked if marked else np.ones(len(crystal), bool) for crystal in crystals]
    if not all(sites.any() for sites in asked):
        marked, asked = False, [np.ones(len(crystal), bool) for crystal in crystals]
    f = max(int(sites.sum()) for sites in asked)
    pairs = [crystal.pairs_of_marked if marked else np.arange(len(crystal.distances)) for crystal in crystals]
    pair_index = [
        (index * f + (np.cumsum(sites) - 1)[crystal.pairs[0, taken]]) * n + crystal.pairs[1, taken]
        for index, (crystal, sites, taken) in enumerate(zip(crystals, asked, pairs, strict=True))
    ]
    steps, queries = None, None
    if hops:
        steps = torch.full((len(crystals), f, n), MAX_HOPS, dtype=torch.uint8)
        for index, (crystal, sites) in enumerate(zip(crystals, asked, strict=True)):
            steps[index, : sites.sum(), : len(crystal)] = torch.from_numpy(crystal.hops[sites])
    if marked:
        place = [index * f + np.arange(sites.sum()) for index, sites in enumerate(asked)]
        atoms = np.flatnonzero(np.concatenate(asked))
        queries = Queries(torch.from_numpy(atoms), torch.from_numpy(np.concatenate(place)), f)
    return GraphBatch(
        numbers=torch.from_numpy(np.concatenate([crystal.numbers for crystal in crystals]).astype(np.int64)),
        crystal=torch.from_numpy(np.repeat(np.arange(len(crystals)), sizes)),
        slot=torch.from_numpy(np.arange(total) - np.repeat(offsets[:-1], sizes)),
        sizes=torch.from_numpy(sizes),
        neighbours=torch.from_numpy(neighbours),
        lengths=torch.from_numpy(lengths),
        vectors=torch.from_numpy(vectors),
        pair_index=torch.from_numpy(np.concatenate(pair_index)),
        pair_lengths=torch.from_numpy(np.concatenate([c.distances[p] for c, p in zip(crystals, pairs, strict=True)])),
        nearest=torch.from_numpy(np.concatenate([c.nearest[p] for c, p in zip(crystals, pairs, strict=True)])),
        marked=torch.from_numpy(np.concatenate([crystal.marked for crystal in crystals])),
        fidelity=torch.as_tensor([0] * len(crystals) if fidelity is None else list(fidelity)),
        complete=bool(np.isfinite(lengths).all()),
        hops=steps,
        queries=queries,
    )


def batches(sizes: NDArray[np.int64], max_pairs: int, max_atoms: int | None = None) -> Iterator[NDArray[np.int64]]:
    """Split positions 0..len(sizes)-1 into groups of similar size, so that padding and memory stay small.

    A group of b crystals, the largest with n atoms, obeys b * n * n <= max_pairs and b * n <= max_atoms, or b = 1.
    """
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order):
            n, b = int(sizes[order[end]]), end - start + 1
            if b * n * n > max_pairs or (max_atoms is not None and b * n > max_atoms):
                break
            end += 1
        yield order[start:end]
        start = end
