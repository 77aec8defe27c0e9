import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.special import eval_legendre

from models.angles import DEGREE, Angles, harmonics
from models.cgformer import CGformer, CGformerConfig
from models.stores import GraphStore

WIDTH, CHANNELS = 8, 4


def layer() -> Angles:
    torch.manual_seed(1)
    return Angles(WIDTH, CHANNELS).double().eval()


def invariants(made: Angles, atoms: Atoms) -> np.ndarray:
    """Of all atoms, whose vectors follow from their atomic numbers."""
    batch = GraphStore([atoms]).batch(np.array([0]))
    nodes = torch.sin(batch.numbers[:, None] * torch.arange(1, WIDTH + 1, dtype=torch.float64))
    with torch.no_grad():
        return made.invariants(nodes, batch).numpy()


def cluster(directions: np.ndarray, lengths: np.ndarray) -> Atoms:
    """One Na in a large cell, with Cl around it at given lengths (Å) along unit vectors."""
    positions = np.concatenate([np.zeros((1, 3)), directions * lengths[:, None]])
    return Atoms(["Na"] + ["Cl"] * len(lengths), positions=positions + 10, cell=[20] * 3, pbc=True)


def on_sphere(count: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_harmonics_obey_the_addition_theorem():
    one, other = on_sphere(20, 1), on_sphere(20, 2)
    first, second = (harmonics(torch.from_numpy(directions * 2.5)).numpy() for directions in (one, other))
    for degree in range(DEGREE + 1):
        part = slice(degree**2, (degree + 1) ** 2)
        expected = eval_legendre(degree, (one * other).sum(axis=1))
        np.testing.assert_allclose((first[:, part] * second[:, part]).sum(axis=1), expected, atol=1e-12)


def test_angles_are_told_apart_where_all_distances_to_the_atom_agree():
    """Octahedron and trigonal prism: six neighbours at 2.5 Å."""
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    turn = np.deg2rad([0, 120, 240])
    flat, height = np.sqrt(4 / 7), np.sqrt(3 / 7)  # all edges alike
    prism = np.array([[flat * np.cos(a), flat * np.sin(a), h] for a in turn for h in (height, -height)])
    lengths, made = np.full(6, 2.5), layer()
    one, other = invariants(made, cluster(octahedron, lengths))[0], invariants(made, cluster(prism, lengths))[0]
    linear = 2 * CHANNELS  # A_00 and degree 0 know of distances alone
    np.testing.assert_allclose(one[:linear], other[:linear], atol=1e-6)
    assert np.abs(one[linear:] - other[linear:]).max() > 1e-2


def test_an_atom_without_neighbours_and_an_infinite_length_are_silent():
    made = layer()
    assert not invariants(made, Atoms("Na", cell=[20] * 3, pbc=True)).any()
    # One atom of the cluster has fewer neighbours than another: places without one count for nothing.
    bonds = on_sphere(3, 3)
    alone = invariants(made, cluster(bonds[:1], np.array([2.0])))
    batch = GraphStore([cluster(bonds[:1], np.array([2.0])), cluster(bonds, np.full(3, 2.0))]).batch(np.arange(2))
    nodes = torch.sin(batch.numbers[:, None] * torch.arange(1, WIDTH + 1, dtype=torch.float64))
    with torch.no_grad():
        together = made.invariants(nodes, batch).numpy()
    np.testing.assert_allclose(together[:2], alone, atol=1e-12)


def test_a_neighbour_fades_as_it_leaves():
    """Up to 8 Å and beyond nothing jumps."""
    made = layer()
    lengths = [np.array([2.5, 2.5, far]) for far in (7.9999, 8.0001)]
    before, after = (invariants(made, cluster(on_sphere(3, 4), length))[0] for length in lengths)
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_memory_is_one_value_per_bond_and_channel():
    """No (t, k, channels, 16) array: what the backward pass keeps stays below four such values a bond."""
    rng = np.random.default_rng(0)
    atoms = Atoms("Na300", scaled_positions=rng.random((300, 3)), cell=[20] * 3, pbc=True)
    batch = GraphStore([atoms]).batch(np.array([0]))
    made, kept = Angles(WIDTH, 64), []
    nodes = torch.randn(300, WIDTH, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda value: kept.append(value.numel()) or value, lambda value: value
    ):
        made(nodes, batch)
    assert max(kept) <= batch.neighbours.numel() * 64


def test_without_angles_a_network_is_what_it_was():
    """No parameter more, and none drawn otherwise: saved networks stay."""
    torch.manual_seed(0)
    plain = CGformer(CGformerConfig(angles=0)).state_dict()
    torch.manual_seed(0)
    seeing = CGformer(CGformerConfig(angles=4)).state_dict()
    assert not [name for name in plain if name.startswith("angles")]
    assert {name for name in seeing if not name.startswith("angles")} == set(plain)
    assert torch.equal(plain["convolutions.0.centre.weight"], seeing["convolutions.0.centre.weight"])


def test_a_negative_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="angles and layers at least 0"):
        CGformerConfig(angles=-1)
