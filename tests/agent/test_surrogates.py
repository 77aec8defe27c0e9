"""The cheap surrogates: what `agent.learner.Surrogate` asks of them, and the mathematics of the process."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from agent.learner import Surrogate
from agent.surrogates import GaussianProcess, RandomForest, around, on_descriptors


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 4))
    return features, features[:, 0] + 0.5 * np.sin(3 * features[:, 1])


X = np.arange(300)[:, None]


@pytest.mark.parametrize("kind", [GaussianProcess, RandomForest])
def test_it_is_a_surrogate_that_learns(kind, data):
    features, y = data
    model = kind(features, seed=2).fit(X[:120], y[:120])
    assert isinstance(model, Surrogate)
    mean, sigma = model.predict(X, return_std=True)
    assert mean.shape == sigma.shape == (300,)
    assert np.abs(mean[120:] - y[120:]).mean() < 0.6 * np.abs(y[120:] - y[:120].mean()).mean()
    assert sigma[120:].mean() > sigma[:120].mean()
    again = kind(features, seed=2).fit(X[:120], y[:120])
    np.testing.assert_array_equal(again.predict_members(X), model.predict_members(X))
    assert model.predict_members(X).shape == (16 if kind is GaussianProcess else 100, 300)
    assert len(model.embed(X)) == 300
    with pytest.raises(ValueError, match="not finite"):
        kind(features).fit(X[:2], np.array([0.3, np.nan]))


def test_draws_have_the_posterior_mean_and_spread_and_are_one_function(data):
    features, y = data
    model = GaussianProcess(features, members=300).fit(X[:60], y[:60])
    mean, sigma = model.predict(X, return_std=True)
    draws = model.predict_members(X)
    far = sigma > np.median(sigma)
    assert np.abs(draws.mean(axis=0) - mean)[far].mean() < 0.2 * sigma[far].mean()
    assert draws.std(axis=0)[far].mean() == pytest.approx(sigma[far].mean(), rel=0.15)
    np.testing.assert_allclose(model.predict_members(X[40:50]), draws[:, 40:50])


@pytest.mark.parametrize(
    ("X", "message"),
    [([[300]], "row ids must be 0 to 299"), ([[-1]], "0 to 299"), ([[0.5]], "whole numbers"), ([1, 2], r"\(n, 1\)")],
)
def test_what_is_no_row_id_is_refused(X, message, data):
    features, y = data
    model = GaussianProcess(features, members=2).fit(np.arange(30)[:, None], y[:30])
    for method in (model.predict, model.predict_members, model.embed):
        with pytest.raises(ValueError, match=message):
            method(np.array(X))
    assert model.predict(np.zeros((0, 1), dtype=int)).shape == (0,)


def test_descriptors_of_any_unit_give_one_process(data):
    features, y = data
    plain = on_descriptors(features).fit(X[:60], y[:60])
    other = on_descriptors(features * [1e3, 1.0, 0.01, 1.0] + 7.0).fit(X[:60], y[:60])
    np.testing.assert_allclose(plain.predict(X), other.predict(X), atol=1e-4)


def test_many_rows_go_through_in_parts(data):
    features, y = data
    model = GaussianProcess(features, members=2).fit(X[:60], y[:60])
    many = np.resize(X, (9_000, 1))
    np.testing.assert_allclose(model.predict(many)[:300], model.predict(X), rtol=1e-12)
    np.testing.assert_allclose(model.predict_members(many)[:, 8_900:8_910], model.predict_members(many[8_900:8_910]))


@settings(max_examples=20, deadline=None)
@given(offset=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_predictions_follow_the_unit_of_the_labels(offset, scale, data):
    features, y = data
    mean, sigma = GaussianProcess(features).fit(X[:30], y[:30]).predict(X, return_std=True)
    other, spread = GaussianProcess(features).fit(X[:30], offset + scale * y[:30]).predict(X, return_std=True)
    np.testing.assert_allclose(other, offset + scale * mean, atol=1e-4 * scale)
    np.testing.assert_allclose(spread, scale * sigma, rtol=1e-3)


def test_cheap_labels_of_some_rows_help(data):
    rng = np.random.default_rng(8)
    features = rng.normal(size=(300, 6))
    cheap = np.sin(2 * features[:, 0]) + (features[:, :3] * [1.0, 2.0, 1.5]).sum(axis=1)
    dear = 1.2 * cheap + 0.1
    plain = GaussianProcess(features).fit(X[:12], dear[:12])
    helped = GaussianProcess(features).pretrain(X[100:250], cheap[100:250]).fit(X[:12], dear[:12])
    assert np.abs(helped.predict(X) - dear).mean() < 0.5 * np.abs(plain.predict(X) - dear).mean()


def test_a_clone_knows_nothing(data):
    features, y = data
    model = clone(GaussianProcess(features, members=3, seed=4).fit(X[:20], y[:20]))
    assert (model.members, model.seed) == (3, 4)
    assert not hasattr(model, "weights_")


def test_what_is_around_a_row_never_saw_its_own_cheap_label():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(40, 3))
    cheap = features @ [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=40)
    process = GaussianProcess(features).fit(np.arange(40)[:, None], cheap)
    left_out = process.held_out()
    for row in (0, 17):
        others = np.delete(np.arange(40), row)
        same = GaussianProcess(features)
        same.logarithms_, same.tuned_at_ = process.logarithms_, 39  # the same kernel: only the labels differ
        same.fit(others[:, None], cheap[others])
        # The means that labels are centred and scaled by still hold the row's own.
        assert same.predict(np.array([[row]]))[0] == pytest.approx(left_out[row], abs=0.02)


def test_neighbours_correct_a_cheap_label_that_is_wrong_by_itself():
    rng = np.random.default_rng(4)
    features = rng.uniform(-1, 1, size=(150, 2))
    dear = np.sin(2 * features[:, 0]) + features[:, 1]
    cheap = dear.copy()
    wrong = rng.choice(150, 20, replace=False)
    cheap[wrong] += 2.0
    before = GaussianProcess(features, cheap=cheap).prior_mean()
    assert np.abs(before - dear)[wrong].mean() < 0.75 * np.abs(cheap - dear)[wrong].mean()
    np.testing.assert_allclose(before, (cheap + around(features, cheap)) / 2)
    assert len(around(features, cheap, most=50)) == 150


def test_several_cheap_fidelities_are_inputs_and_the_first_is_the_trend():
    rng = np.random.default_rng(5)
    features, second = rng.normal(size=(200, 3)), rng.normal(size=200)
    first = features[:, 0]
    dear, X = first + 2 * second, np.arange(200)[:, None]
    error = {}
    for name, cheap in (("one", first), ("two", np.column_stack([first, second]))):
        model = GaussianProcess(features, cheap=cheap).fit(X[:60], dear[:60])
        error[name] = np.abs(model.predict(X[60:]) - dear[60:]).mean()
    assert error["two"] < 0.5 * error["one"]


def test_without_a_cheap_fidelity_nothing_is_known_before_the_first_label():
    with pytest.raises(ValueError, match="no cheap fidelity"):
        GaussianProcess(np.ones((3, 1))).prior_mean()
