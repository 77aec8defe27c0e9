import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from models.cgformer import CGformer, CGformerConfig
from models.stores import GraphStore, HostGraphs

SPATIAL = ["none", "hop", "rbf", "images", "values"]
#: Spatial encoding and channels of angles.
KINDS = [*((spatial, 0) for spatial in SPATIAL), ("rbf", 8)]


def network(spatial: str = "rbf", **kwargs) -> CGformer:
    """A network whose every parameter is random, so that no encoding is silent."""
    torch.manual_seed(0)
    made = CGformer(CGformerConfig(width=16, heads=2, spatial=spatial, head_width=16, **kwargs))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.double().eval()


def values(made: CGformer, structures: list[Atoms]) -> np.ndarray:
    store = GraphStore(structures)
    with torch.no_grad():
        return made(store.batch(np.arange(len(store)), hops=made.needs_hops))[:, 0].numpy()


@pytest.mark.parametrize(("spatial", "angles"), KINDS)
def test_padded_batches_equal_single_crystals(spatial, angles, rattled, nasicon):
    made, structures = network(spatial, angles=angles), [*rattled, nasicon]
    single = np.concatenate([values(made, [atoms]) for atoms in structures])
    np.testing.assert_allclose(values(made, structures), single, atol=1e-5)
    assert np.ptp(single) > 1e-2


@pytest.mark.parametrize(("spatial", "angles"), KINDS)
def test_prediction_is_invariant(spatial, angles, rattled, nasicon):
    """Origin, order of atoms, equivalent images, rotation, choice of lattice vectors; with and without
    symmetry."""
    rng = np.random.default_rng(1)
    made = network(spatial, layers=2, convolutions=2, angles=angles)
    for atoms in [*rattled, nasicon, bulk("NaCl", "rocksalt", a=5.64, cubic=True)]:
        expected = values(made, [atoms])
        changed = [atoms.copy() for _ in range(5)]
        changed[0].positions += [1.234, -0.7, 2.1]
        changed[1] = atoms[rng.permutation(len(atoms))]
        changed[2].positions += rng.integers(-2, 3, (len(atoms), 3)) @ atoms.cell[:]
        changed[3].rotate(33, (1, 2, 3), rotate_cell=True)
        changed[4].set_cell(np.array([[1, 0, 0], [-1, 1, 0], [1, 1, 1]]) @ atoms.cell[:])
        for other in changed:
            np.testing.assert_allclose(values(made, [other]), expected, atol=1e-5)


@pytest.mark.parametrize(("spatial", "angles"), [("none", 0), ("images", 0), ("images", 8)])
def test_a_supercell_predicts_exactly_its_cell(spatial, angles, rattled):
    made = network(spatial, edges=False, layers=2, angles=angles)
    for atoms in rattled:
        expected = values(made, [atoms])
        for repeat in [(2, 1, 1), (1, 2, 2)]:
            np.testing.assert_allclose(values(made, [atoms * repeat]), expected, atol=1e-5)


def test_minimum_image_bias_changes_little_in_a_supercell(nasicon):
    """Not exact, for the farther image of a pair is not seen in the small cell: a fraction of what
    chemistry does."""
    made = network("rbf")
    doped = nasicon.copy()
    doped.numbers[doped.numbers == 40] = 22
    chemistry = abs(values(made, [doped]) - values(made, [nasicon]))
    assert abs(values(made, [nasicon * (2, 1, 1)]) - values(made, [nasicon])) < 0.5 * chemistry


@pytest.mark.parametrize(("spatial", "angles"), KINDS)
def test_shared_host_equals_separate_graphs(spatial, angles, nasicon, decorations):
    made = network(spatial, angles=angles)
    host = HostGraphs(nasicon, decorations[:4])
    structures = []
    for numbers in decorations[:4]:
        atoms = nasicon.copy()
        atoms.numbers = numbers
        structures.append(atoms)
    with torch.no_grad():
        shared = made(host.batch(np.arange(4), hops=made.needs_hops))[:, 0].numpy()
    np.testing.assert_allclose(shared, values(made, structures), atol=1e-8)
    assert np.ptp(shared) > 1e-4


