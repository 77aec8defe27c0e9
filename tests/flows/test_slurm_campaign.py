"""A campaign whose labels are real Slurm jobs: the driver is killed, the jobs run on, nothing is submitted twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.test_cli import ionloop
from tests.flows.test_deployment import write_sleepy
from tests.flows.test_kill import MOMENTS, REPOSITORY, content, finish, kill_when, start
from tests.flows.toy import write_toy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))) or os.geteuid() != 0,
        reason="needs root and Debian's slurmctld, slurmd, slurm-client and munge",
    ),
]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "slurm"
    script = REPOSITORY / "tests" / "calculators" / "slurm_one_node.sh"
    done = subprocess.run(["bash", str(script), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    yield folder
    for daemon in ("slurmctld", "slurmd"):
        os.kill(int((folder / f"{daemon}.pid").read_text()), signal.SIGTERM)


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
    assert len({label["provenance"]["slurm_job"] for label in labels}) == len(labels)


def queue() -> list[str]:
    done = subprocess.run(
        ["squeue", "--noheader", "--me", "--format", "%j"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_pause_names_its_jobs_and_a_cancellation_ends_them(cluster: Path, tmp_path: Path) -> None:
    path = write_sleepy(tmp_path, seconds=3600.0)
    text = path.read_text().replace("[label]\n", '[label]\nscheduler = "slurm"\n')
    path.write_text(
        text.replace("enabled = true", "enabled = false") + "\n[slurm]\nmemory_GB = 1.0\narrays = false\n"
    )
    driver = start("run", "toy.toml", cwd=tmp_path)
    until = time.monotonic() + 300
    while len(queue()) < 2 and time.monotonic() < until:
        time.sleep(0.5)
    jobs = queue()
    assert len(jobs) == 2, "as many jobs as there are places"
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130, errors.decode()
    assert sorted(queue()) == sorted(jobs), "a pause lets jobs run on"
    shown = ionloop("status", "toy/", cwd=tmp_path)
    assert "jobs: 2 in the queue" in shown.stdout
    cancelled = ionloop("cancel", "toy/", cwd=tmp_path)
    assert cancelled.returncode == 0, cancelled.stderr
    assert cancelled.stdout.count("cancelled job") == 2
    until = time.monotonic() + 60
    while queue() and time.monotonic() < until:
        time.sleep(0.5)
    assert not queue()
    assert "jobs:" not in ionloop("status", "toy/", cwd=tmp_path).stdout
    assert content(tmp_path / "toy" / "ledger.sqlite")["campaign"] == [("cancelled", "cancelled by a person")]
