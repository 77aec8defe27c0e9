import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from models.network import NETWORKS, NetworkRegressor
from models.stores import GraphStore, HostGraphs
from models.training import TrainConfig


@pytest.fixture(scope="module")
def crystals(rattled):
    rng = np.random.default_rng(0)
    structures, y = [], []
    for number in range(24):
        atoms = rattled[number % 3].copy()
        atoms.numbers[rng.random(len(atoms)) < 0.5] = 19
        structures.append(atoms)
        y.append((atoms.numbers == 19).mean())
    return GraphStore(structures), np.array(y)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture_learns_and_repeats(name, crystals):
    store, y = crystals
    X = np.arange(24)[:, None]
    train = TrainConfig(epochs=40, min_steps=0, batch_size=8)
    model = NetworkRegressor(store, name, train, seed=1).fit(X, y)
    assert np.abs(model.predict(X) - y).mean() < 0.6 * np.abs(y - y.mean()).mean()
    again = NetworkRegressor(store, name, train, seed=1).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert model.embed(X).shape == (24, 64)
    single = np.concatenate([model.predict(X[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(single, model.predict(X)[:4], atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_label_of_an_odd_crystal_trains(name):
    sparse = Atoms("NaCl", positions=[[0, 0, 0], [3, 0, 0]], cell=[6, 25, 25], pbc=True)
    for cell in (Atoms("Na", cell=[20] * 3, pbc=True), bulk("Na"), sparse):  # isolated, one atom, few neighbours
        store = GraphStore([cell])
        model = NetworkRegressor(store, name, TrainConfig(epochs=2, min_steps=0)).fit([[0]], [0.3])
        assert np.isfinite(model.predict([[0]])).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_predicted_with_first_can_be_trained_on(name, rattled):
    decorated = np.tile(rattled[0].numbers, (2, 1))
    for store in (GraphStore([rattled[0], rattled[0]]), HostGraphs(rattled[0], decorated)):
        made = NETWORKS[name](store).train()
        with torch.inference_mode():
            made(store.batch(np.arange(2), hops=True))
        batch = store.batch(np.arange(2), hops=True)
        with torch.inference_mode():
            made(batch)
        made(batch).sum().backward()


def test_unknown_architectures_are_refused(crystals):
    with pytest.raises(
        ValueError,
        match="unknown network 'gnn'; allowed are cgformer, cgformer-host, released, cgcnn, schnet, alignn",
    ):
        NetworkRegressor(crystals[0], "gnn").fit([[0]], [0.1])


def test_the_default_learns_how_one_host_is_arranged():
    """Equal compositions, unlike arrangements: the share of equal neighbours among the cations of a rock salt."""
    sites = bulk("MgO", "rocksalt", a=4.21, cubic=True) * (2, 2, 1)
    rng = np.random.default_rng(0)
    cations = np.flatnonzero(sites.numbers == 12)
    numbers = np.tile(sites.numbers, (240, 1))
    for row in numbers:
        row[rng.permutation(cations)[: len(cations) // 2]] = 20
    distances = sites.get_all_distances(mic=True)[np.ix_(cations, cations)]
    near = (distances > 0.1) & (distances < 3.5)
    of_cations = numbers[:, cations]
    y = np.array([(row[:, None] == row)[near].mean() for row in of_cations])
    train = TrainConfig(epochs=10, min_steps=0, batch_size=16)
    model = NetworkRegressor(HostGraphs(sites, numbers), "cgformer", train)
    X = np.arange(240)[:, None]
    mean = model.fit(X[:200], y[:200]).predict(X[200:])
    assert ((mean - y[200:]) ** 2).mean() < 0.5 * y[200:].var()
