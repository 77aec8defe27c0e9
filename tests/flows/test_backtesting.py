"""A back-test with the real network: the very loop of a campaign over a table of compositions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.backtest import BacktestConfig, run_backtest
from agent.hosts import load_host
from agent.space import build_space
from agent.table import Table
from flows.backtesting import CGformers, surrogate_factory


def small_table() -> Table:
    host = load_host("nzsp")
    keys = [c.key for c in build_space(host).compositions[::90]]
    values = np.random.default_rng(0).normal(1.0, 0.04, size=2 * len(keys))
    orderings = [0] * len(keys) + [1] * len(keys)
    frame = pd.DataFrame({"composition": keys * 2, "ordering": orderings, "E_eV": values})
    return Table.of_compositions(host, frame, "E_eV")


def test_cgformers_choose_from_a_table(tmp_path: Path) -> None:
    table = small_table()
    config = BacktestConfig(strategies=["lcb"], seeds=1, batch=3, initial=4, max_labels=7, surrogate="cgformer")
    order = run_backtest(table, config, tmp_path, CGformers(members=2, epochs=1), workers=1).orders["lcb"][0]
    assert len(set(order.tolist())) == 7
    with pytest.raises(ValueError, match="the agent holds no network"):
        run_backtest(table, config, tmp_path, workers=1)


def test_a_network_needs_compositions() -> None:
    assert isinstance(surrogate_factory("cgformer", small_table()), CGformers)
    assert surrogate_factory("gp", small_table()) is None
    plain = Table(("a", "b"), np.eye(2), (np.ones(1), np.zeros(1)))
    with pytest.raises(ValueError, match="needs a table of compositions: 'a' is no composition key"):
        surrogate_factory("cgformer", plain)
