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
