"""From an ordering to the hops that matter.

The mobile sites of an ordering, occupied or vacant, are the nodes of a migration graph (`calculators.migration`, by
pymatgen-analysis-diffusion); two sites within a cutoff are joined, once for every periodic image. A hop that can be
computed in the ordering as it stands joins an occupied site to a vacant one: the ion moves, the vacancy changes
place, no charge is created.

The height of every edge is first estimated by bond valence (the framework's site energy along the straight
line, above its lower end); where the tables do not know the elements, its length takes that place. The
estimate only decides which hops deserve a NEB; a barrier that is reported always comes from a NEB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from calculators.bondvalence import SiteEnergy, formal_charges
from calculators.migration import migration_graph

#: A hop may bend: at each of this many points along its straight line, the lowest bond-valence energy within
#: this distance across the line counts (Å), on a grid of this spacing (Å).
LINE_POINTS, ACROSS_A, GRID_A = 15, 1.0, 0.25


@dataclass(frozen=True)
class Edge:
    """Two mobile sites close to each other.

    Attributes:
        first, second: site numbers; the hop leads from `first` to the periodic image `offset` of `second`.
        vector_A: from one to the other (Å).
        name: "Na1-Na2", from the names of the two sites.
        estimate: bond-valence height above the lower end (eV), or the length (Å) if there is none.
        computable: `first` is occupied and `second` is vacant.
        kind: the same for hops that a symmetry operation of the structure carries into each other.
    """

    first: int
    second: int
    offset: tuple[int, int, int]
    vector_A: tuple[float, float, float]
    name: str
    estimate: float = np.inf
    computable: bool = False
    kind: int = -1

    @property
    def length_A(self) -> float:
        return float(np.linalg.norm(self.vector_A))

    @property
    def label(self) -> str:
        """A short name that is unique in its ordering, fit for a folder."""
        image = "".join(f"{step:+d}" for step in self.offset) if any(self.offset) else ""
        return f"{self.name}_{self.first}-{self.second}{image}"


@dataclass
class Network:
    """The mobile sites of an ordering and the edges between them.

    Attributes:
        positions_A: (n_sites, 3), occupied sites first, in the order of the ions.
        n_occupied: how many of them are occupied.
        edges: each pair once; a computable one starts at its occupied end.
        estimated_by: "bond valence" or "length".
    """

    positions_A: NDArray[np.float64]
    n_occupied: int
    edges: list[Edge] = field(default_factory=list)
    estimated_by: str = "length"

    @property
    def computable(self) -> list[Edge]:
        """Edges that a NEB can be run on, the easiest first (to 1 meV; then by label, to be reproducible)."""
        return sorted(
            (edge for edge in self.edges if edge.computable),
            key=lambda edge: (round(edge.estimate, 3), edge.label),
        )


def build_network(
    atoms: Atoms, ion: str, vacancies: NDArray[np.float64], names: Sequence[str], cutoff_A: float
) -> Network:
    """The network of a structure's mobile ions and of its vacant sites.

    Args:
        atoms: the structure without vacancies, relaxed or not; formal charges, if known, as initial charges.
        vacancies: (n_vacant, 3) fractional coordinates.
        names: of the occupied sites (in the order of the ions), then of the vacant ones.
    """
    mobile = np.flatnonzero(atoms.symbols == ion)
    positions = np.concatenate([atoms.positions[mobile], vacancies @ atoms.cell.array])
    n_occupied = len(mobile)
    edges = []
    for i, j, data in migration_graph(atoms, ion, vacancies, cutoff_A).m_graph.graph.edges(data=True):
        image = np.array(data["to_jimage"], dtype=int)
        if j < n_occupied <= i or ((i < n_occupied) == (j < n_occupied) and (i, *image) > (j, *-image)):
            i, j, image = j, i, -image  # from the occupied to the vacant site, or from the lower number
        vector = positions[j] + image @ atoms.cell.array - positions[i]
        edges.append(
            Edge(
                first=i,
                second=j,
                offset=(int(image[0]), int(image[1]), int(image[2])),
                vector_A=(float(vector[0]), float(vector[1]), float(vector[2])),
                name=f"{names[i]}-{names[j]}",
                computable=i < n_occupied <= j,
                kind=data["hop_label"],
            )
        )
    network = Network(positions, n_occupied, edges)
    _estimate(network, atoms, ion)
    return network


def _estimate(network: Network, atoms: Atoms, ion: str) -> None:
    try:
        landscape = SiteEnergy(atoms, formal_charges(atoms), ion)
    except ValueError:  # metals, or a pair without parameters
        network.edges = [replace(edge, estimate=edge.length_A) for edge in network.edges]
        return
    network.estimated_by = "bond valence"
    grid = landscape.grid(GRID_A)
    scale = np.linalg.inv(atoms.cell.array) * np.array(grid.shape)
    fractions = np.linspace(0, 1, LINE_POINTS)[:, None, None]
    for number, edge in enumerate(network.edges):
        start, vector = network.positions_A[edge.first], np.array(edge.vector_A)
        points = start + fractions * vector + _disc(vector)
        energies = map_coordinates(grid, (points.reshape(-1, 3) @ scale).T, order=1, mode="grid-wrap")
        profile = energies.reshape(LINE_POINTS, -1).min(axis=1)
        height = float(profile.max() - min(profile[0], profile[-1]))
        network.edges[number] = replace(edge, estimate=height)


def _disc(vector_A: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, 3) on a disc of radius ACROSS_A across a vector, about GRID_A apart."""
    axis = vector_A / np.linalg.norm(vector_A)
    across = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    across /= np.linalg.norm(across)
    steps = np.arange(-ACROSS_A, ACROSS_A + 1e-9, GRID_A)
    x, y = np.meshgrid(steps, steps)
    inside = x**2 + y**2 <= ACROSS_A**2 + 1e-9
    disc: NDArray[np.float64] = np.outer(x[inside], across) + np.outer(y[inside], np.cross(axis, across))
    return disc


