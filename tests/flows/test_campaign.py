"""One campaign end to end with everything real but the chemistry: CGformer ensemble, NEB, ledger, Prefect server."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import httpx
import psutil
import pytest

from flows.server import local_server
from tests.flows.test_cli import ionloop
from tests.flows.test_kill import MOMENTS, content, reached, start
from tests.flows.toy import write_toy

CGFORMER = """
[model]
kind = "cgformer"
members = 2
epochs = 2
pretrain_epochs = 2
"""
PRETRAIN = """
[pretrain]
calculator = "lj"
labels = 4
[pretrain.settings]
relax = "none"
rule = "easiest"
images = 1
fmax_eV_per_A = 0.5
endpoint_fmax_eV_per_A = 0.5
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of one pre-training and one acquisition round, shown on a local Prefect server."""
    folder = tmp_path_factory.mktemp("shown")
    path = write_toy(folder, rounds=1, prefect=True)
    text = path.read_text().replace('[model]\nkind = "forest"\n', CGFORMER)
    path.write_text(text.replace("[pretrain]\nlabels = 0\n", PRETRAIN))
    result = ionloop("run", "toy.toml", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "Prefect UI: http://127.0.0.1:" in result.stdout
    return folder


def post(url: str, path: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = httpx.post(f"{url}/{path}/filter", json={"limit": 200}, timeout=30).json()
    return found


def test_its_history_is_in_prefect(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONLOOP_HOME", str(shown / "home"))
    with local_server() as server:
        flows = {run["name"]: run["state_name"] for run in post(server.api_url, "flow_runs")}
        tasks = {run["name"]: run["state_name"] for run in post(server.api_url, "task_runs")}
        artifacts = post(server.api_url, "artifacts")
    assert flows == {"toy": "Completed", "round 0": "Completed", "round 1": "Completed"}
    labels = [name for name in tasks if str(name).endswith(": emt")]
    assert len(labels) == 3
    assert all(str(name).startswith("NEB Cu") for name in labels)
    assert {"retrain after round 0", "retrain after round 1"} <= set(tasks)
    assert set(tasks.values()) == {"Completed"}
    versions = [artifact for artifact in artifacts if artifact["key"] == "toy-acquisitions"]
    assert len(versions) == 2, "one version per round"
    row = str(versions[-1]["data"])
    assert all(word in row for word in ("composition", "cluster", "score", "why", "calculator"))


def test_every_run_carries_the_campaign_as_a_tag(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONLOOP_HOME", str(shown / "home"))
    with local_server() as server:
        tagged = [run["tags"] for run in post(server.api_url, "flow_runs") + post(server.api_url, "task_runs")]
    assert tagged
    assert all("toy" in tags for tags in tagged)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_campaign_outlives_its_prefect_server(tmp_path: Path) -> None:
    """The server is killed and its database deleted in the middle: the ledger ends as it would have."""
    write_toy(tmp_path, rounds=2, prefect=True)
    process = start("run", "toy.toml", cwd=tmp_path)
    ledger = tmp_path / "toy" / "ledger.sqlite"
    while not reached(ledger, MOMENTS["first label committed"]):
        assert process.poll() is None
        time.sleep(0.05)
    pid = json.loads((tmp_path / "home" / "prefect" / "server.json").read_text())["pid"]
    server = psutil.Process(pid)
    for member in [*server.children(recursive=True), server]:
        member.kill()
    for database in (tmp_path / "home" / "prefect").glob("prefect.db*"):
        database.unlink()
    _, errors = process.communicate(timeout=1200)  # Prefect's client gives up late, once per open run and at the exit
    assert process.returncode == 0, errors.decode()
    found = content(ledger)
    assert found["campaign"] == [("finished", "the budget of 2 rounds is spent (2)")]
    assert {row[-1] for row in found["proposals"]} <= {"labelled", "failed"}


def test_ledger_and_prefect_name_each_other(shown: Path) -> None:
    with sqlite3.connect(shown / "toy" / "ledger.sqlite") as ledger:
        proposals = ledger.execute("SELECT prefect_run FROM proposals WHERE round = 1").fetchall()
        rounds = ledger.execute("SELECT prefect_run FROM rounds").fetchall()
    assert all(len(run) == 36 for (run,) in proposals + rounds)


def test_fidelities_are_not_mixed(shown: Path) -> None:
    with sqlite3.connect(shown / "toy" / "ledger.sqlite") as ledger:
        fidelities = ledger.execute(
            "SELECT DISTINCT p.round, l.fidelity FROM proposals p JOIN labels l ON l.key = p.label_key ORDER BY 1"
        ).fetchall()
        # Before the first target label the model speaks of the cheap fidelity: no number of it is shown.
        predicted = ledger.execute("SELECT count(*) FROM proposals WHERE mean_eV IS NOT NULL").fetchone()[0]
        reasons = ledger.execute("SELECT reason FROM proposals WHERE round = 1").fetchall()
    assert fidelities == [(0, "lj-neb"), (1, "emt-neb")]
    assert predicted == 0
    assert all("lj-neb" in reason for (reason,) in reasons)


def test_a_persons_hand(shown: Path) -> None:
    space = (shown / "toy" / "space.csv").read_text().splitlines()
    key, formula, *_ = space[1].split(",")
    other = space[2].split(",")[1]
    assert ionloop("exclude", "toy", formula, cwd=shown).returncode == 0
    assert ionloop("add-label", "toy", other, "0.123", "--source", "a paper", cwd=shown).returncode == 0
    bad = ionloop("pin", "toy", "Nope", cwd=shown)
    assert bad.returncode == 2
    assert "space.csv" in bad.stderr
    text = (shown / "toy.toml").read_text().replace("max_rounds = 1", "max_rounds = 2")
    (shown / "toy.toml").write_text(text.replace("enabled = true", "enabled = false"))
    assert ionloop("run", "toy.toml", cwd=shown).returncode == 0
    with sqlite3.connect(shown / "toy" / "ledger.sqlite") as ledger:
        chosen = {row[0] for row in ledger.execute("SELECT composition FROM proposals WHERE round = 2")}
        learned = ledger.execute("SELECT metrics FROM rounds WHERE number = 2").fetchone()[0]
        who = ledger.execute("SELECT who FROM events WHERE kind IN ('exclude', 'add-label')").fetchall()
    assert key not in chosen
    assert '"n_labels": 7' in learned
    assert all(name and name != "ionloop" for (name,) in who)
