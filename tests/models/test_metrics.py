import numpy as np
import pytest

from models.metrics import evaluate


def test_calibrated_gaussians_score_as_they_should():
    rng = np.random.default_rng(0)
    mean, sigma = rng.normal(size=20_000), rng.uniform(0.2, 2, 20_000)
    y = mean + sigma * rng.normal(size=20_000)
    good = evaluate(y, mean, sigma)
    assert good.coverage90 == pytest.approx(0.9, abs=0.01)
    assert good.miscalibration < 0.01
    assert good.error_correlation > 0.4
    narrow = evaluate(y, mean, sigma / 3)
    assert narrow.nll > good.nll
    assert narrow.crps > good.crps
    assert narrow.miscalibration > 0.2
    assert narrow.mae == good.mae


def test_mean_predictor_stands_beside():
    y = np.array([0.0, 1.0, 2.0])
    found = evaluate(y, np.array([0.0, 1.0, 2.5]), reference=1.0)
    assert found.mae_mean == pytest.approx(2 / 3)
    assert found.r2 == pytest.approx(1 - 0.25 / 2)
    assert found.spearman == 1
    assert np.isnan(found.nll)


def test_what_is_undefined_is_nan_and_what_is_wrong_is_refused():
    one = evaluate(np.array([0.3]), np.array([0.4]), np.array([0.1]))
    assert np.isnan(one.r2)
    assert np.isnan(one.spearman)
    assert np.isfinite(one.nll)
    assert np.isnan(evaluate(np.zeros(3), np.ones(3), np.zeros(3)).coverage90)
    with pytest.raises(ValueError, match="must be the same"):
        evaluate(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        evaluate(np.array([np.nan]), np.zeros(1))
