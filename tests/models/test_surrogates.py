import numpy as np
import pytest

from models.surrogates import LEAVES, CompositionForest, composition_features


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 4))
    return features, features[:, 0] + 0.5 * np.sin(3 * features[:, 1])


def test_interface(data):
    features, y = data
    X = np.arange(300)[:, None]
    model = CompositionForest(features, members=4, seed=2).fit(X[:120], y[:120])
    mean, sigma = model.predict(X, return_std=True)
    assert mean.shape == sigma.shape == (300,)
    assert (sigma >= 0).all()
    assert model.predict_members(X).shape == (4, 300)
    assert len(model.embed(X)) == 300
    error = np.abs(mean[120:] - y[120:]).mean()
    assert error < 0.6 * np.abs(y[120:] - y[:120].mean()).mean()
    assert sigma[120:].mean() > sigma[:120].mean()
    again = CompositionForest(features, members=4, seed=2).fit(X[:120], y[:120])
    np.testing.assert_array_equal(again.predict_members(X), model.predict_members(X))
    with pytest.raises(ValueError, match="row ids must be 0 to 299"):
        model.predict([[300]])
    assert model.predict(X[:0]).shape == (0,)


def test_cheap_labels_help_the_forest():
    rng = np.random.default_rng(8)
    features = rng.normal(size=(400, 6))
    cheap = (features[:, :3] * [1.0, 2.0, 1.5]).sum(axis=1)
    y = 0.5 * cheap + 0.1
    X = np.arange(400)[:, None]
    plain = CompositionForest(features, seed=1).fit(X[:15], y[:15])
    helped = CompositionForest(features, seed=1).pretrain(X, cheap).fit(X[:15], y[:15])
    assert np.abs(helped.predict(X) - y).mean() < 0.7 * np.abs(plain.predict(X) - y).mean()


def test_a_forest_has_a_largest_size():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(4 * LEAVES, 5))
    y = features[:, 0] + rng.normal(size=len(features))
    X = np.arange(len(features))[:, None]

    def leaves(labels: int) -> list[int]:
        forest = CompositionForest(features, trees=3).fit(X[:labels], y[:labels])
        return [tree.get_n_leaves() for tree in forest.forest_.estimators_]

    assert leaves(LEAVES) == [LEAVES] * 3, "to single examples"
    assert leaves(2 * LEAVES) == leaves(4 * LEAVES) == [LEAVES] * 3


def test_a_space_is_predicted_in_parts_as_in_one(data, monkeypatch):
    features, y = data
    X = np.arange(300)[:, None]
    forest = CompositionForest(features, trees=20, members=3).fit(X, y)
    mean, sigma, members = *forest.predict(X, return_std=True), forest.predict_members(X)
    monkeypatch.setattr("models.surrogates.CHUNK", 77)
    np.testing.assert_array_equal(forest.predict(X, return_std=True), (mean, sigma))
    np.testing.assert_array_equal(forest.predict_members(X), members)


def test_composition_features(decorations):
    features = composition_features(decorations)
    assert features.shape == (60, 32)
    assert np.isfinite(features).all()
    shuffled = np.random.default_rng(0).permutation(decorations.T).T
    np.testing.assert_allclose(composition_features(shuffled), features, atol=1e-6)
