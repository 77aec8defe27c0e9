"""Delta learning: what is left over is learned, and counts only as far as it held up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import Recalibrated
from models.cgformer import CGformerConfig
from models.delta import Delta, held_out_weight
from models.ensemble import CGformerEnsemble, EnsembleConfig
from models.stores import HostGraphs
from models.surrogates import CompositionForest
from models.training import TrainConfig

CONFIG = EnsembleConfig(
    network=CGformerConfig(width=8, heads=2, head_width=8),
    train=TrainConfig(epochs=3, min_steps=0, batch_size=16),
    pretrain_epochs=2,
)
X = np.arange(60)[:, None]


@pytest.fixture(scope="module")
def store(nasicon, decorations) -> HostGraphs:
    return HostGraphs(nasicon, decorations)


@pytest.fixture(scope="module")
def titanium(store) -> np.ndarray:
    return (store.numbers == 22).mean(axis=1)


def delta(store: HostGraphs, features: np.ndarray, **options) -> Delta:
    base = CompositionForest(features, trees=20, members=3, seed=2)
    return Delta(base, CGformerEnsemble(store, CONFIG, members=2, seed=3), seed=1, **options)


class Oracle(CGformerEnsemble):
    """Networks that have learned it all: members predict a column of what there is to know, plus their own error."""

    def __init__(self, values: np.ndarray, error: float = 0.0):
        super().__init__(None, CONFIG)
        self.values, self.error = values, error

    def fit(self, X, y, on_epoch=None):
        self.networks_, self.held_out_ = [], self.predict(X)
        return self

    def predict(self, X, return_std=False):
        mean = self.values[np.asarray(X)[:, 0]]
        return (mean, np.full(len(mean), self.error)) if return_std else mean


def test_a_network_adds_what_the_base_cannot_know():
    """The base sees a column that says nothing: who knows the rest must be let speak, and its doubt counts."""
    rng = np.random.default_rng(0)
    known, base = rng.normal(size=60), CompositionForest(rng.normal(size=(60, 1)), trees=20, members=2)
    model = Delta(base, Oracle(known, error=0.5)).fit(X[:45], known[:45])
    assert model.weight_ > 0.7
    sigma = model.predict(X, return_std=True)[1]
    np.testing.assert_allclose(sigma, np.hypot(model.base_.predict(X, return_std=True)[1], 0.5 * model.weight_))
    errors = [np.abs(predict(X[45:]) - known[45:]).mean() for predict in (model.base_.predict, model.predict)]
    assert errors[1] < 0.6 * errors[0]


def test_a_network_that_learned_nothing_says_nothing(store):
    rng = np.random.default_rng(1)
    values = np.linspace(0, 1, 60)
    model = Delta(CompositionForest(values[:, None], trees=20, members=2), Oracle(rng.normal(size=60)))
    assert model.fit(X[:45], values[:45]).weight_ < 0.05
    few = delta(store, values[:, None]).fit(X[:8], values[:8])  # nobody leaves a label out
    assert few.weight_ == 0
    assert not hasattr(few.ensemble_, "networks_")
    np.testing.assert_array_equal(few.predict(X), few.base_.predict(X))
    assert few.embed(X).shape == (60, 1)


def test_interface(store, titanium):
    model = delta(store, titanium[:, None]).fit(X[:30], titanium[:30] + 0.1 * (X[:30, 0] % 3))
    mean, sigma = model.predict(X, return_std=True)
    assert mean.shape == sigma.shape == (60,)
    assert (sigma >= model.base_.predict(X, return_std=True)[1]).all()
    assert model.predict_members(X).shape == (3, 60)
    assert model.embed(X).shape[0] == 60
    assert Recalibrated(model, folds=2).fit(X[:30], titanium[:30]).report()


def test_a_fit_leaves_no_trace_in_the_next_one(store, titanium):
    model = delta(store, titanium[:, None])
    again = delta(store, titanium[:, None])
    first = model.fit(X[:12], titanium[:12]).fit(X[:30], titanium[:30]).predict(X)
    np.testing.assert_array_equal(first, again.fit(X[:30], titanium[:30]).predict(X))


def test_before_the_first_dear_label_the_base_speaks_of_the_cheap_one(store, titanium):
    cheap = 1 + titanium
    model = delta(store, titanium[:, None]).pretrain(X[:30], cheap[:30])
    assert np.abs(model.predict(X) - cheap).max() < 0.1
    known = delta(store, titanium[:, None]).pretrain(X[:30], cheap[:30], ensemble=model.ensemble)
    fitted = [m.fit(X[:6], 2 * cheap[:6]).predict(X) for m in (model, known)]
    np.testing.assert_array_equal(*fitted)


def test_one_label_and_orderings_of_one_composition(store, titanium):
    features = np.repeat(titanium[::3], 3)[:, None]
    for rows in (X[:1], X[:3]):
        model = delta(store, features, group_size=3).fit(rows, titanium[rows[:, 0]])
        assert np.isfinite(model.predict(X)).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=30), st.floats(0.1, 10))
def test_the_weight_is_a_share_and_knows_no_unit(pairs, unit):
    left_over, predicted = np.array(pairs).T
    weight = held_out_weight(left_over, predicted, 10)
    assert 0 <= weight <= 1
    assert held_out_weight(unit * left_over, unit * predicted, 10) == pytest.approx(weight, abs=1e-9)
    assert held_out_weight(left_over, np.full(len(pairs), np.nan), 10) == 0
    if (np.abs(predicted) > 1e-3).any():
        assert held_out_weight(predicted, predicted, 0) == pytest.approx(1)
