import functools
import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cells import copper_with_vacancy, nasicon_host, nasicon_ordering
from hypothesis import given, settings
from hypothesis import strategies as st

from calculators import migration
from calculators.hops import Edge, build_network, distinct, easiest_path, named
from calculators.structures import split


def test_a_vacancy_in_copper_has_twelve_neighbours():
    ordering = split(copper_with_vacancy(3), "Cu")
    network = build_network(ordering.atoms, "Cu", ordering.vacancies, ordering.names, 3.0)
    assert len(network.computable) == 12
    assert len(distinct(network.computable)) == 1
    assert network.estimated_by == "length"


def full(ordering):
    """All mobile sites occupied."""
    atoms = ordering.copy()
    atoms.numbers[atoms.numbers == 0] = 11
    return atoms


HOSTS = {
    "rocksalt-like sublattice": lambda: (bulk("NaCl", "rocksalt", a=5.64, cubic=True), 4.2),
    "antifluorite": lambda: (bulk("SNa2", "fluorite", a=6.53), 4.7),
    "NASICON": lambda: (nasicon_host(), 4.0),
    "NASICON with four dopants": lambda: (
        full(nasicon_ordering(("Sn", "Sn", "Sc", "Sc", "Ge", "Ge", "Nb", "Nb"))),
        4.0,
    ),
}


@pytest.mark.parametrize("host", HOSTS)
def test_hops_are_distinct_by_symmetry_as_the_library_has_it(host):
    """All where no symmetry is left; pymatgen-analysis-diffusion tells by pymatgen's own space group."""
    from pymatgen.analysis.diffusion.neb.pathfinder import DistinctPathFinder
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms, cutoff_A = HOSTS[host]()
    sites = int(np.sum(atoms.symbols == "Na"))
    network = build_network(atoms, "Na", np.zeros((0, 3)), ["Na"] * sites, cutoff_A)
    theirs = DistinctPathFinder(AseAtomsAdaptor.get_structure(atoms), "Na", max_path_length=cutoff_A).get_paths()
    ours = distinct(network.edges)
    assert sorted(edge.length_A for edge in ours) == pytest.approx(sorted(path.length for path in theirs), abs=1e-4)
    if "dopants" in host:
        assert len(ours) == len(network.edges)


ORDERINGS = {
    "NASICON": lambda: (split(nasicon_ordering(), "Na"), "Na", 4.0),
    "symmetric, with a vacancy": lambda: (split(copper_with_vacancy(1), "Cu"), "Cu", 3.0),
}


@pytest.mark.parametrize("name", ORDERINGS)
def test_hops_of_an_ordering_are_grouped_as_by_the_unchanged_library(name, monkeypatch):
    """`MigrationGraph` as it is, but for the space group, which it would find anew for every hop."""
    from pymatgen.analysis.diffusion.neb.full_path_mapper import MigrationGraph

    ordering, ion, cutoff_A = ORDERINGS[name]()
    ours = migration.migration_graph(ordering.atoms, ion, ordering.vacancies, cutoff_A)

    class Unchanged(MigrationGraph):
        symm_structure = functools.cached_property(MigrationGraph.symm_structure.fget)

    monkeypatch.setattr(migration, "OrderingGraph", Unchanged)
    theirs = migration.migration_graph(ordering.atoms, ion, ordering.vacancies, cutoff_A)

    def groups(graph):
        labels = [label for *_, label in graph.m_graph.graph.edges(data="hop_label")]
        return {frozenset(np.flatnonzero(np.array(labels) == label)) for label in labels}

    assert list(ours.m_graph.graph.edges(data="to_jimage")) == list(theirs.m_graph.graph.edges(data="to_jimage"))
    assert groups(ours) == groups(theirs)


def test_hops_cross_the_cell_boundary_by_the_short_way():
    """Two sites 8 Å apart in a 10 Å cell are 2 Å apart."""
    sites = Atoms("Na", positions=[[9, 0, 0]], cell=[10, 20, 20], pbc=True)
    network = build_network(sites, "Na", np.array([[0.1, 0, 0]]), ["a", "b"], 3.0)
    (edge,) = network.computable
    assert edge.length_A == pytest.approx(2)
    assert edge.vector_A == pytest.approx((2, 0, 0))
    assert edge.offset == (1, 0, 0)


def test_both_images_of_a_neighbour_are_hops_in_a_short_cell():
    sites = Atoms("Na", positions=[[0, 0, 0]], cell=[6, 20, 20], pbc=True)
    network = build_network(sites, "Na", np.array([[0.5, 0, 0]]), ["a", "b"], 3.5)
    assert sorted(edge.vector_A[0] for edge in network.computable) == pytest.approx([-3, 3])


