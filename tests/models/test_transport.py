"""The transport model on a table whose rule is known."""

import numpy as np
import pandas as pd
import pytest

from models import transport_plots as plots
from models.transport import REGRESSORS, FeatureData, cross_validate, fit, importances, shapley_values, stability


def table(rows: int = 60, noise: float = 0.02, seed: int = 0) -> pd.DataFrame:
    """The target falls with the first feature, rises with the second, and does not know the third."""
    rng = np.random.default_rng(seed)
    one, two, three = rng.uniform(size=(3, rows))
    target = 2.0 - 1.5 * one + 0.5 * two + noise * rng.normal(size=rows)
    return pd.DataFrame({"id": [f"s{i}" for i in range(rows)], "one": one, "two": two, "three": three, "msd": target})


@pytest.fixture(scope="module")
def data() -> FeatureData:
    return FeatureData.of(table(), "msd")


def test_both_regressors_beat_the_mean_where_there_is_a_rule(data: FeatureData) -> None:
    found = cross_validate(data)
    assert set(found) == set(REGRESSORS)
    for one in found.values():
        assert one.metrics.mae < 0.5 * one.metrics.mae_mean
        assert one.metrics.n == len(data)


def test_neither_does_where_there_is_none() -> None:
    shuffled = table()
    shuffled["msd"] = np.random.default_rng(5).permutation(shuffled["msd"])
    for one in cross_validate(FeatureData.of(shuffled, "msd")).values():
        assert one.metrics.mae > 0.9 * one.metrics.mae_mean


@pytest.mark.parametrize("regressor", list(REGRESSORS))
def test_shapley_values_sum_to_the_prediction(data: FeatureData, regressor: str) -> None:
    """Their defining property: base value + contributions = prediction, for every row."""
    model = fit(data, regressor)
    rest = model.predict(data.features) - shapley_values(model, data.features).sum(axis=1)
    assert np.ptp(rest) < 1e-6
    assert rest.mean() == pytest.approx(model.predict(data.features).mean(), abs=0.05)


@pytest.mark.parametrize("method", ["shap", "permutation"])
def test_what_matters_is_found_with_its_direction(data: FeatureData, method: str) -> None:
    found = importances(fit(data), data, method=method)
    assert found.names == ("one", "two", "three")
    assert found.mean_abs[0] > 2 * found.mean_abs[1] > 2 * found.mean_abs[2]
    if method == "shap":
        assert found.direction[0] < -0.9
        assert found.direction[1] > 0.9
    else:
        assert np.isnan(found.direction).all()
    with pytest.raises(ValueError, match="allowed: shap, permutation"):
        importances(fit(data), data, method="lime")


def test_orderings_that_do_not_differ_have_no_spread_and_those_that_do_have_one(data: FeatureData) -> None:
    same = pd.DataFrame({"one": [0.5] * 4, "two": [0.5] * 4, "three": [0.1, 0.4, 0.6, 0.9]})
    calm = stability(data, same)
    assert calm.share["one"] == 0
    assert calm.share["three"] > 0.5
    assert max(calm.prediction_share(data.target).values()) < 0.1
    wild = stability(data, same.assign(one=[0.0, 0.3, 0.6, 1.0]))
    assert min(wild.prediction_share(data.target).values()) > 0.5
    with pytest.raises(ValueError, match="at least two"):
        stability(data, same.head(1))
    with pytest.raises(ValueError, match="lack two"):
        stability(data, same.drop(columns="two"))
    with pytest.raises(ValueError, match="no finite number"):
        stability(data, same.assign(one=np.nan))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="msd"), "column msd missing; it has id, one, two, three"),
        (lambda t: t[["id", "msd"]], "no column of numbers beside msd"),
        (lambda t: t.assign(one=t.one.where(t.index != 3)), r"row 4 \(s3\) has no finite number in one"),
        (lambda t: t.assign(msd=np.inf), "has no finite number in msd"),
        (lambda t: t.head(9), "9 rows; at least 10"),
        (lambda t: t.assign(msd=1.0), "msd is 1 in every row"),
        (lambda t: t.assign(one=1.0, two=2.0, three=3.0), "every feature is the same in all rows"),
    ],
)
def test_a_table_that_nothing_can_be_learned_from_is_refused(change, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FeatureData.of(change(table()), "msd")


def test_wrong_columns_folds_and_regressors_are_refused(data: FeatureData) -> None:
    with pytest.raises(ValueError, match="column four missing"):
        FeatureData.of(table(), "msd", ["one", "four"])
    with pytest.raises(ValueError, match="61 folds of 60 rows"):
        cross_validate(data, folds=61)
    with pytest.raises(ValueError, match="allowed are gradient-boosting, random-forest"):
        fit(data, "sisso")


def test_the_figures_are_drawn(data: FeatureData, tmp_path) -> None:
    found, heed = cross_validate(data), importances(fit(data), data)
    spread = stability(data, table(12, seed=9))
    paths = [
        plots.parities(data, found, "Å²", tmp_path / "parity.png"),
        plots.contributions(heed, "Å²", tmp_path / "heed.png"),
        plots.contributions(importances(fit(data), data, method="permutation"), "Å²", tmp_path / "permuted.png"),
        plots.orderings(data, spread, "Å²", tmp_path / "orderings.png"),
    ]
    assert all(path.stat().st_size > 5_000 for path in paths)