def test_batch_norms_pool_what_is_not_common_to_all_and_predict_by_running_statistics(nasicon, decorations):
    made = network(norm="batch", convolutions=2)
    decorations = np.where(decorations[:6] == 0, 11, decorations[:6])  # no vacancies: all atoms are pooled
    host = HostGraphs(nasicon, decorations)
    with torch.no_grad():
        pooled = made.train().embed(host.batch(np.arange(6)))
        together = made.eval()(host.batch(np.arange(6))).numpy()
        alone = np.concatenate([made(host.batch(np.array([row]))).numpy() for row in range(6)])
    np.testing.assert_allclose(pooled.mean(dim=0), made.norm.bias.detach(), atol=1e-8)
    assert pooled.std() > 1e-3
    np.testing.assert_allclose(alone, together, atol=1e-8)


def test_every_atom_reaches_every_other(nasicon):
    """Without convolutions a change of one atom moves the vector of the farthest: attention is global."""
    made = network("rbf", convolutions=0, edges=False)
    changed = nasicon.copy()
    changed.numbers[0] = 3
    far = int(np.argmax(nasicon.get_distances(0, range(len(nasicon)), mic=True)))
    with torch.no_grad():
        before = made.nodes(GraphStore([nasicon]).batch(np.array([0])))
        after = made.nodes(GraphStore([changed]).batch(np.array([0])))
    assert (before[far] - after[far]).abs().max() > 1e-6


def test_distance_matters_beyond_neighbours(nasicon):
    """The spatial encoding tells two arrangements apart whose bonds alone do not."""
    made = network("rbf", convolutions=0, edges=False, centrality=False)
    blind = network("none", convolutions=0, edges=False, centrality=False)
    rng = np.random.default_rng(2)
    shuffled = nasicon.copy()
    shuffled.numbers = rng.permutation(nasicon.numbers)
    assert abs(values(blind, [shuffled]) - values(blind, [nasicon])) < 1e-9
    assert abs(values(made, [shuffled]) - values(made, [nasicon])) > 1e-6


def test_vacant_sites_are_seen_but_not_pooled(nasicon):
    made = network()
    all_vacant = nasicon.copy()
    all_vacant.numbers[:] = 0
    assert np.isfinite(values(made, [all_vacant])).all()
    assert np.abs(made.embed(GraphStore([all_vacant]).batch(np.array([0]))).detach().numpy()).max() == 0
    one = nasicon.copy()
    one.numbers[0] = 0
    removed = one[1:]
    assert abs(values(made, [one]) - values(made, [removed])) > 1e-6


def test_isolated_and_single_atoms_predict_finite_numbers():
    lonely = [Atoms("Na", cell=[20] * 3, pbc=True), Atoms("Po", cell=[3.35] * 3, pbc=True)]
    for spatial, angles in KINDS:
        assert np.isfinite(values(network(spatial, angles=angles), lonely)).all()


def test_variance_head_and_fidelity_input(nasicon):
    made = network(fidelities=2, variance=True)
    store = GraphStore([nasicon, nasicon])
    with torch.no_grad():
        out = made(store.batch(np.arange(2), np.array([0, 1]))).numpy()
    assert abs(out[0, 0] - out[1, 0]) > 1e-4
    assert np.abs(out[:, 1]).max() <= 6


@pytest.mark.parametrize(
    ("values_", "message"),
    [
        ({"heads": 5}, "heads must divide width"),
        ({"width": 0}, "at least 1"),
        ({"depth": 3}, "unknown model settings"),
    ],
)
def test_bad_architectures_are_refused(values_, message):
    with pytest.raises(ValueError, match=message):
        CGformerConfig.from_dict(values_)


def marked(atoms: Atoms, *sites: int) -> Atoms:
    copy = atoms.copy()
    copy.set_array("focus", np.isin(np.arange(len(atoms)), sites))
    return copy


@pytest.mark.parametrize(("spatial", "angles"), KINDS)
def test_asking_for_marked_atoms_alone_gives_the_same(spatial, angles, rattled, nasicon):
    made = network(spatial, angles=angles)
    structures = [marked(rattled[0], 0, 3), marked(nasicon, 5), marked(rattled[2], 1, 2, 4)]
    store = GraphStore(structures)
    with torch.no_grad():
        everything = made(store.batch(np.arange(3), hops=made.needs_hops)).numpy()
        asked = made(store.batch(np.arange(3), hops=made.needs_hops, marked=made.reads_marked)).numpy()
        alone = [made(store.batch(np.array([row]), hops=made.needs_hops, marked=True)).numpy() for row in range(3)]
    np.testing.assert_allclose(asked, everything, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(alone), everything, atol=1e-5)
    assert np.ptp(everything[:, 0]) > 1e-2


