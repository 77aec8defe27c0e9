"""The back-test against hand-worked figures, and its runs: deterministic, resumable, parallel equal to serial."""

import json
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backtest import BacktestConfig, run_backtest
from agent.backtest_report import METRIC_COLUMNS, facts, metrics, short, summary, write_report
from agent.metrics import Curves, decision_efficiency, random_any, random_band, random_expectation
from agent.table import Table


def make_table(n=120, noise=0.0, replicates=1, seed=0, direction="min"):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 3))
    y = (x[:, 0] - 0.5) ** 2 + 0.5 * x[:, 1] ** 2 + 0.1 * x[:, 2]
    sign = 1 if direction == "min" else -1
    values = tuple(sign * v + noise * rng.normal(size=replicates) for v in y)
    return Table(tuple(f"c{i}" for i in range(n)), x, values, direction, sign * y + 0.3 * rng.normal(size=n))


def test_curves_by_hand():
    truth = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    targets = np.array([True, True, False, False, False])
    orders = np.array([[4, 0, 1, 2, 3], [3, 2, 0, 4, 1]])
    curves = Curves.of(orders, truth, targets, 1)
    assert curves.top_fraction.tolist() == [[0, 0.5, 1, 1, 1], [0, 0, 0.5, 0.5, 1]]
    assert curves.best_value[0].tolist() == [0.5, 0.1, 0.1, 0.1, 0.1]
    assert curves.labels_to(0.5) == 3  # mean curve 0, 0.25, 0.75
    assert curves.acceleration(0.5) == pytest.approx(0.5 * 5 / 3)
    assert curves.labels_to(0.8) == 5
    assert curves.enhancement().mean(axis=0).tolist() == pytest.approx([0, 0.625, 1.25, 0.9375, 1.0])
    assert np.median(curves.first_hit()) == 2.5
    high = Curves.of(orders, truth, targets, -1)
    assert high.best_value[0].tolist() == [0.5] * 5


def test_a_repeated_label_costs_and_finds_nothing_new():
    curves = Curves.of(np.array([[0, 0, 1]]), np.arange(3.0), np.array([True, True, False]), 1)
    assert curves.top_fraction.tolist() == [[0.5, 0.5, 1.0]]


def test_decision_efficiency_by_hand():
    cost = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    # the worst of five; the best of four; the middle of three; the worst of two; nothing left to decide
    np.testing.assert_allclose(decision_efficiency(np.array([4, 0, 2, 3, 1]), cost), [-1, 1, 0, -1, np.nan])
    assert decision_efficiency(np.array([0, 0, 1]), cost).tolist() == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert decision_efficiency(np.array([2, 0]), np.ones(3)).tolist() == [0, 0]  # all equal: no better than random
    curves = Curves.of(np.array([[4, 0, 2, 3, 1]]), cost, cost < 0.15, 1)
    assert curves.decisions(1).tolist() == pytest.approx([0.0])
    assert np.isnan(curves.decisions(5)).all()
    labels, means = curves.efficiency_by_round(1, 2)
    assert labels.tolist() == [2.5, 4.5]
    assert means.tolist() == [0.5, -1]
    high = Curves.of(np.array([[4, 3, 2, 1, 0]]), cost, cost > 0.45, -1)
    assert high.decisions(0).tolist() == [1.0]


@given(st.lists(st.integers(0, 5), min_size=2, max_size=9), st.randoms())
def test_decision_efficiency_is_the_share_of_the_others_that_are_beaten(values, random):
    cost = np.array(values, dtype=float)
    order = np.array(random.sample(range(len(cost)), len(cost)))
    for place, found in enumerate(decision_efficiency(order, cost)[:-1]):
        others, own = cost[order[place + 1 :]], cost[order[place]]
        assert found == pytest.approx((np.sign(others - own)).mean())


