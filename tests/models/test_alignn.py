import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from models.alignn import ALIGNN, ALIGNNConfig, line_graph
from models.crystal import Crystal
from models.stores import GraphStore, HostGraphs


def values(made: ALIGNN, structures: list[Atoms]) -> np.ndarray:
    with torch.no_grad():
        return made(GraphStore(structures).batch(np.arange(len(structures))))[:, 0].numpy()


def network() -> ALIGNN:
    torch.manual_seed(0)
    made = ALIGNN(ALIGNNConfig(width=16, angle_layers=1, bond_layers=1))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.double().eval()


def test_vectors_lead_to_the_neighbours(rattled):
    for atoms in rattled:
        crystal = Crystal.from_atoms(atoms)
        np.testing.assert_allclose(np.linalg.norm(crystal.vectors, axis=1), crystal.lengths, atol=1e-5)
        other, centre = crystal.bonds
        away = atoms.positions[other] - atoms.positions[centre] - crystal.vectors
        whole = away @ np.linalg.inv(atoms.cell[:])
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-4)


def test_bonds_listen_to_the_bonds_of_their_other_end(nasicon, rattled):
    batch = GraphStore([rattled[0], nasicon, Atoms("Na", cell=[20] * 3, pbc=True)]).batch(np.arange(3))
    other, centre = batch.edge_index
    heard, listening = line_graph(batch.edge_index, len(batch.numbers))
    degree = torch.isfinite(batch.lengths).sum(dim=1)
    assert len(batch.edge_vectors) == len(other) == degree.sum()
    torch.testing.assert_close(batch.edge_vectors.norm(dim=1), batch.edge_lengths)
    assert torch.equal(other[listening], centre[heard])
    assert torch.equal(torch.bincount(listening, minlength=len(centre)), degree[other])
    assert len(set(zip(listening.tolist(), heard.tolist(), strict=True))) == len(listening)


def test_prediction_is_invariant_and_a_supercell_predicts_its_cell(rattled, nasicon):
    rng, made = np.random.default_rng(1), network()
    for atoms in [*rattled, nasicon, bulk("NaCl", "rocksalt", a=5.64, cubic=True)]:
        expected = values(made, [atoms])
        changed = [atoms.copy() for _ in range(4)]
        changed[0].positions += [1.234, -0.7, 2.1]
        changed[1] = atoms[rng.permutation(len(atoms))]
        changed[2].rotate(33, (1, 2, 3), rotate_cell=True)
        changed[3] = atoms * (2, 1, 1)
        for other in changed:
            np.testing.assert_allclose(values(made, [other]), expected, atol=1e-4)


def test_angles_matter():
    """Four equal bonds in a plane, or one of them out of it."""
    square = Atoms("CF4", [[0, 0, 0], [1.5, 0, 0], [-1.5, 0, 0], [0, 1.5, 0], [0, -1.5, 0]], cell=[30] * 3, pbc=True)
    bent = square.copy()
    bent.positions[3] = [0, 0, 1.5]
    made = network()
    assert abs(values(made, [square]) - values(made, [bent])) > 1e-4


def test_a_shared_host_equals_separate_graphs(nasicon, decorations):
    made, structures = network(), []
    for numbers in decorations[:3]:
        structures.append(nasicon.copy())
        structures[-1].numbers = numbers
    with torch.no_grad():
        shared = made(HostGraphs(nasicon, decorations[:3]).batch(np.arange(3)))[:, 0].numpy()
    np.testing.assert_allclose(shared, values(made, structures), atol=1e-6)
