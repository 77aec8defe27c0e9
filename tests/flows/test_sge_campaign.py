"""A campaign whose labels are jobs of a real Grid Engine: the driver is killed, the jobs run on, once each."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.flows.test_kill import MOMENTS, content, finish, kill_when, start
from tests.flows.toy import write_toy
from tests.sge_node import needs_sge, sge_node

pytestmark = [pytest.mark.slow, needs_sge]


def test_jobs_outlive_the_driver(tmp_path: Path) -> None:
    path = write_toy(tmp_path, rounds=2)
    text = path.read_text().replace("[label]\n", '[label]\nscheduler = "sge"\n')
    path.write_text(text + "\n[jobs]\ntime_minutes = 5\nmemory_GB = 8.0\n")
    ledger = tmp_path / "toy" / "ledger.sqlite"
    with sge_node(tmp_path / "sge"):
        first = start("run", "toy.toml", cwd=tmp_path)
        assert kill_when(first, ledger, MOMENTS["first label running"])
        finish(start("resume", "toy/", cwd=tmp_path))
        sent = int((tmp_path / "sge" / "spool" / "qmaster" / "jobseqnum").read_text())
    found = content(ledger)
    assert found["campaign"] == [("finished", "the budget of 2 rounds is spent (2)")]
    assert {row[-1] for row in found["proposals"]} == {"labelled"}
    with sqlite3.connect(ledger) as connection:
        labels = [json.loads(data) for (data,) in connection.execute("SELECT data FROM labels")]
        noted = {job for (job,) in connection.execute("SELECT id FROM jobs")}
    jobs = {label["provenance"]["job"] for label in labels}
    assert len(jobs) == len(labels) == sent, "a label was submitted twice"
    assert noted == jobs