def test_random_decides_with_an_efficiency_of_zero(tmp_path):
    config = BacktestConfig(strategies=["random"], seeds=60, batch=20, initial=10, max_labels=50)
    chance = metrics(run_backtest(make_table(), config, tmp_path, workers=1)).iloc[0]
    assert abs(chance.de_alm) < 4 * 0.58 / np.sqrt(60 * 40)  # uniform on -1 to 1: a standard deviation of 0.58
    config = config.model_copy(update={"strategies": ["lcb"], "seeds": 3})
    model = metrics(run_backtest(make_table(), config, tmp_path, workers=1)).iloc[0]
    assert model.de_alm > 0.3
    assert model.de_alm_p05 <= model.de_alm <= model.de_alm_p95


def test_what_is_never_reached_is_nan_or_inf():
    curves = Curves.of(np.array([[2, 3]]), np.arange(4.0), np.array([True, False, False, False]), 1)
    assert np.isnan(curves.acceleration(0.5))
    assert np.isnan(curves.acceleration_band(0.5)).all()
    assert np.median(curves.first_hit()) == np.inf


@pytest.mark.parametrize(("size", "targets"), [(20, 3), (559, 28)])
def test_random_expectations_are_the_formulas(size, targets):
    n = np.arange(1, size + 1)
    exact = [1 - comb(size - targets, int(k)) / comb(size, int(k)) for k in n]
    np.testing.assert_allclose(random_any(n, size, targets), exact, atol=1e-9)
    assert random_expectation(n, size)[-1] == 1
    low, high = random_band(n, size, targets)
    assert ((low <= n / size + 1e-9) & (high >= n / size - 1 / targets)).all()


def test_random_runs_agree_with_the_hypergeometric_expectation(tmp_path):
    config = BacktestConfig(strategies=["random"], seeds=200, batch=40, initial=10)
    curves = run_backtest(make_table(), config, tmp_path, workers=1).curves("random")
    error = curves.top_fraction.std(axis=0) / np.sqrt(200)
    assert (np.abs(curves.top_fraction.mean(axis=0) - curves.n / 120) < 4 * error + 1e-9).all()
    assert curves.below_random() <= 12
    assert curves.acceleration(0.5) == pytest.approx(1, abs=0.2)


def test_a_model_finds_the_best_faster_than_random(tmp_path):
    config = BacktestConfig(strategies=["random", "lcb", "ei+kmeans"], seeds=6, batch=6, initial=10, max_labels=60)
    result = run_backtest(make_table(), config, tmp_path, workers=1)
    table = metrics(result).set_index("strategy")
    for strategy in ("lcb", "ei+kmeans"):
        assert table.loc[strategy, "af_80"] > 2
        assert table.loc[strategy, "n_below_random"] == 0


@pytest.mark.parametrize("direction", ["min", "max"])
def test_direction(tmp_path, direction):
    table = make_table(direction=direction)
    config = BacktestConfig(strategies=["greedy"], seeds=2, batch=8, initial=10, max_labels=60)
    result = run_backtest(table, config, tmp_path, workers=1)
    best = table.truth.min() if direction == "min" else table.truth.max()
    assert result.curves("greedy").best_value[:, -1] == pytest.approx(best, abs=0.05)


def test_killed_and_run_again_is_the_same_and_repeats_nothing(tmp_path):
    config = BacktestConfig(strategies=["random", "lcb"], seeds=3, batch=10, initial=10, max_labels=40)
    whole = run_backtest(make_table(), config, tmp_path / "whole", workers=1)
    calls = []
    with pytest.raises(KeyboardInterrupt):
        run_backtest(make_table(), config, tmp_path / "cut", workers=1, progress=interrupt_after(3))
    left = sorted((tmp_path / "cut" / "runs").iterdir())
    assert len(left) == 3
    assert not [p for p in left if p.suffix != ".json"]
    stamps = {p: p.stat().st_mtime_ns for p in left}
    resumed = run_backtest(make_table(), config, tmp_path / "cut", workers=1, progress=lambda *a: calls.append(a))
    assert calls[0] == (3, 6)
    assert len(calls) == 4
    assert {p: p.stat().st_mtime_ns for p in left} == stamps
    for strategy in config.strategies:
        assert (resumed.orders[strategy] == whole.orders[strategy]).all()


