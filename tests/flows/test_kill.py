"""kill -9 at any moment, then `resume`: the same campaign as one that was never interrupted."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.toy import write_toy

REPOSITORY = Path(__file__).resolve().parents[2]
Condition = Callable[[sqlite3.Connection], bool]


def count(query: str, at_least: int) -> Condition:
    return lambda ledger: ledger.execute(query).fetchone()[0] >= at_least


#: Moments by what the ledger says at the time; fifty others, by what the driver does: test_reliability_kill.py.
MOMENTS: dict[str, Condition] = {
    "proposals committed": count("SELECT count(*) FROM proposals", 1),
    "first label running": count("SELECT count(*) FROM attempts WHERE state = 'running'", 1),
    "first label committed": count("SELECT count(*) FROM labels", 1),
    "round done": count("SELECT count(*) FROM rounds WHERE state = 'done'", 1),
    "round 2 done": count("SELECT count(*) FROM rounds WHERE state = 'done'", 2),
}


def start(*arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "IONLOOP_HOME": str(cwd / "home")}
    return subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def reached(ledger: Path, moment: Condition) -> bool:
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
            return moment(connection)
    except sqlite3.OperationalError:  # not there yet
        return False


def kill_when(process: subprocess.Popen[bytes], ledger: Path, moment: Condition) -> bool:
    """Kill the driver as soon as its ledger says so; False if it ended first."""
    while process.poll() is None:
        if reached(ledger, moment):
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.005)
    return False


def content(ledger: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a campaign is, without the times and attempts that an interruption may add."""
    queries = {
        "proposals": "SELECT round, rank, composition, ordering, label_key, cluster, mean_eV, sigma_eV, score, "
        "reason, state FROM proposals ORDER BY round, rank",
        "labels": "SELECT key, composition, ordering, fidelity, value_eV, converged FROM labels ORDER BY key",
        "rounds": "SELECT number, state, summary, metrics FROM rounds ORDER BY number",
        "ranking": "SELECT rank, composition, mean_eV, sigma_eV, source FROM predictions ORDER BY rank",
        "decisions": "SELECT text FROM events WHERE kind = 'decision' ORDER BY id",
        "campaign": "SELECT state, stop_reason FROM campaigns",
    }
    with sqlite3.connect(ledger) as connection:
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    write_toy(folder)
    finish(start("run", "toy.toml", cwd=folder))
    return content(folder / "toy" / "ledger.sqlite")


def test_killed_at_many_moments_ends_like_an_uninterrupted_campaign(
    tmp_path: Path, uninterrupted: dict[str, list[tuple[object, ...]]]
) -> None:
    write_toy(tmp_path)
    ledger = tmp_path / "toy" / "ledger.sqlite"
    killed = 0
    process = start("run", "toy.toml", cwd=tmp_path)
    for moment in MOMENTS.values():
        killed += kill_when(process, ledger, moment)
        process = start("resume", "toy/", cwd=tmp_path)
    finish(process)
    assert killed == len(MOMENTS), "the campaign ended before it could be killed often enough to prove anything"
    assert content(ledger) == uninterrupted
    with sqlite3.connect(ledger) as connection:
        succeeded = "SELECT label_key FROM attempts WHERE state = 'succeeded'"
        keys = [key for (key,) in connection.execute(succeeded)]
        running = connection.execute("SELECT count(*) FROM attempts WHERE state = 'running'").fetchone()[0]
    assert len(keys) == len(set(keys)), "a label was computed twice"
    assert running == 0


def test_ctrl_c_leaves_pending_labels_and_exit_code_130(tmp_path: Path) -> None:
    write_toy(tmp_path)
    ledger = tmp_path / "toy" / "ledger.sqlite"
    process = start("run", "toy.toml", cwd=tmp_path)
    while process.poll() is None:
        try:
            with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
                if MOMENTS["first label running"](connection):
                    break
        except sqlite3.OperationalError:
            time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"nothing is lost" in errors
    assert content(ledger)["campaign"] == [("paused", "interrupted by a person")]
    states = {row[-1] for row in content(ledger)["proposals"]}
    assert "failed" not in states


def test_a_second_driver_is_refused_with_one_line(tmp_path: Path) -> None:
    write_toy(tmp_path)
    first = start("run", "toy.toml", cwd=tmp_path)
    ledger = tmp_path / "toy" / "ledger.sqlite"
    while not ledger.exists() and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)  # a second driver takes seconds to start: the first must not end meanwhile
    second = start("run", "toy.toml", cwd=tmp_path)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"pid {first.pid}" in errors.decode()
    first.kill()
    first.communicate()