def distinct(edges: Sequence[Edge]) -> list[Edge]:
    """The first edge of each kind: one of those that symmetry repeats, and all of them where none is left."""
    first: dict[int, Edge] = {}
    for edge in edges:
        first.setdefault(edge.kind, edge)
    return list(first.values())


def named(edges: Sequence[Edge], name: str) -> list[Edge]:
    """The edges that join sites of these two names, in either direction.

    Raises:
        ValueError: there are none; the message lists the names there are.
    """
    ends = sorted(name.split("-"))
    found = [edge for edge in edges if sorted(edge.name.split("-")) == ends]
    if not found:
        present = ", ".join(sorted({edge.name for edge in edges})) or "no hops at all"
        raise ValueError(f"hop rule 'named {name}': no such hop; this ordering has {present}")
    return found


def easiest_path(
    edges: Sequence[Edge], n_sites: int, height: Callable[[Edge], float]
) -> tuple[list[Edge], float] | None:
    """The percolating path whose highest edge is lowest (minimax), and that height; None if nothing
    percolates.

    Edges are added from the lowest upwards to a union-find structure that remembers in which periodic image
    of its tree's root each site lies; the first edge that closes a loop with a nonzero lattice vector makes
    the network infinite in at least one direction. The loop lies within a minimum spanning tree, so no path
    is lower.
    """
    forest: dict[int, list[tuple[int, Edge, NDArray[np.int64]]]] = {site: [] for site in range(n_sites)}
    tree = list(range(n_sites))
    image = np.zeros((n_sites, 3), dtype=int)
    for edge in sorted(edges, key=lambda edge: (height(edge), edge.label)):
        if not np.isfinite(height(edge)):
            return None
        offset = np.array(edge.offset)
        a, b = edge.first, edge.second
        if tree[a] != tree[b]:
            shift = image[a] + offset - image[b]
            members = [site for site in range(n_sites) if tree[site] == tree[b]]
            image[members] += shift
            for site in members:
                tree[site] = tree[a]
            forest[a].append((b, edge, offset))
            forest[b].append((a, edge, -offset))
        elif (image[a] + offset - image[b]).any():
            path = [*_tree_path(forest, a, b), edge]
            return path, max(height(step) for step in path)
    return None


def _tree_path(forest: dict[int, list[tuple[int, Edge, NDArray[np.int64]]]], start: int, goal: int) -> list[Edge]:
    stack: list[tuple[int, list[Edge]]] = [(start, [])]
    visited = {start}
    while stack:
        site, path = stack.pop()
        if site == goal:
            return path
        for neighbour, edge, _ in forest[site]:
            if neighbour not in visited:
                visited.add(neighbour)
                stack.append((neighbour, [*path, edge]))
    raise AssertionError("both ends lie in one tree")