def interrupt_after(runs):
    def progress(done, total):
        if done >= runs:
            raise KeyboardInterrupt

    return progress


def test_another_configuration_or_table_does_not_reuse_old_runs(tmp_path):
    config = BacktestConfig(strategies=["random"], seeds=2, batch=10, initial=10, max_labels=20)
    run_backtest(make_table(), config, tmp_path, workers=1)
    run_backtest(make_table(), config.model_copy(update={"batch": 5}), tmp_path, workers=1)
    run_backtest(make_table(seed=1), config, tmp_path, workers=1)
    assert len(list((tmp_path / "runs").iterdir())) == 6
    more = config.model_copy(update={"seeds": 3, "top": 0.1})
    calls = []
    run_backtest(make_table(), more, tmp_path, workers=1, progress=lambda *a: calls.append(a))
    assert calls[0] == (2, 3)


def test_processes_give_the_same_orders(tmp_path):
    config = BacktestConfig(strategies=["thompson", "lcb+kmeans"], seeds=2, batch=10, initial=10, max_labels=40)
    serial = run_backtest(make_table(), config, tmp_path / "a", workers=1)
    parallel = run_backtest(make_table(), config, tmp_path / "b", workers=2)
    for strategy in config.strategies:
        assert (serial.orders[strategy] == parallel.orders[strategy]).all()


def test_one_shot_is_30_percent_of_every_cluster_and_then_greedy(tmp_path):
    config = BacktestConfig(strategies=["one-shot"], seeds=1, surrogate="rf")
    order = run_backtest(make_table(), config, tmp_path, workers=1).orders["one-shot"]
    assert sorted(order[0]) == list(range(120))


def test_cheap_order_and_cheap_start(tmp_path):
    """Who has a model starts with what the cheap fidelity and its neighbours call low; random stays random."""
    table = make_table()
    config = BacktestConfig(strategies=["cheap-order", "lcb"], seeds=1, initial=12, initial_by="cheap", max_labels=20)
    result = run_backtest(table, config, tmp_path, workers=1)
    assert result.orders["cheap-order"][0].tolist() == np.argsort(table.cheap, kind="stable")[:20].tolist()
    expected = np.argsort((table.cheap + table.around) / 2, kind="stable")
    assert result.orders["lcb"][0][:12].tolist() == expected[:12].tolist()
    assert set(result.orders["random"][0][:12].tolist()) != set(expected[:12].tolist())
    drawn = config.model_copy(update={"initial_by": None, "strategies": ["lcb"], "seeds": 2})
    result = run_backtest(table, drawn, tmp_path, workers=1)
    assert "cheap-drawn" in facts(result)
    orders = result.orders["lcb"][:, :12]
    assert set(orders.ravel().tolist()) <= set(expected[:24].tolist())
    assert set(orders[0].tolist()) != set(orders[1].tolist())
    forest = config.model_copy(update={"surrogate": "rf", "strategies": ["lcb"]})
    first = run_backtest(table, forest, tmp_path, workers=1).orders["lcb"][0][:12]
    assert first.tolist() == np.argsort(table.cheap, kind="stable")[:12].tolist()


def test_random_is_always_drawn(tmp_path):
    config = BacktestConfig(strategies=["greedy"], seeds=1, initial=8, max_labels=12)
    assert config.strategies == ["random", "greedy"]
    assert set(run_backtest(make_table(), config, tmp_path, workers=1).orders) == {"random", "greedy"}


def test_a_truth_better_known_than_the_labels_is_what_counts():
    labels = tuple(np.array([value]) for value in [0.3, 0.1, 0.2, 0.4])
    features = np.arange(8.0).reshape(4, 2)
    noisy = Table(tuple("abcd"), features, labels)
    known = Table(tuple("abcd"), features, labels, judged=np.array([0.1, 0.3, 0.2, 0.4]))
    assert noisy.targets(1).tolist() == [False, True, False, False]
    assert known.targets(1).tolist() == [True, False, False, False]


