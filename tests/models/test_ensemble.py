import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sklearn.base import clone

from models.cgformer import CGformerConfig
from models.ensemble import CGformerEnsemble, EnsembleConfig, split_rows
from models.prediction import PREDICTED_ATOMS, predict
from models.stores import HostGraphs
from models.training import TrainConfig

CONFIG = EnsembleConfig(
    network=CGformerConfig(width=8, heads=2, head_width=8),
    train=TrainConfig(epochs=10, min_steps=0, batch_size=8),
    pretrain_epochs=5,
)


@pytest.fixture(scope="module")
def store(nasicon, decorations) -> HostGraphs:
    return HostGraphs(nasicon, decorations)


@pytest.fixture(scope="module")
def y(store) -> np.ndarray:
    return 0.3 + (store.numbers == 22).mean(axis=1)


@pytest.fixture(scope="module")
def fitted(store, y) -> CGformerEnsemble:
    return CGformerEnsemble(store, CONFIG, members=3, seed=5).fit(np.arange(30)[:, None], y[:30])


def test_interface(fitted, store):
    X = np.arange(60)[:, None]
    mean, sigma = fitted.predict(X, return_std=True)
    members = fitted.predict_members(X)
    assert mean.shape == sigma.shape == (60,)
    assert members.shape == (3, 60)
    np.testing.assert_allclose(mean, members.mean(axis=0))
    np.testing.assert_allclose(sigma, members.std(axis=0, ddof=1))
    assert (sigma > 0).all()
    assert fitted.embed(X).shape == (60, 24)
    assert np.isfinite(fitted.held_out_).sum() == 18  # three of five folds


