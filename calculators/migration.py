"""The migration graph of an ordering: pymatgen-analysis-diffusion's `MigrationGraph`, with vacant sites.

Nodes are the mobile sites, occupied or vacant (the library has no vacancy mode: here a vacant site is a site of the
dummy species X), edges the hops between them, once for each periodic image. The library finds the space group anew
for every hop and compares hops pair by pair: 8 s for the 84-site NASICON cell, 40 s with four dopants. Which hops
are the same is found here by sending all sites through every operation of the same space group at once, with the
same answer (tests/calculators/test_hops.py compares the two).
"""

from __future__ import annotations

from typing import Any

import networkx
import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pymatgen.analysis.diffusion.neb.full_path_mapper import MigrationGraph
from pymatgen.analysis.graphs import StructureGraph
from pymatgen.analysis.local_env import MinimumDistanceNN
from pymatgen.core import DummySpecies, Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

#: Positions that agree this well are the same by symmetry (Å); the library's own default.
SYMMETRY_A = 0.1
#: No hop of a graph, nor its image under a symmetry operation, crosses more cells than this.
FAR = 1000
#: What stands on a vacant site.
VACANT = DummySpecies("X", 0)

Integers = NDArray[np.int64]


class OrderingGraph(MigrationGraph):
    """The library's graph with its two slow steps replaced: hops that symmetry repeats share a `hop_label`."""

    def _populate_edges_with_migration_hops(self) -> None:
        """The library's `MigrationHop` of each edge only serves its own comparison of hops."""

    def _group_and_label_hops(self) -> dict[Any, Any]:
        graph = self.m_graph.graph
        ends = np.array([(i, j, *data["to_jimage"]) for i, j, data in graph.edges(data=True)], dtype=int)
        kinds = self._kinds(ends.reshape(-1, 5))
        labels = {edge: {"hop_label": int(kind)} for edge, kind in zip(graph.edges, kinds, strict=True)}
        networkx.set_edge_attributes(graph, labels)
        return labels

    def _kinds(self, ends: Integers) -> Integers:
        """A number for each hop (first, second, image of the second), the same for those that symmetry repeats."""
        try:
            operations = SpacegroupAnalyzer(self.structure, self.symprec).get_symmetry_operations()
        except SymmetryUndeterminedError:  # atoms upon each other
            return np.arange(len(ends))
        firsts, seconds, images = ends[:, 0], ends[:, 1], ends[:, 2:]
        sites, cell = self.only_sites.frac_coords, self.only_sites.lattice.matrix
        lowest = np.full(len(ends), np.iinfo(np.int64).max)
        for operation in operations:
            moved = operation.operate_multi(sites)[:, None] - sites[None]
            image = np.round(moved)
            goal = np.linalg.norm((moved - image) @ cell, axis=2).argmin(axis=1)
            shift = image[np.arange(len(sites)), goal].astype(int)
            there = np.rint(images @ operation.rotation_matrix.T).astype(int) + shift[seconds] - shift[firsts]
            lowest = np.minimum(lowest, _either_way(goal[firsts], goal[seconds], there, len(sites)))
        return np.unique(lowest, return_inverse=True)[1]


def _either_way(firsts: Integers, seconds: Integers, images: Integers, n_sites: int) -> Integers:
    """One number for each hop, the same for its reverse."""
    shape = (n_sites, n_sites, *[2 * FAR + 1] * 3)
    forward = np.ravel_multi_index((firsts, seconds, *(FAR + images).T), shape)
    backward = np.ravel_multi_index((seconds, firsts, *(FAR - images).T), shape)
    return np.minimum(forward, backward)


def migration_graph(atoms: Atoms, ion: str, vacancies: NDArray[np.float64], cutoff_A: float) -> MigrationGraph:
    """All hops up to `cutoff_A` between the mobile sites of an ordering: the ions in their order, then the vacancies.

    Args:
        atoms: the structure without vacancies.
        vacancies: (n_vacant, 3) fractional coordinates.
    """
    lattice, mobile = Lattice(atoms.cell.array), np.asarray(atoms.symbols == ion)
    fractions = atoms.get_scaled_positions(wrap=False)
    sites = Structure(
        lattice,
        [ion] * int(mobile.sum()) + [VACANT] * len(vacancies),
        np.concatenate([fractions[mobile], vacancies.reshape(-1, 3)]),
    )
    near = MinimumDistanceNN(cutoff=cutoff_A, get_all_sites=True)
    framework = Structure(lattice, list(atoms.symbols[~mobile]), fractions[~mobile])
    return OrderingGraph.with_base_structure(
        framework, StructureGraph.from_local_env_strategy(sites, near), symprec=SYMMETRY_A
    )
