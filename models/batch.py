"""Crystal graphs as torch-geometric holds and batches them, and laid out in tables as the networks read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Batch, Data
from torch_geometric.utils import degree, to_dense_batch

from models.crystal import MAX_HOPS, Crystal


def graph_data(crystal: Crystal, hops: bool = False, marked: bool = False) -> Data:
    """A crystal graph of n atoms as any torch-geometric network or loader reads it.

    Pairs are a second list of edges, for attention. Whatever has "index" in its name torch-geometric counts on from
    graph to graph when it makes a batch.

    Args:
        hops: with the number of bonds between atoms.
        marked: pairs and hops of marked atoms alone.

    Returns:
        z (n,) atomic numbers, 0 for a vacant site; edge_index (2, e) from neighbour to atom, by atom; edge_weight
        (e,) Å; edge_vector (e, 3) Å, from the atom to its neighbour; pair_index (2, p) centre and other of all pair
        images within 8 Å; pair_weight (p,) Å; pair_nearest (p,) bool, minimum images; marked (n,) bool; and hops
        (n or marked * n,) if asked for.
    """
    pairs = crystal.pairs_of_marked if marked else slice(None)
    given = {
        "z": crystal.numbers.astype(np.int64),
        "edge_index": crystal.bonds.astype(np.int64),
        "edge_weight": crystal.lengths,
        "edge_vector": crystal.vectors,
        "pair_index": crystal.pairs[:, pairs],
        "pair_weight": crystal.distances[pairs],
        "pair_nearest": crystal.nearest[pairs],
        "marked": crystal.marked,
    }
    if hops:
        given["hops"] = (crystal.hops[crystal.marked] if marked else crystal.hops).reshape(-1)
    return Data(num_nodes=len(crystal), **{name: torch.from_numpy(values) for name, values in given.items()})


@dataclass
class BondKinds:
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

    def to(self, device: torch.device | str) -> BondKinds:
        return BondKinds(*(value.to(device) for value in (self.place, self.centre, self.other, self.index)))


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

    What it keeps can be trained on, wherever it was asked for first.

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
        kinds: the different bonds, if the graph is shared.
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
    kinds: BondKinds | None = None
    hops: torch.Tensor | None = None
    queries: Queries | None = None

    @property
    def width(self) -> int:
        """Number of atoms of the largest crystal."""
        return int(self.sizes.max())

    @property
    def place(self) -> torch.Tensor:
        """(t,) flat index of every atom into (b, n)."""
        return self.crystal * self.width + self.slot

    @cached_property
    @torch.inference_mode(False)
    def occupied(self) -> torch.Tensor:
        """(q,) index of the atoms that are no vacant sites."""
        return torch.nonzero(self.numbers)[:, 0]

    @cached_property
    @torch.inference_mode(False)
    def _listed(self) -> torch.Tensor:
        """(t, k) bool, where there is a neighbour."""
        return torch.isfinite(self.lengths).repeat(len(self.numbers) // len(self.lengths), 1)

    @cached_property
    @torch.inference_mode(False)
    def edge_index(self) -> torch.Tensor:
        """(2, e) from neighbour to atom, by atom, as torch-geometric's layers ask for."""
        centre, place = torch.nonzero(self._listed, as_tuple=True)
        return torch.stack([self.neighbours[centre, place], centre])

    @cached_property
    @torch.inference_mode(False)
    def edge_vectors(self) -> torch.Tensor:
        """(e, 3) Å, from the atom to its neighbour."""
        return self.vectors.repeat(len(self.numbers) // len(self.vectors), 1, 1)[self._listed]

    @cached_property
    @torch.inference_mode(False)
    def edge_lengths(self) -> torch.Tensor:
        """(e,) Å."""
        return self.lengths.repeat(len(self.numbers) // len(self.lengths), 1)[self._listed]

    def to(self, device: torch.device | str) -> GraphBatch:
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in values.items()
            if isinstance(value, (torch.Tensor, BondKinds, Queries))
        }
        return replace(self, **moved)


def lay_out(graphs: Batch, fidelity: NDArray[np.int64] | None = None, marked: bool = False) -> GraphBatch:
    """Tables from a torch-geometric batch of what `graph_data` makes.

    Args:
        fidelity: (b,) what is asked for.
        marked: marked atoms alone are asked for; every crystal has some, and its pairs and hops are theirs.
    """
    z, crystal, start = graphs.z, graphs.batch, graphs.ptr
    t, sizes, (other, centre) = len(z), start.diff(), graphs.edge_index
    k = max(int(degree(centre, t, torch.long).max()), 1)
    neighbours, listed = to_dense_batch(other, centre, max_num_nodes=k, batch_size=t)
    lengths, _ = to_dense_batch(graphs.edge_weight, centre, torch.inf, k, t)
    vectors, _ = to_dense_batch(graphs.edge_vector, centre, 0.0, k, t)
    itself = torch.arange(t)
    slot = itself - start[crystal]
    queries, asked, row, f = None, sizes, slot, int(sizes.max())
    if marked:
        before = graphs.marked.cumsum(0) - graphs.marked.long()
        row = before - before[start[:-1]][crystal]  # of a marked atom among those of its crystal
        atoms = torch.nonzero(graphs.marked)[:, 0]
        asked = degree(crystal[atoms], len(sizes), torch.long)
        f = int(asked.max())
        queries = Queries(atoms, crystal[atoms] * f + row[atoms], f)
    asking, answering = graphs.pair_index
    n = int(sizes.max())
    return GraphBatch(
        numbers=z,
        crystal=crystal,
        slot=slot,
        sizes=sizes,
        neighbours=torch.where(listed, neighbours, itself[:, None]),
        lengths=lengths,
        vectors=vectors,
        pair_index=((crystal * f + row) * n).index_select(0, asking) + slot.index_select(0, answering),
        pair_lengths=graphs.pair_weight,
        nearest=graphs.pair_nearest,
        marked=graphs.marked,
        fidelity=torch.zeros_like(sizes) if fidelity is None else torch.from_numpy(fidelity),
        complete=bool(listed.all()),
        hops=_laid_out_hops(graphs.hops, asked, sizes) if "hops" in graphs else None,
        queries=queries,
    )


def _laid_out_hops(hops: torch.Tensor, asked: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """(b, f, n) from those of every crystal in a row."""
    table = torch.full((len(sizes), int(asked.max()), int(sizes.max())), MAX_HOPS, dtype=torch.uint8)
    shapes = list(zip(asked.tolist(), sizes.tolist(), strict=True))
    for place, (shape, part) in enumerate(zip(shapes, hops.split([f * n for f, n in shapes]), strict=True)):
        table[place, : shape[0], : shape[1]] = part.view(shape)
    return table


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