def test_members_predict_together_what_each_predicts(fitted, store):
    """Rows for several batches, the last one short; cores share out batches, each network sees all of them."""
    rows = np.random.default_rng(0).permutation(len(store))[: PREDICTED_ATOMS // len(store.crystal) + 7]
    together = fitted.predict_members(rows[:, None])
    for network, mean in zip(fitted.networks_, together, strict=True):
        alone, variance = predict(network, store, rows, fitted.normaliser_)
        np.testing.assert_array_equal(mean, alone)
        assert not variance.any()


def test_equal_seeds_give_equal_models_and_others_do_not(fitted, store, y):
    X = np.arange(60)[:, None]
    again = clone(fitted).fit(X[:30], y[:30])
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    refit = fitted.__class__(store, CONFIG, members=3, seed=5).fit(X[:10], y[:10]).fit(X[:30], y[:30])
    np.testing.assert_array_equal(refit.predict(X), fitted.predict(X))
    other = CGformerEnsemble(store, CONFIG, members=3, seed=6).fit(X[:30], y[:30])
    assert np.abs(other.predict(X) - fitted.predict(X)).max() > 1e-4


def test_clone_shares_the_store(fitted, store):
    assert clone(fitted).store is store


def test_weights_of_a_network_that_is_built_otherwise_today_are_refused_in_one_line(store, y, tmp_path):
    """Until format 2 batch norms went with a layer norm before pooling, which has no running statistics."""
    network = CGformerConfig(width=8, heads=2, head_width=8, norm="batch")
    batch = CGformerEnsemble(store, replace(CONFIG, network=network), members=1)
    batch.fit(np.arange(6)[:, None], y[:6]).save(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    save_file({n: w for n, w in weights.items() if ".norm.run" not in n}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="older network"):
        CGformerEnsemble.load(tmp_path, store)


def test_saved_and_loaded_predicts_the_same(fitted, store, tmp_path):
    fitted.save(tmp_path)
    X = np.arange(60)[:, None]
    loaded = CGformerEnsemble.load(tmp_path, store)
    np.testing.assert_array_equal(loaded.predict_members(X), fitted.predict_members(X))
    assert {p.name for p in tmp_path.iterdir()} == {"model.json", "weights.safetensors"}
    facts = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(ValueError, match="not a CGformer ensemble of format 2"):
        CGformerEnsemble.load(tmp_path, store)
    with pytest.raises(FileNotFoundError, match="no model here"):
        CGformerEnsemble.load(tmp_path / "nowhere", store)


def test_models_saved_before_sites_could_be_marked_load(store, y, tmp_path):
    config = EnsembleConfig(
        network=CGformerConfig(width=8, heads=2, head_width=8, pooling="mean"), train=CONFIG.train
    )
    old = CGformerEnsemble(store, config, members=1).fit(np.arange(10)[:, None], y[:10])
    old.save(tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    del facts["architecture"]["pooling"], facts["config"]["network"]["pooling"]
    (tmp_path / "model.json").write_text(json.dumps(facts))
    X = np.arange(60)[:, None]
    np.testing.assert_array_equal(CGformerEnsemble.load(tmp_path, store).predict(X), old.predict(X))


def test_pretraining_is_where_a_fit_starts(store, y, tmp_path):
    X = np.arange(60)[:, None]
    longer = replace(CONFIG, pretrain_epochs=20)
    model = CGformerEnsemble(store, longer, members=2, seed=1).pretrain(X, 2 * y + 1)
    before = model.pretrained_[0].embedding.weight.clone()
    assert np.isfinite(model.predict(X)).all()
    model.fit(X[:12], y[:12])
    assert (model.pretrained_[0].embedding.weight == before).all()
    model.save(tmp_path)
    loaded = CGformerEnsemble.load(tmp_path, store).fit(X[:12], y[:12])
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    scratch = CGformerEnsemble(store, CONFIG, members=2, seed=1).fit(X[:12], y[:12])
    assert np.abs(model.predict(X) - y).mean() < np.abs(scratch.predict(X) - y).mean()


@pytest.mark.parametrize("diversity", ["bootstrap", "seeds"])
def test_other_diversities(diversity, store, y):
    config = EnsembleConfig(network=CONFIG.network, train=TrainConfig(epochs=2, min_steps=0), diversity=diversity)
    model = CGformerEnsemble(store, config, members=2).fit(np.arange(25)[:, None], y[:25])
    _, sigma = model.predict(np.arange(60)[:, None], return_std=True)
    assert (sigma > 0).all()


def test_fidelity_column(store, y):
    network = CGformerConfig(width=8, heads=2, head_width=8, fidelities=2)
    config = EnsembleConfig(network=network, train=TrainConfig(epochs=30, min_steps=0, batch_size=8))
    rows = np.arange(40)
    X = np.column_stack([rows, rows % 2])
    model = CGformerEnsemble(store, config, members=1).fit(X, y[:40] + 0.5 * X[:, 1])
    low = model.predict(np.column_stack([rows, 0 * rows]))
    high = model.predict(np.column_stack([rows, 0 * rows + 1]))
    assert 0.25 < (high - low).mean() < 0.75


def test_one_label_and_one_member(store):
    model = CGformerEnsemble(store, CONFIG, members=1).fit([[3]], [0.4])
    mean, sigma = model.predict([[3], [4]], return_std=True)
    assert np.isfinite(mean).all()
    assert (sigma == 0).all()


def test_progress_counts_through_all_members(store, y):
    told = []
    CGformerEnsemble(store, CONFIG, members=2).fit(np.arange(8)[:, None], y[:8], on_epoch=lambda *a: told.append(a))
    assert [a[0] for a in told] == list(range(1, 21))
    assert {a[1] for a in told} == {20}


def test_rows_are_checked():
    assert split_rows([3, 4])[0].tolist() == [3, 4]
    with pytest.raises(ValueError, match=r"expected \(n, 1\)"):
        split_rows(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="whole numbers"):
        split_rows([[0.5]])
    with pytest.raises(ValueError, match="diversity must be"):
        EnsembleConfig(diversity="luck")
    with pytest.raises(ValueError, match="unknown ensemble settings"):
        EnsembleConfig.from_dict({"member": 3})
    assert EnsembleConfig.from_dict(json.loads(json.dumps(CONFIG.to_dict()))) == CONFIG


def test_a_released_checkpoint_is_where_a_campaign_can_start(shared, nasicon, decorations, tmp_path):
    path = shared / "reference" / "cgformer" / "model_best-finetune.pth.tar"
    store = HostGraphs(nasicon, decorations, whole_shells=False)
    X, y = np.arange(60)[:, None], 0.5 + (decorations == 22).mean(axis=1)
    config = EnsembleConfig(train=TrainConfig(epochs=3, min_steps=0))
    model = CGformerEnsemble(store, config, members=2, start_from=path).fit(X[:24], y[:24])
    assert type(model.networks_[0]).__name__ == "ReleasedCGformer"
    model.save(tmp_path)
    loaded = CGformerEnsemble.load(tmp_path, store)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    again = CGformerEnsemble(store, config, members=2, start_from=tmp_path).fit(X[:24], y[:24])
    assert type(again.networks_[0]).__name__ == "ReleasedCGformer"
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        CGformerEnsemble(store, config, start_from=tmp_path / "nothing.pth.tar").fit(X[:2], y[:2])
