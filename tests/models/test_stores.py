import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.geometry import get_distances
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader
from torch_geometric.nn import CGConv

from models.batch import batches, lay_out
from models.crystal import CUTOFF_A, Crystal, pair_images
from models.stores import GraphStore, HostGraphs


def test_pairs_are_all_images_and_agree_with_minimum_image_distances(rattled):
    for atoms in rattled:
        graph = Crystal.from_atoms(atoms)
        _, expected = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
        shortest = np.full((len(atoms), len(atoms)), np.inf)
        shortest[tuple(graph.pairs[:, graph.nearest])] = graph.distances[graph.nearest]
        within = expected < CUTOFF_A - 1e-6
        np.testing.assert_allclose(shortest[within], expected[within], atol=1e-5)


def test_pair_images_agree_with_pymatgen_objects(rattled):
    from pymatgen.io.ase import AseAtomsAdaptor

    for atoms in rattled:
        centre, _, distance, _ = pair_images(atoms, CUTOFF_A)
        theirs = AseAtomsAdaptor.get_structure(atoms).get_all_neighbors(CUTOFF_A)
        for i, shell in enumerate(theirs):
            np.testing.assert_allclose(distance[centre == i], sorted(x.nn_distance for x in shell), atol=1e-6)


def degrees(graph: Crystal) -> list[int]:
    return np.bincount(graph.bonds[1], minlength=len(graph)).tolist()


def test_twelve_neighbours_and_the_whole_shell(rattled):
    assert set(degrees(Crystal.from_atoms(rattled[2]))) == {12}
    simple_cubic = Atoms("Po", cell=[3.35] * 3, pbc=True)
    whole = Crystal.from_atoms(simple_cubic)
    assert degrees(whole) == [18]  # 6 + 12: the twelfth lies within the second shell
    cut = Crystal.from_atoms(simple_cubic, whole_shells=False)
    assert degrees(cut) == [12]


def test_few_neighbours_isolated_atoms_and_one_atom_cells_have_graphs():
    isolated = Crystal.from_atoms(Atoms("Na", cell=[20] * 3, pbc=True))
    assert degrees(isolated) == [0]
    assert isolated.hops.tolist() == [[0]]
    sparse = Crystal.from_atoms(Atoms("Na2", positions=[[0, 0, 0], [3, 0, 0]], cell=[6, 20, 20], pbc=True))
    assert degrees(sparse) == [4, 4]  # 3 Å twice, 6 Å twice


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(cell=[3] * 3), "odd: has no atoms"),
        (Atoms("Na"), "odd: has no periodic cell"),
        (Atoms("Na", positions=[[np.nan, 0, 0]], cell=[3] * 3), "odd: positions or cell are not finite"),
        (Atoms("Db", cell=[3] * 3), "odd: no elemental features for Db"),
    ],
)
def test_what_is_no_crystal_is_refused_in_one_line(atoms, message):
    with pytest.raises(ValueError, match=message):
        GraphStore([atoms], ["odd"])


def test_hops_count_bonds():
    chain = Atoms("Na4", positions=[[i * 3.0, 0, 0] for i in range(4)], cell=[12, 30, 30], pbc=True)
    graph = Crystal.from_atoms(chain, neighbours=2)
    assert graph.hops[0].tolist() == [0, 1, 2, 1]


def test_host_batches_equal_batches_of_single_crystals(nasicon, decorations):
    host = HostGraphs(nasicon, decorations[:3])
    structures = []
    for numbers in decorations[:3]:
        atoms = nasicon.copy()
        atoms.numbers = numbers
        structures.append(atoms)
    one, many = host.batch(np.array([2, 0])), GraphStore(structures).batch(np.array([2, 0]))
    assert one.numbers.tolist() == many.numbers.tolist()
    assert one.neighbours.tolist() == many.neighbours.tolist()
    np.testing.assert_array_equal(np.tile(one.lengths, (2, 1)), many.lengths)


def test_rows_are_data_that_torch_geometric_batches_and_reads(nasicon, rattled, decorations):
    """Its own loader and network, on structures and on decorations of a host; nothing leaks from graph to graph."""
    network = CGConv(1, 1).double()
    for store in (GraphStore([*rattled, nasicon]), HostGraphs(nasicon, decorations[:4])):
        (together,) = DataLoader(store, batch_size=len(store))
        new = network(together.z[:, None].double(), together.edge_index, together.edge_weight[:, None].double())
        for row, part in enumerate(new.split(together.ptr.diff().tolist())):
            alone = store[row]
            expected = network(alone.z[:, None].double(), alone.edge_index, alone.edge_weight[:, None].double())
            torch.testing.assert_close(part, expected)
            assert torch.equal(together[row].pair_index, alone.pair_index)
        laid_out, own = lay_out(together), store.batch(np.arange(len(store)))
        assert torch.equal(laid_out.numbers, own.numbers)
        assert torch.equal(laid_out.neighbours, own.neighbours)
        assert torch.equal(laid_out.edge_index, together.edge_index)
        torch.testing.assert_close(laid_out.edge_lengths, together.edge_weight)
        torch.testing.assert_close(laid_out.edge_vectors, together.edge_vector)


def test_what_a_store_hands_out_is_not_what_it_keeps(rattled):
    store = GraphStore(rattled)
    before = store.batch(np.arange(1)).lengths.clone()
    store[0].edge_weight += 1.0
    store[0].z = None
    torch.testing.assert_close(store.batch(np.arange(1)).lengths, before)


def test_host_refuses_what_does_not_fit(nasicon):
    with pytest.raises(ValueError, match=r"expected \(rows, 126\)"):
        HostGraphs(nasicon, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="Rf"):
        HostGraphs(nasicon, np.full((2, 126), 104))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 3000), st.integers(1, 200))
def test_batches_cover_everything_once_within_bounds(sizes, max_pairs, max_atoms):
    parts = list(batches(np.array(sizes), max_pairs, max_atoms))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(sizes)))
    for part in parts:
        largest = max(sizes[i] for i in part)
        assert len(part) == 1 or len(part) * largest <= max_atoms
        assert len(part) == 1 or len(part) * largest**2 <= max_pairs


def test_graph_does_not_depend_on_a_lattice_vector_choice():
    cell = bulk("NaCl", "rocksalt", a=5.64)
    skewed = cell.copy()
    skewed.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, 2, 1]]) @ cell.cell[:])
    first, second = Crystal.from_atoms(cell), Crystal.from_atoms(skewed)
    assert degrees(first) == degrees(second)
    np.testing.assert_allclose(first.lengths, second.lengths, atol=1e-5)
    np.testing.assert_allclose(np.sort(first.distances), np.sort(second.distances), atol=1e-5)