def test_marks_say_which_sites_the_target_belongs_to(nasicon, rattled):
    rng = np.random.default_rng(0)
    made = network()
    here, there = marked(nasicon, 0), marked(nasicon, 60)
    assert abs(values(made, [here]) - values(made, [there])) > 1e-3
    assert abs(values(made, [here]) - values(made, [nasicon])) > 1e-3
    shuffled = here[rng.permutation(len(here))]
    np.testing.assert_allclose(values(made, [shuffled]), values(made, [here]), atol=1e-5)
    together = values(made, [here, nasicon, rattled[0]])  # some marked, some not, in one batch
    np.testing.assert_allclose(together[:2], values(made, [here, nasicon])[:2], atol=1e-5)
    np.testing.assert_allclose(together[0], values(made, [here])[0], atol=1e-5)
    deaf = network(pooling="mean")
    np.testing.assert_allclose(values(deaf, [here]), values(deaf, [there]), atol=1e-12)


def test_marks_of_a_host_hold_for_all_its_decorations(nasicon, decorations):
    made = network()
    host, structures = HostGraphs(marked(nasicon, 1, 7), decorations[:3]), []
    for numbers in decorations[:3]:
        structures.append(marked(nasicon, 1, 7))
        structures[-1].numbers = numbers
    with torch.no_grad():
        shared = made(host.batch(np.arange(3)))[:, 0].numpy()
    np.testing.assert_allclose(shared, values(made, structures), atol=1e-8)


def test_marks_that_are_not_yes_or_no_are_refused(nasicon):
    wrong = nasicon.copy()
    wrong.set_array("focus", np.arange(len(nasicon)))
    with pytest.raises(ValueError, match=r'structure 0: the array "focus" must hold true or false'):
        GraphStore([wrong])


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_norms_are_at_rest_in_predictions(norm, rattled, nasicon, decorations):
    made = network(norm=norm).train()
    store = GraphStore([*rattled, nasicon])
    for _ in range(3):  # running statistics unlike those a network starts with
        made(store.batch(np.arange(len(store))))
    made.eval()
    structures = [*rattled, nasicon]
    single = np.concatenate([values(made, [atoms]) for atoms in structures])
    np.testing.assert_allclose(values(made, structures), single, atol=1e-5)
    decorated = [nasicon.copy() for _ in range(2)]
    for atoms, numbers in zip(decorated, decorations, strict=False):
        atoms.numbers = numbers
    with torch.no_grad():
        shared = made(HostGraphs(nasicon, decorations[:2]).batch(np.arange(2)))[:, 0].numpy()
    np.testing.assert_allclose(shared, values(made, decorated), atol=1e-8)


@pytest.mark.parametrize(("norm", "angles"), [("batch", 0), ("layer", 0), ("layer", 8)])
def test_a_shared_host_trains_as_separate_graphs_do(norm, angles, nasicon, decorations):
    """The first convolution's short cut: same outputs, gradients and running statistics in training, too."""
    host, structures = HostGraphs(nasicon, decorations[:3]), []
    for numbers in decorations[:3]:
        structures.append(nasicon.copy())
        structures[-1].numbers = numbers
    found = []
    for batch in (host.batch(np.arange(3)), GraphStore(structures).batch(np.arange(3))):
        made = network(norm=norm, angles=angles).train()
        out = made(batch)[:, 0]
        out.square().sum().backward()
        found.append((out, [p.grad for p in made.parameters() if p.grad is not None], list(made.buffers())))
    for one, other in zip(*found, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-7)


def test_the_default_follows_the_kind_of_rows(nasicon, decorations):
    host, crystals = HostGraphs(nasicon, decorations[:2]), GraphStore([nasicon])
    assert (CGformerConfig.for_store(host).norm, CGformerConfig.for_store(host).angles) == ("batch", 0)
    assert (CGformerConfig.for_store(crystals).norm, CGformerConfig.for_store(crystals).angles) == ("layer", 32)


def test_a_network_saved_before_angles_is_restored_without_them():
    saved = CGformerConfig().to_dict()
    del saved["angles"]
    assert CGformerConfig.from_dict(saved).angles == 0


def test_norm_is_batch_or_layer():
    with pytest.raises(ValueError, match="norm must be batch or layer"):
        CGformerConfig(norm="group")


def test_a_batch_of_one_atom_can_be_trained_on():
    made = network(norm="batch").train()
    made(GraphStore([Atoms("Po", cell=[3.35] * 3, pbc=True)]).batch(np.array([0])))[:, 0].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


def test_pooling_is_focus_or_mean():
    with pytest.raises(ValueError, match="pooling must be focus or mean"):
        CGformerConfig(pooling="max")
