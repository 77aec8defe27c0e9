"""A campaign whose labels are real Slurm jobs: the driver is killed, the jobs run on, nothing is submitted twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.test_cli import ionloop
from tests.flows.test_deployment import write_sleepy
from tests.flows.test_kill import MOMENTS, content, finish, kill_when, start
from tests.flows.toy import write_toy
from tests.slurm_node import needs_slurm, slurm_node

pytestmark = [pytest.mark.slow, needs_slurm]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    with slurm_node(tmp_path / "slurm") as folder:
        yield folder


def test_jobs_outlive_the_driver(cluster: Path, tmp_path: Path) -> None:
    path = write_toy(tmp_path, rounds=2)
    text = path.read_text().replace("[label]\n", '[label]\nscheduler = "slurm"\n')
    path.write_text(text + "\n[slurm]\ntime_minutes = 5\nmemory_GB = 2.0\n")
    ledger = tmp_path / "toy" / "ledger.sqlite"
    first = start("run", "toy.toml", cwd=tmp_path)
    assert kill_when(first, ledger, MOMENTS["first label running"])
    finish(start("resume", "toy/", cwd=tmp_path))
    found = content(ledger)
    assert found["campaign"] == [("finished", "the budget of 2 rounds is spent (2)")]
    assert {row[-1] for row in found["proposals"]} == {"labelled"}
    with sqlite3.connect(ledger) as connection:
        labels = [json.loads(data) for (data,) in connection.execute("SELECT data FROM labels")]
    jobs = subprocess.run(
        ["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert all("JobName=array-" in job for job in jobs)
    assert len(jobs) == len(labels), "a label was submitted twice"
    assert len({label["provenance"]["job"] for label in labels}) == len(labels)
    noted = noted_jobs(ledger)
    assert set(noted) <= {label["provenance"]["job"] for label in labels}
    assert noted, "no job is in the ledger"


def queue() -> list[str]:
    """Ids of all jobs there are, each element of an array by itself."""
    asked = ["squeue", "--noheader", "--array", "--format", "%i"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def noted_jobs(ledger: Path) -> list[str]:
    """Ids of jobs in the ledger."""
    with sqlite3.connect(ledger) as connection:
        return sorted(job for (job,) in connection.execute("SELECT id FROM jobs"))


def wait_for_jobs(number: int, limit_s: float) -> list[str]:
    until = time.monotonic() + limit_s
    while len(queue()) != number:
        assert time.monotonic() < until, queue()
        time.sleep(0.5)
    return sorted(queue())


def drain_the_node() -> None:
    """What is submitted from now on waits."""
    node = subprocess.run(["sinfo", "-h", "-o", "%N"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test"], check=True)


@pytest.mark.parametrize(
    ("arrays", "drained", "jobs"),
    [
        pytest.param(False, False, 2, id="as many jobs as there are places"),
        pytest.param(True, False, 3, id="an array, of which two labels run"),
        pytest.param(True, True, 3, id="an array that waits"),
    ],
)
def test_a_pause_names_its_jobs_and_a_cancellation_ends_them(
    cluster: Path, tmp_path: Path, arrays: bool, drained: bool, jobs: int
) -> None:
    text = write_sleepy(tmp_path, seconds=3600.0).read_text()
    text = text.replace("[label]\n", '[label]\nscheduler = "slurm"\n').replace("enabled = true", "enabled = false")
    text += f"\n[slurm]\nmemory_GB = 1.0\narrays = {json.dumps(arrays)}\n"
    (tmp_path / "toy.toml").write_text(text)
    if drained:
        drain_the_node()
    driver = start("run", "toy.toml", cwd=tmp_path)
    sent = wait_for_jobs(jobs, 300)
    time.sleep(2.0)  # the driver has its places filled
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130, errors.decode()
    assert sorted(queue()) == sent, "a pause lets jobs run on"
    assert noted_jobs(tmp_path / "toy" / "ledger.sqlite") == sent
    shown = ionloop("status", "toy/", cwd=tmp_path)
    assert f"jobs: {jobs} in the queue" in shown.stdout
    cancelled = ionloop("cancel", "toy/", cwd=tmp_path)
    assert cancelled.returncode == 0, cancelled.stderr
    assert cancelled.stdout.count("cancelled job") == jobs
    assert wait_for_jobs(0, 60) == []
    assert "jobs:" not in ionloop("status", "toy/", cwd=tmp_path).stdout
    assert content(tmp_path / "toy" / "ledger.sqlite")["campaign"] == [("cancelled", "cancelled by a person")]
