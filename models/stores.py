"""The two stores that models read rows from; both hand out `GraphBatch`es by row id.

`GraphStore` holds arbitrary structures. `HostGraphs` holds one graph and many decorations of it: rows differ in what
sits on the sites, not in where the sites are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch_geometric.data import Batch, Data

from models.batch import BondKinds, GraphBatch, graph_data, lay_out
from models.crystal import Crystal
from models.features import check_numbers


class Store(Protocol):
    """Rows that a graph network can read."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Data:
        """One row as any torch-geometric network or loader reads it, see `models.batch.graph_data`; a copy."""
        ...

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of atoms of each row."""
        ...

    def batch(
        self,
        rows: NDArray[np.int64],
        fidelity: NDArray[np.int64] | None = None,
        hops: bool = False,
        marked: bool = False,
    ) -> GraphBatch:
        """Graphs of rows, with distances in hops, and with marked atoms alone asked for, if a network wants these."""
        ...


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
        self._graphs: dict[tuple[int, bool, bool], Data] = {}

    def __len__(self) -> int:
        return len(self.crystals)

    def __getitem__(self, row: int) -> Data:
        return graph_data(self.crystals[row]).clone()

    @torch.inference_mode(False)
    def _graph(self, row: int, hops: bool, marked: bool) -> Data:
        """Made once: an epoch asks for every row; and can be trained on, wherever it was asked for first."""
        key = (row, hops, marked)
        if key not in self._graphs:
            self._graphs[key] = graph_data(self.crystals[row], hops, marked)
        return self._graphs[key]

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array([len(self.crystals[row]) for row in rows])

    def batch(
        self,
        rows: NDArray[np.int64],
        fidelity: NDArray[np.int64] | None = None,
        hops: bool = False,
        marked: bool = False,
    ) -> GraphBatch:
        asked = marked and all(self.crystals[row].marked.any() for row in rows)
        graphs = Batch.from_data_list([self._graph(row, hops, asked) for row in rows.tolist()])
        return lay_out(graphs, fidelity, asked)


class BondVocabulary:
    """Numbers every (place in the host's graph, element here, element there) that occurs in any row."""

    def __init__(self, neighbours: NDArray[np.int64], numbers: NDArray[np.uint8]):
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

    def kinds(self, numbers: NDArray[np.uint8]) -> BondKinds:
        """Different bonds of some rows (b, n)."""
        rank = self.rank[np.arange(numbers.shape[1]), numbers]
        code = self.base + rank[:, :, None] * self.width + rank[:, self.neighbours]
        used = np.zeros(len(self.place), bool)
        used[code.reshape(-1)] = True
        renumbered = np.cumsum(used) - 1
        found = (self.place[used], self.centre[used], self.other[used], renumbered[code])
        place, centre, other, index = (torch.from_numpy(values.astype(np.int64)) for values in found)
        return BondKinds(place, centre, other, index.reshape(-1, self.neighbours.shape[1]))


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

    def __getitem__(self, row: int) -> Data:
        return graph_data(replace(self.crystal, numbers=self.numbers[row])).clone()

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.full(len(rows), len(self.crystal))

    @cached_property
    @torch.inference_mode(False)
    def _geometry(self) -> GraphBatch:
        return lay_out(Batch.from_data_list([graph_data(self.crystal, hops=True)]))

    @cached_property
    def _vocabulary(self) -> BondVocabulary:
        return BondVocabulary(self._geometry.neighbours.numpy(), self.numbers)

    def batch(
        self,
        rows: NDArray[np.int64],
        fidelity: NDArray[np.int64] | None = None,
        hops: bool = False,
        marked: bool = False,
    ) -> GraphBatch:
        """See `Store`; all atoms are asked for, since attention shares its bias between rows."""
        one, n, b = self._geometry, len(self.crystal), len(rows)
        offset = torch.arange(b)[:, None, None] * n
        return GraphBatch(
            numbers=torch.from_numpy(self.numbers[rows].astype(np.int64)).reshape(-1),
            crystal=torch.arange(b).repeat_interleave(n),
            slot=torch.arange(n).repeat(b),
            sizes=torch.full((b,), n),
            neighbours=(one.neighbours[None] + offset).reshape(b * n, -1),
            lengths=one.lengths,
            vectors=one.vectors,
            pair_index=one.pair_index,
            pair_lengths=one.pair_lengths,
            nearest=one.nearest,
            marked=one.marked.repeat(b),
            fidelity=torch.zeros(b, dtype=torch.long) if fidelity is None else torch.from_numpy(fidelity),
            complete=one.complete,
            shared=True,
            kinds=self._vocabulary.kinds(self.numbers[rows]),
            hops=one.hops if hops else None,
        )
