"""scikit-learn's estimator checks that apply to estimators whose X are row ids, and modAL as the driver.

Checks that feed random real matrices do not apply: X that are no row ids are refused with a clear error.
"""

import numpy as np
import pytest
from modAL.models import ActiveLearner
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks as checks

from agent.surrogates import on_descriptors
from models.calibration import Recalibrated
from models.cgformer import CGformerConfig
from models.ensemble import CGformerEnsemble, EnsembleConfig
from models.network import NetworkRegressor
from models.stores import HostGraphs
from models.surrogates import CompositionForest, composition_features
from models.training import TrainConfig

APPLICABLE = [
    checks.check_estimator_cloneable,
    checks.check_estimator_repr,
    checks.check_get_params_invariance,
    checks.check_set_params,
    checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_mixin_order,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
]
TRAIN = TrainConfig(epochs=8, min_steps=0, batch_size=8)


@pytest.fixture(scope="module")
def estimators(nasicon, decorations):
    store, features = HostGraphs(nasicon, decorations), composition_features(decorations)
    config = EnsembleConfig(network=CGformerConfig(width=8, heads=2, head_width=8), train=TRAIN)
    return {
        "ensemble": CGformerEnsemble(store, config, members=2),
        "network": NetworkRegressor(store, "cgcnn", TRAIN),
        "forest": CompositionForest(features, trees=20),
        "gp": on_descriptors(features),
        "recalibrated": Recalibrated(CompositionForest(features, trees=20)),
    }


@pytest.mark.parametrize("check", APPLICABLE, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["ensemble", "network", "forest", "gp", "recalibrated"])
def test_scikit_learns_applicable_checks(name, check, estimators):
    check(name, estimators[name])


@pytest.mark.parametrize("name", ["ensemble", "network", "forest", "gp", "recalibrated"])
def test_unfitted_estimators_say_so_and_fitted_ones_fit_again_alike(name, estimators, decorations):
    model = estimators[name]
    X, y = np.arange(20)[:, None], (decorations[:20] == 22).mean(axis=1)
    with pytest.raises(NotFittedError):
        model.predict(X)
    first = model.fit(X, y).predict(X)
    assert model.fit(X, y) is model
    np.testing.assert_array_equal(model.predict(X), first)
    np.testing.assert_allclose(model.predict(X[:3]), first[:3], atol=1e-6)
    mean, sigma = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, first)
    assert sigma.shape == mean.shape
    with pytest.raises(ValueError, match=r"row ids|whole numbers|expected"):
        model.fit(np.random.default_rng(0).normal(size=(20, 3)), y)


def test_cross_val_score_runs(estimators, decorations):
    y = (decorations[:30] == 22).mean(axis=1)
    scores = cross_val_score(estimators["forest"], np.arange(30)[:, None], y, cv=3, scoring="neg_mean_absolute_error")
    assert np.isfinite(scores).all()


def test_modal_drives_the_ensemble(estimators, decorations):
    y = (decorations == 22).mean(axis=1)

    def lowest_bound(model, X, n_instances=1):
        mean, sigma = model.predict(X, return_std=True)
        score = mean - sigma
        chosen = np.argsort(score)[:n_instances]
        return chosen, score[chosen]

    X = np.arange(60)[:, None]
    learner = ActiveLearner(estimators["ensemble"], lowest_bound, X_training=X[:10], y_training=y[:10])
    chosen, _ = learner.query(X[10:], n_instances=4)
    learner.teach(X[10:][chosen], y[10:][chosen])
    assert len(learner.X_training) == 14
    assert np.isfinite(learner.predict(X)).all()