def test_replicates_are_noise_and_the_truth_is_their_mean(tmp_path):
    table = make_table(n=40, noise=0.2, replicates=4)
    np.testing.assert_allclose(table.truth, [v.mean() for v in table.values])
    base = BacktestConfig(strategies=["lcb"], seeds=1, batch=5, initial=10, max_labels=40)
    once = run_backtest(table, base, tmp_path, workers=1).orders["lcb"][0]
    assert len(set(once.tolist())) == 40
    again = base.model_copy(
        update={"acquisition": base.acquisition.model_copy(update={"max_orderings": 4, "repeat_from": 0.0})}
    )
    repeated = run_backtest(table, again, tmp_path, workers=1).orders["lcb"][0]
    assert len(repeated) == 40
    assert len(set(repeated.tolist())) < 40


def test_report_files(tmp_path):
    config = BacktestConfig(strategies=["random", "lcb"], seeds=2, batch=10, initial=10, max_labels=30)
    result = run_backtest(make_table(), config, tmp_path, workers=1)
    page = write_report(result, tmp_path / "report", "Toy <table>")
    text = page.read_text()
    assert "Toy &lt;table&gt;" in text
    assert "N = 120 candidates, M = 6 targets, batch 10, first round 10 (cheap-drawn, counted), 2 seeds" in text
    assert "data:image/png;base64," in text
    assert "http" not in text
    columns = ["strategy", "n", "top_fraction_mean", "top_fraction_p05", "top_fraction_p95", "best_value_mean"]
    assert list(pd.read_csv(tmp_path / "report/summary.csv").columns) == columns
    assert len(summary(result)) == 2 * 30
    banded = pd.read_csv(tmp_path / "report/curves.csv")
    assert list(banded.columns[2:]) == [f"{name}_{of}" for name in ("ef", "regret") for of in ("mean", "p05", "p95")]
    assert (banded.ef_p05 <= banded.ef_p95).all()
    assert (banded.regret_p05 <= banded.regret_p95).all()
    expected = summary(result).top_fraction_mean * 120 / banded.n
    np.testing.assert_allclose(banded.ef_mean, expected, atol=1e-5)
    written = pd.read_csv(tmp_path / "report/metrics.csv")
    assert {"strategy", *METRIC_COLUMNS} == set(written.columns)
    assert list(written.strategy) == ["random", "lcb"]
    widest = short(written.assign(strategy="stratified+cluster-quota")).round(2).to_string(index=False)
    assert max(map(len, widest.splitlines())) <= 90


