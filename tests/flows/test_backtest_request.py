"""What `ionloop backtest` understands: its own file, a campaign's file, options over either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.backtest_request import TableRequest, read_request, read_table
from flows.cli import app
from flows.config import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_options_win_over_the_file_and_its_table_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text('table = "t.csv"\nfeatures = ["a", "b"]\ntarget = "y"\nseeds = 3\nbatch = 4\n')
    asked, settings = read_request(path, {"seeds": 7, "features": "a, c", "direction": None})
    assert (asked.table, asked.features, asked.target, asked.direction) == (
        tmp_path / "t.csv",
        ["a", "c"],
        "y",
        "min",
    )
    assert (settings.seeds, settings.batch) == (7, 4)


def test_a_campaigns_file_gives_its_own_strategy_and_model() -> None:
    tutorial = REPOSITORY / "examples" / "tutorial.toml"
    asked, settings = read_request(tutorial, {"table": Path("t.csv")})
    assert asked.host == "nzsp"
    assert settings.strategies == ["random", "stratified", "one-shot", "top-k+cluster-quota"]
    assert (settings.batch, settings.initial, settings.seed, settings.surrogate) == (4, 4, 1, "gp")
    assert settings.acquisition.wanted == 5


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("", {}, "table: say which with --table"),
        ("sedes = 3", {"table": Path("t.csv")}, "back-test: sedes: Extra inputs"),
        ("", {"table": Path("t.csv"), "direction": "up"}, "back-test: direction: Input should be 'min' or 'max'"),
        ("[campaign]\nhots = 'nzsp'", {"table": Path("t.csv")}, "campaign.hots: no such field; did you mean 'host'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, given: dict, message: str) -> None:
    (tmp_path / "b.toml").write_text(text)
    with pytest.raises((ValueError, ConfigError), match=message):
        read_request(tmp_path / "b.toml", given)


def test_of_several_numeric_columns_the_target_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"a": [1.0, 2.0], "y": [3.0, 4.0], "z": [5.0, 6.0]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"target: say which column of .*t.csv with --target: y, z"):
        read_table(TableRequest(table=path, features=["a"]))
    assert read_table(TableRequest(table=path, features=["a", "z"])).truth.tolist() == [3.0, 4.0]


def test_the_command_with_a_file_alone(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(size=(40, 2))
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": x.sum(1)}).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "b.toml").write_text(
        'table = "t.csv"\nfeatures = ["a", "b"]\ntop = 4\nstrategies = ["greedy"]\nseeds = 2\n'
    )
    done = CliRunner().invoke(app, ["backtest", str(tmp_path / "b.toml"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "N = 40 candidates, M = 4 targets" in done.output