def test_nasicon_vacancies_are_ranked_by_bond_valence():
    ordering = split(nasicon_ordering(), "Na")
    atoms = ordering.atoms
    network = build_network(atoms, "Na", ordering.vacancies, ordering.names, 4.0)
    assert network.estimated_by == "bond valence"
    assert {edge.name for edge in network.edges} >= {"Na1-Na2"}
    estimates = [edge.estimate for edge in network.computable]
    assert estimates == sorted(estimates)
    assert 0 < estimates[0] < 3


def test_named_hops_say_what_there_is():
    edges = [Edge(0, 1, (0, 0, 0), (1, 0, 0), "Na1-Na2")]
    assert named(edges, "Na2-Na1") == edges
    with pytest.raises(ValueError, match="this ordering has Na1-Na2"):
        named(edges, "Li1-Li2")


def percolates(edges, n_sites):
    """Brute force: unfold the network in a 5x5x5 supercell and look whether a site meets its own image."""
    reach = range(-2, 3)
    for start in range(n_sites):
        seen, stack = {(start, 0, 0, 0)}, [(start, 0, 0, 0)]
        while stack:
            site, *image = stack.pop()
            for edge in edges:
                for here, there, sign in ((edge.first, edge.second, 1), (edge.second, edge.first, -1)):
                    if here != site:
                        continue
                    arrival = (there, *(i + sign * o for i, o in zip(image, edge.offset, strict=True)))
                    if all(i in reach for i in arrival[1:]) and arrival not in seen:
                        seen.add(arrival)
                        stack.append(arrival)
        if any((start, *image) in seen for image in itertools.product(reach, repeat=3) if any(image)):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.tuples(*[st.integers(-1, 1)] * 3), st.floats(0.1, 2)),
        max_size=9,
    )
)
def test_the_easiest_path_is_the_minimax_one(drawn):
    edges = [Edge(a, b, offset, (0, 0, 0), str(k), estimate) for k, (a, b, offset, estimate) in enumerate(drawn)]
    found = easiest_path(edges, 4, lambda edge: edge.estimate)
    if found is None:
        # The brute force sees fewer loops than there are, never more.
        assert not percolates(edges, 4)
        return
    path, height = found
    assert height == max(edge.estimate for edge in path)
    below = [edge for edge in edges if edge.estimate < height]
    assert not percolates(below, 4)
    assert np.any(loop_vector(path))


def percolates_by_the_library(edges, n_sites, reach):
    """Whether pymatgen-analysis-diffusion finds a way from a site to its own image, at most `reach` cells away."""
    import networkx as nx
    from pymatgen.analysis.diffusion.neb.periodic_dijkstra import periodic_dijkstra

    graph = nx.MultiGraph()
    graph.add_nodes_from(range(n_sites))
    for edge in edges:
        (a, b), sign = sorted((edge.first, edge.second)), 1 if edge.first <= edge.second else -1
        graph.add_edge(a, b, cost=1.0, to_jimage=tuple(sign * step for step in edge.offset))
    for start in range(n_sites):
        _, parents = periodic_dijkstra(graph, sources={start}, weight="cost", max_image=reach)
        if any(site == start and any(image) for site, image in parents):
            return True
    return False


def check_against_the_library(edges, n_sites, reach):
    found = easiest_path(edges, n_sites, lambda edge: edge.estimate)
    height = np.inf if found is None else found[1]
    assert not percolates_by_the_library([edge for edge in edges if edge.estimate < height], n_sites, reach)
    if found is not None:
        assert percolates_by_the_library([edge for edge in edges if edge.estimate <= height], n_sites, reach)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.tuples(*[st.integers(-1, 1)] * 3), st.floats(0.1, 2)),
        max_size=7,
    )
)
def test_the_library_percolates_at_the_same_height(drawn):
    """A loop of three hops, each at most one cell long, stays within three cells."""
    edges = [Edge(a, b, offset, (0, 0, 0), str(k), estimate) for k, (a, b, offset, estimate) in enumerate(drawn)]
    check_against_the_library(edges, 3, reach=3)


def test_the_library_percolates_at_the_same_height_in_a_nasicon():
    ordering = split(nasicon_ordering(), "Na")
    network = build_network(ordering.atoms, "Na", ordering.vacancies, ordering.names, 4.0)
    check_against_the_library(network.edges, len(network.positions_A), reach=2)


def loop_vector(path):
    """Follow a closed path and add up the lattice vectors it crosses."""
    for start in {site for edge in path for site in (edge.first, edge.second)}:
        site, total, left = start, np.zeros(3, int), list(path)
        while left:
            step = next((edge for edge in left if site in (edge.first, edge.second)), None)
            if step is None:
                break
            left.remove(step)
            sign = 1 if step.first == site else -1
            total, site = total + sign * np.array(step.offset), step.second if sign == 1 else step.first
        if not left and site == start:
            return total
    return np.zeros(3, int)
