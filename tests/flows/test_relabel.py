"""The dear calculator is down, a cheap one stands in, and `ionloop relabel` comes back for the dear labels."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from agent.ledger import Ledger
from flows.config import load_config
from flows.found import CONFIG_FILE
from tests.flows.test_cli import here, ionloop, refused
from tests.flows.test_kill import count, finish, kill_when, start
from tests.flows.toy import write_toy

ORDERINGS = "SELECT p.composition, p.ordering FROM proposals p WHERE p.round = ? ORDER BY p.composition, p.ordering"


def with_a_dear_calculator(folder: Path) -> Path:
    """A toy campaign whose target is the dear calculator's, with EMT to fall back on."""
    path = write_toy(folder, rounds=1)
    text = path.read_text().replace('["emt"]', '["tests.flows.dear:dear", "emt"]\nretries = 0')
    settings = text[text.index("[label.settings.emt]") : text.index("[model]")]
    dear = settings.replace("[label.settings.emt]", '[label.settings."tests.flows.dear:dear"]')
    path.write_text(text.replace("[model]", dear + "[model]"))
    return path


@pytest.fixture(scope="module")
def fallen_back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign whose dear calculator was down throughout."""
    folder = tmp_path_factory.mktemp("fallen-back")
    with_a_dear_calculator(folder)
    (folder / "down").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEAR_DOWN", str(folder / "down"))
        result = ionloop("run", "toy.toml", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def up(fallen_back: Path, tmp_path: Path) -> Path:
    """A copy of it, with the dear calculator up again."""
    shutil.copytree(fallen_back, tmp_path, dirs_exist_ok=True)
    (tmp_path / "down").unlink()
    return tmp_path


def query(folder: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "toy" / "ledger.sqlite") as connection:
        return connection.execute(sql, values).fetchall()


@pytest.mark.slow
def test_fallback_labels_come_first_and_keep_their_fidelity(up: Path) -> None:
    assert {f for (f,) in query(up, "SELECT fidelity FROM labels")} == {"emt-neb"}
    state = query(up, "SELECT state, stop_reason FROM campaigns")
    result = ionloop("relabel", "toy", "--fidelity", "dear-neb", cwd=up)
    assert result.returncode == 0, result.stderr
    assert "3 of 3 orderings now have a dear-neb label" in result.stdout
    assert query(up, ORDERINGS, 2) == query(up, ORDERINGS, 1)
    labels = query(up, "SELECT composition, ordering, fidelity, value_eV FROM labels ORDER BY composition, fidelity")
    assert [line[2] for line in labels] == ["dear-neb", "emt-neb"] * 3
    for dear, cheap in zip(labels[::2], labels[1::2], strict=True):
        assert dear[3] == pytest.approx(cheap[3], abs=1e-6)  # both are EMT
    reasons = [reason for (reason,) in query(up, "SELECT reason FROM proposals WHERE round = 2")]
    assert all("dear-neb was asked for before, emt-neb stood in with" in str(reason) for reason in reasons)
    assert query(up, "SELECT kind, text FROM events WHERE kind = 'relabel'")
    assert query(up, "SELECT state, stop_reason FROM campaigns") == state
    again = ionloop("relabel", "toy", cwd=up)  # the target is the default
    assert again.returncode == 0, again.stderr
    assert "nothing to label again at dear-neb; --top N takes the best N too" in again.stdout


@pytest.mark.slow
def test_still_down_nothing_stands_in_again_and_top_counts(up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (up / "down").touch()
    monkeypatch.setenv("DEAR_DOWN", str(up / "down"))
    result = ionloop("relabel", "toy", "--top", "2", cwd=up)
    assert result.returncode == 0, result.stderr
    assert "0 of 2 orderings now have a dear-neb label" in result.stdout
    assert {s for (s,) in query(up, "SELECT state FROM proposals WHERE round = 2")} == {"failed"}
    assert query(
        up, "SELECT DISTINCT a.calculator FROM attempts a JOIN proposals p ON p.id = a.proposal AND p.round = 2"
    ) == [("tests.flows.dear:dear",)]


@pytest.mark.slow
def test_the_best_at_another_fidelity(up: Path) -> None:
    result = ionloop("relabel", "toy", "--fidelity", "lj-neb", "--top", "1", cwd=up)
    assert result.returncode == 0, result.stderr
    best = query(up, "SELECT composition, ordering FROM labels ORDER BY value_eV LIMIT 1")
    assert query(up, ORDERINGS, 2) == best
    assert query(up, "SELECT calculator FROM proposals WHERE round = 2") == [("lj",)]


@pytest.mark.slow
def test_killed_it_is_finished_by_resume(up: Path) -> None:
    ledger = up / "toy" / "ledger.sqlite"
    running = count("SELECT count(*) FROM attempts WHERE state = 'running'", 1)
    assert kill_when(start("relabel", "toy", cwd=up), ledger, running)
    assert query(up, "SELECT count(*) FROM proposals WHERE round = 2") == [(3,)]
    finish(start("resume", "toy", cwd=up))
    assert query(up, "SELECT count(*) FROM labels WHERE fidelity = 'dear-neb'") == [(3,)]
    assert query(up, "SELECT count(*) FROM proposals WHERE round > 2") == [(0,)]


def test_what_cannot_be_relabelled_is_said(tmp_path: Path) -> None:
    config = load_config(with_a_dear_calculator(tmp_path))
    config.folder.mkdir()
    (config.folder / CONFIG_FILE).write_text(config.model_dump_json())
    ledger = Ledger.open(f"sqlite:///{config.folder / 'ledger.sqlite'}")
    ledger.create_campaign("toy", "toy", "dear-neb", 7, config.model_dump(mode="json"))
    ledger.close()
    refused(
        here("relabel", "toy", "--fidelity", "vasp", cwd=tmp_path), "no calculator gives it", "vasp-neb", "dear-neb"
    )
    refused(here("relabel", "toy", "--fidelity", "vasp-neb", cwd=tmp_path), "cannot run here", "VASP_PP_PATH")
    refused(here("relabel", "nowhere", cwd=tmp_path), "nowhere")
