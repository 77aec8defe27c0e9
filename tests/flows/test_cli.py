"""The command line as a person meets it: exit codes, one clear line, no traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest

from flows.cli import main
from tests.flows.toy import write_toy

REPOSITORY = Path(__file__).resolve().parents[2]


def ionloop(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "IONLOOP_HOME": str(cwd / "home"), "COLUMNS": "110"}
    command = [sys.executable, "-c", "from flows.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def here(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has everything imported: for commands that end before any work begins."""
    out, err = StringIO(), StringIO()
    environment = {"IONLOOP_HOME": str(cwd / "home"), "COLUMNS": "110"}
    with (
        chdir(cwd),
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", ["ionloop", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    return subprocess.CompletedProcess(arguments, int(end.value.code or 0), out.getvalue(), err.getvalue())


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one line that starts with "error:", and these words in it."""
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error:")
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in result.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a toy campaign has ended."""
    folder = tmp_path_factory.mktemp("finished")
    write_toy(folder, rounds=1)
    result = ionloop("run", "toy.toml", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "stopped: the budget of 1 rounds is spent" in result.stdout
    return folder


def test_a_finished_campaign_leaves_a_folder_that_a_scientist_can_use(finished: Path) -> None:
    folder = finished / "toy"
    assert (folder / "ledger.sqlite").is_file()
    assert len((folder / "ranking.csv").read_text().splitlines()) > 3
    assert "<html" in (folder / "report.html").read_text()
    assert list((folder / "plots").glob("*.png"))
    assert list((folder / "paths").glob("*.extxyz"))
    assert list((folder / "structures").glob("*.cif"))


@pytest.mark.parametrize("command", ["status", "history", "rank"])
def test_looking_at_a_campaign(finished: Path, command: str) -> None:
    result = ionloop(command, "toy", cwd=finished)
    assert result.returncode == 0, result.stderr
    assert "toy" in result.stdout


def test_a_finished_campaign_run_again_changes_nothing(finished: Path) -> None:
    before = rows(finished)
    assert ionloop("run", "toy.toml", cwd=finished).returncode == 0
    assert rows(finished) == before


def rows(folder: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "toy" / "ledger.sqlite") as ledger:
        labels = ledger.execute("SELECT key, value_eV, created FROM labels ORDER BY key").fetchall()
        return labels + ledger.execute("SELECT id, state, created FROM proposals").fetchall()


def test_what_may_not_change_between_runs_is_refused(finished: Path) -> None:
    changed = (finished / "toy.toml").read_text().replace("seed = 7", "seed = 8")
    (finished / "changed.toml").write_text(changed)
    refused(here("run", "changed.toml", cwd=finished), "campaign.seed: 7 -> 8", "campaign.name")


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    write_toy(tmp_path)
    (tmp_path / "toy").mkdir()
    with sqlite3.connect(tmp_path / "toy" / "ledger.sqlite") as ledger:
        ledger.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        ledger.execute("INSERT INTO meta VALUES ('schema_version', '999')")
    refused(here("run", "toy.toml", cwd=tmp_path), "newer ionloop", "999")


def test_bad_input_gets_one_line(tmp_path: Path) -> None:
    refused(ionloop("status", cwd=tmp_path), "no campaign", "ionloop run")
    refused(here("run", "none.toml", cwd=tmp_path), "none.toml", "ionloop init")
    write_toy(tmp_path)
    text = (tmp_path / "toy.toml").read_text()
    (tmp_path / "a.toml").write_text(
        text.replace('calculators = ["emt"]', 'calculators = ["emtt"]').split("[label.s")[0]
    )
    refused(here("run", "a.toml", cwd=tmp_path), "emtt", "available", "chgnet")
    (tmp_path / "b.toml").write_text(text.replace('rule = "easiest"', 'rule = "fastest"'))
    refused(here("run", "b.toml", cwd=tmp_path), "rule", "easiest")
    (tmp_path / "c.toml").write_text(text.replace("window = [1.6, 1.9]", "window = [9, 10]"))
    refused(here("run", "c.toml", cwd=tmp_path), "charge-balance", "empty")
    (tmp_path / "d.toml").write_text(text.replace("toy-host.toml", "no-host.toml"))
    refused(here("run", "d.toml", cwd=tmp_path), "no-host.toml")


def test_bad_structures_get_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text("this is no CIF")
    refused(here("label", "bad.cif", "--ion", "Na", "--calculator", "emt", cwd=tmp_path), "bad.cif")
    (tmp_path / "POSCAR").write_text("Cu\n3.6\n1 0 0\n0 1 0\n0 0 1\nCu\n1\nDirect\n0 0 0\n")
    refused(here("label", "POSCAR", "--ion", "Na", "--calculator", "emt", cwd=tmp_path), "Na")


def test_label_by_hand(tmp_path: Path) -> None:
    from ase.build import bulk
    from ase.io import write

    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * (2, 2, 2)
    write(tmp_path / "copper.cif", atoms)
    result = ionloop("label", "copper.cif", "--ion", "Cu", "--calculator", "emt", "--out", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "E_b =" in result.stdout
    assert (tmp_path / "out" / "label.json").is_file()
