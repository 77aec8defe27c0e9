import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.surrogates import GaussianProcess
from models.calibration import ConformalIntervals, Recalibrated, SigmaScale, out_of_fold
from models.metrics import evaluate
from models.surrogates import CompositionForest


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(400, 4))
    return features, features[:, 0] + 0.5 * np.sin(3 * features[:, 1]) + 0.3 * rng.normal(size=400)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 10), st.floats(0, 3), st.floats(1e-3, 1e3))
def test_scale_is_found_from_errors_and_follows_units(factor, floor, unit):
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.5, 2, 4000)
    error = rng.normal(size=4000) * np.sqrt((factor * sigma) ** 2 + floor**2)
    found = SigmaScale.fitted(error * unit, sigma)
    expected = SigmaScale(factor, floor)(sigma) * unit
    assert np.abs(np.log(found(sigma) / expected)).mean() < 0.05


def test_recalibration_mends_overconfident_sigmas(data):
    features, y = data
    X = np.arange(400)[:, None]
    raw = CompositionForest(features, trees=50, seed=1).fit(X[:150], y[:150])
    model = Recalibrated(GaussianProcess(features), folds=4).fit(X[:150], y[:150])
    plain = GaussianProcess(features).fit(X[:150], y[:150])
    before = evaluate(y[150:], *plain.predict(X[150:], return_std=True))
    after = evaluate(y[150:], *model.predict(X[150:], return_std=True))
    assert after.nll < before.nll  # the latent sigma of the GP leaves out label noise
    assert abs(after.coverage90 - 0.9) < abs(before.coverage90 - 0.9)
    assert after.mae == before.mae
    assert model.metrics_["recalibrated"].nll < model.metrics_["raw"].nll
    spread = model.predict_members(X).std(axis=0, ddof=1)
    assert spread[150:].mean() == pytest.approx(model.predict(X, return_std=True)[1][150:].mean(), rel=0.35)
    assert model.embed(X).shape == (400, 4)
    assert raw.predict(X).shape == (400,)


def test_conformal_intervals_cover(data):
    rng = np.random.default_rng(5)
    mean, sigma = rng.normal(size=4000), rng.uniform(0.2, 1, 4000)
    y = mean + 2.7 * sigma * rng.standard_t(4, size=4000)  # neither Gaussian nor of the stated width
    fitted = ConformalIntervals(y[:400], mean[:400], sigma[:400], confidence=0.9)
    low, high = fitted(mean[400:], sigma[400:])
    assert ((low <= y[400:]) & (y[400:] <= high)).mean() == pytest.approx(0.9, abs=0.03)
    np.testing.assert_allclose((low + high) / 2, mean[400:], atol=1e-9)
    with pytest.raises(ValueError, match="10 are needed"):
        ConformalIntervals(y[:9], mean[:9], sigma[:9])
    with pytest.raises(ValueError, match="above zero"):
        ConformalIntervals(y[:50], mean[:50], np.zeros(50))


def test_intervals_of_an_estimator(data):
    features, y = data
    X = np.arange(400)[:, None]
    model = Recalibrated(CompositionForest(features, trees=50)).fit(X[:120], y[:120])
    low, high = model.intervals(X[120:])
    assert 0.8 < ((low <= y[120:]) & (y[120:] <= high)).mean() < 0.98
    few = Recalibrated(CompositionForest(features, trees=20)).fit(X[:6], y[:6])
    assert few.report() == {}
    with pytest.raises(ValueError, match="at least 10 labels"):
        few.intervals(X)


def test_out_of_fold_predictions_are_honest(data):
    features, _ = data
    noise = np.random.default_rng(0).normal(size=60)
    forest = CompositionForest(features, trees=50)
    X = np.arange(60)[:, None]
    mean, _ = out_of_fold(forest, X, noise, folds=5)
    assert evaluate(noise, mean).r2 < 0.2
    assert evaluate(noise, forest.fit(X, noise).predict(X)).r2 > 0.7
    with pytest.raises(ValueError, match="at least two labels"):
        out_of_fold(forest, X[:1], noise[:1])


def test_orderings_of_one_composition_are_held_out_together():
    """A forest that has seen a composition's other ordering knows its label; whole groups are left out."""
    rng = np.random.default_rng(2)
    features = np.repeat(rng.normal(size=(40, 3)), 4, axis=0)
    y = np.repeat(rng.normal(size=40), 4) + 0.05 * rng.normal(
        size=160
    )  # a composition's value says nothing of others
    X = np.arange(160)[:, None]
    leaking = Recalibrated(CompositionForest(features, trees=50)).fit(X, y)
    honest = Recalibrated(CompositionForest(features, trees=50), group_size=4).fit(X, y)
    assert leaking.metrics_["raw"].r2 > 0.8
    assert honest.metrics_["raw"].r2 < 0.3
    assert Recalibrated(CompositionForest(features), group_size=4).fit(X[:36], y[:36]).report() == {}


def test_a_pretrained_estimator_is_kept_by_every_fit():
    rng = np.random.default_rng(8)
    features = rng.normal(size=(200, 6))
    cheap = (features[:, :3] * [1.0, 2.0, 1.5]).sum(axis=1)
    X = np.arange(200)[:, None]
    pretrained = CompositionForest(features, seed=1).pretrain(X, cheap)
    model = Recalibrated.around(pretrained, seed=1).fit(X[:15], 0.5 * cheap[:15])
    plain = Recalibrated(pretrained, seed=1).fit(X[:15], 0.5 * cheap[:15])
    assert model.estimator_.features.shape == (200, 7)
    assert np.abs(model.predict(X) - 0.5 * cheap).mean() <= np.abs(plain.predict(X) - 0.5 * cheap).mean()
    assert set(model.report()) == {"raw", "recalibrated"}
