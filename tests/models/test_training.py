import numpy as np
import pytest
import torch

from models.cgformer import CGformer, CGformerConfig
from models.prediction import Normaliser, predict
from models.stores import HostGraphs
from models.training import TrainConfig, Trainer, loss_of

SMALL = CGformerConfig(width=8, heads=2, head_width=8, dropout=0.1)
QUICK = TrainConfig(epochs=12, min_steps=0, batch_size=8)


@pytest.fixture
def store(nasicon, decorations) -> HostGraphs:
    return HostGraphs(nasicon, decorations)


def made(seed: int = 0) -> CGformer:
    torch.manual_seed(seed)
    return CGformer(SMALL)


def target(store: HostGraphs) -> np.ndarray:
    return (store.numbers == 22).mean(axis=1)


def weights(network) -> np.ndarray:
    return torch.cat([p.detach().reshape(-1) for p in network.parameters()]).numpy()


def test_loss_falls_and_progress_is_told(store):
    told = []
    config = TrainConfig(epochs=60, min_steps=0, batch_size=8, learning_rate=5e-3)
    history = Trainer(made(), store, np.arange(30), target(store)[:30], config).run(lambda *a: told.append(a))
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert [epoch for epoch, _, _ in told] == list(range(1, 61))
    assert {total for _, total, _ in told} == {60}


def test_an_interrupted_training_ends_in_the_same_weights(store, tmp_path):
    y, rows = target(store), np.arange(20)
    hold = (np.arange(20, 30), y[20:30], None)
    whole = made()
    Trainer(whole, store, rows, y[:20], QUICK, validation=hold).run()

    class Killed(Exception):
        pass

    def kill(epoch, total, loss):
        if epoch == 11:
            raise Killed

    first = Trainer(made(), store, rows, y[:20], QUICK, validation=hold)
    with pytest.raises(Killed):
        first.run(kill, checkpoint=tmp_path)
    again = made(seed=7)
    second = Trainer(again, store, rows, y[:20], QUICK, validation=hold)
    history = second.run(checkpoint=tmp_path)
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert len(history.loss) == 12


def test_splitting_a_batch_does_not_change_the_gradient(store):
    y = target(store)
    results = []
    for max_pairs in (10**9, 126 * 126 * 3):
        torch.manual_seed(1)
        network = CGformer(CGformerConfig(width=8, heads=2, head_width=8))
        config = TrainConfig(epochs=3, min_steps=0, batch_size=8, max_pairs=max_pairs)
        Trainer(network, store, np.arange(16), y[:16], config).run()
        results.append(weights(network))
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)


def test_best_epoch_is_kept_and_patience_stops(store):
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)  # noise: validation soon stops improving
    config = TrainConfig(epochs=60, min_steps=0, batch_size=8, patience=4, learning_rate=1e-2)
    hold = (np.arange(20, 40), y[20:], None)
    network = made()
    trainer = Trainer(network, store, np.arange(20), y[:20], config, validation=hold)
    history = trainer.run()
    assert len(history.loss) < 60
    mean, _ = predict(network, store, hold[0], trainer.normaliser)
    assert np.abs(mean - y[20:]).mean() == pytest.approx(min(history.validation), rel=1e-6)


def test_frozen_parameters_stay(store):
    network = made()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    config = TrainConfig(epochs=2, min_steps=0, frozen=("embedding", "convolutions"))
    Trainer(network, store, np.arange(10), target(store)[:10], config, pretrained=True).run()
    still = ("embedding", "convolutions", "mark", "peak")  # the last two because no site is marked
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(still), name


@pytest.mark.parametrize("n", [1, 2, 5])
def test_constant_and_few_labels_train(store, n):
    network = made()
    trainer = Trainer(network, store, np.arange(n), np.full(n, 0.4), QUICK)
    trainer.run()
    mean, _ = predict(network, store, np.arange(n), trainer.normaliser)
    np.testing.assert_allclose(mean, 0.4, atol=0.2)
    assert trainer.normaliser == Normaliser(0.4, 1.0)


@pytest.mark.parametrize(
    ("rows", "y", "message"),
    [
        ([], [], "no labels"),
        ([0, 1], [0.1, np.nan], r"finite numbers; those at positions \[1\]"),
        ([0, 99], [0.1, 0.2], "row ids must be 0 to 59"),
        ([0], [0.1, 0.2], "1 rows but 2 targets"),
    ],
)
def test_bad_labels_are_refused_in_one_line(store, rows, y, message):
    with pytest.raises(ValueError, match=message):
        Trainer(made(), store, np.array(rows, int), np.array(y, float), QUICK)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="epochs must be positive"):
        TrainConfig(epochs=0)
    with pytest.raises(ValueError, match="unknown training settings"):
        TrainConfig.from_dict({"epoch": 3})
    assert TrainConfig.from_dict(TrainConfig(frozen=("a",)).to_dict()) == TrainConfig(frozen=("a",))


def test_a_few_labels_are_passed_over_often_enough():
    config = TrainConfig(epochs=10, min_steps=100, batch_size=16)
    assert config.epochs_for(10) == 100
    assert config.epochs_for(160) == 10


def test_a_robust_scale_is_that_of_the_bulk():
    y = np.random.default_rng(0).normal(0.6, 0.2, 2000)
    tail = np.concatenate([y, [9.0, 60.0]])
    robust = Normaliser.of(tail, robust=True)
    assert robust.mean == pytest.approx(np.median(tail))
    assert robust.std == pytest.approx(0.2, rel=0.1)
    assert Normaliser.of(tail).std > 1
    np.testing.assert_allclose(robust.inverse(robust.forward(tail)), tail)
    assert Normaliser.of(np.full(5, 0.3), robust=True).std == 1
    mostly = Normaliser.of(np.array([0.3] * 9 + [1.3]), robust=True)  # no interquartile range: the deviation
    assert mostly == Normaliser(0.3, pytest.approx(0.3))


def test_a_trainer_takes_the_scale_that_its_settings_name(store):
    y = target(store)[:10]
    y[0] = 1e3
    plain, robust = (
        Trainer(made(), store, np.arange(10), y, TrainConfig(epochs=1, robust=robust)).normaliser
        for robust in (False, True)
    )
    assert robust.std < 0.1 * plain.std


def test_the_loss_is_linear_beyond_its_bend():
    output, target = torch.tensor([[0.05, 0.0], [1.0, 0.0], [2.0, 0.0]]), torch.zeros(3)
    near, far, farther = loss_of(output, target, variance=False, bend=0.1).tolist()
    assert near == pytest.approx(0.05**2 / 0.2)
    assert farther - far == pytest.approx(1.0)
    with pytest.raises(ValueError, match="bend must be positive"):
        TrainConfig(bend=0.0)