def test_tables_are_read_with_duplicates_averaged_and_missing_labels_counted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n0,1,2.0\n0,1,4.0\n1,1,5.0\n2,1,\n2,3,1.0\n")
    table = Table.read(path, ["a", "b"], "y")
    assert len(table) == 3
    assert table.truth.tolist() == [3.0, 5.0, 1.0]
    assert table.dropped == 1
    assert table.features.std(axis=0) == pytest.approx([1, 1])
    assert table.targets(1).tolist() == [False, False, True]
    assert Table.read(path, ["a", "b"], "y", "max").targets(0.34).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "features", "message"),
    [
        ("a,y\n1,2\n", ["b"], "no column 'b'; it has a, y"),
        ("a,y\n1,2\nx,3\n", ["a"], "line 3: a is 'x', not a number"),
        ("a,y\n1,2\n,3\n", ["a"], "line 3: a is missing"),
        ("a,y\n1,\n2,\n", ["a"], "no row has a finite y"),
    ],
)
def test_a_bad_table_is_one_clear_line(tmp_path, text, features, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Table.read(path, features, "y")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Table.read(tmp_path / "none.csv", features, "y")


def test_several_cheap_fidelities_and_the_first_is_the_order(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y,quick,quicker\n0,1.0,5,1\n1,2.0,4,2\n2,3.0,6,3\n2,4.0,8,3\n")
    table = Table.read(path, ["a"], "y", cheap="quick, quicker")
    assert table.cheap.tolist() == [[5, 1], [4, 2], [7, 3]]
    assert table.cheap_cost.tolist() == [5, 4, 7]
    assert table.around.shape == (3,)
    assert Table.read(path, ["a"], "y", direction="max", cheap="quick").cheap_cost.tolist() == [-5, -4, -7]
    with pytest.raises(ValueError, match="no column 'slow'"):
        Table.read(path, ["a"], "y", cheap="quick,slow")


def test_a_composition_table_groups_orderings_and_refuses_duplicates():
    from agent.hosts import load_host
    from agent.space import build_space

    host = load_host("nzsp")
    keys = [c.key for c in build_space(host).compositions[:4]]
    frame = pd.DataFrame(
        {"composition": keys * 2, "ordering": [0] * 4 + [1] * 4, "E": [1.0, 2, 3, 4, 3, 4, 5, np.nan]}
    )
    table = Table.of_compositions(host, frame, "E")
    assert table.ids == tuple(sorted(keys))
    assert len(table.values[0]) == 2
    assert table.replicates == 1
    assert table.dropped == 1
    with pytest.raises(ValueError, match="line 6: composition and ordering listed twice"):
        Table.of_compositions(host, frame.assign(ordering=0), "E")
    with pytest.raises(ValueError, match=r"line 3: 'nzsp:Sn' is no composition key"):
        Table.of_compositions(host, frame.assign(composition=[keys[0], "nzsp:Sn", *keys[2:], *keys]), "E")
    unnumbered = Table.of_compositions(host, frame.drop(columns="ordering"), "E")
    assert unnumbered.truth.tolist() == table.truth.tolist()  # without numbers they are repeats of one another


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategies": ["lcbb"]}, "'lcbb' is not known"),
        ({"strategies": ["lcb+far"]}, "'lcb.far' is not known"),
        ({"strategies": ["lcb", "lcb"]}, "listed twice"),
        ({"strategies": []}, "strategies"),
        ({"seeds": 0}, "seeds"),
        ({"initial": 500}, "the table has 120"),
        ({"top": 120}, "120 of only 120"),
        ({"initial_by": "cheap"}, "needs the column of a cheap fidelity"),
        ({"initial_by": "cheap-drawn"}, "needs the column of a cheap fidelity"),
    ],
)
def test_a_bad_configuration_is_one_clear_line(tmp_path, change, message):
    table = make_table()
    table = Table(table.ids, table.features, table.values)
    with pytest.raises(ValueError, match=message):
        run_backtest(table, BacktestConfig(**change), tmp_path, workers=1)


def test_runs_are_plain_json(tmp_path):
    config = BacktestConfig(strategies=["random"], seeds=1, initial=5, max_labels=10)
    run_backtest(make_table(), config, tmp_path, workers=1)
    order = json.loads(next((tmp_path / "runs").iterdir()).read_text())
    assert len(order) == 10


def test_a_cheap_fidelity_is_a_trend_that_the_process_corrects():
    from agent.surrogates import GaussianProcess

    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(200, 2))
    cheap = np.sin(3 * x[:, 0]) + x[:, 1]
    dear = 0.5 + 1.5 * cheap + 0.1 * x[:, 0]
    rows = np.arange(40)[:, None]
    error = {}
    for name, known in (("with", cheap), ("without", None)):
        model = GaussianProcess(x, cheap=known).fit(rows, dear[:40])
        mean, std = model.predict(np.arange(40, 200)[:, None], return_std=True)
        error[name] = np.abs(mean - dear[40:]).mean()
        assert (std > 0).all()
        members = model.predict_members(np.arange(40, 200)[:, None])
        np.testing.assert_allclose(members.mean(axis=0), mean, atol=4 * std.max() / 4 + 1e-6)
    assert error["with"] < 0.5 * error["without"]
    assert (model.slopes_ == 0).all()
