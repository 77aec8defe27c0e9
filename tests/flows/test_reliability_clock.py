"""A clock that jumps by a year and back while a campaign runs (libfaketime): no duration and no budget notices."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows.lives import Content, Life, content, write_campaign
from tests.flows.test_kill import REPOSITORY, finish

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
#: Set in turn, each after a further label has been written down.
JUMPS = ("+400d", "-30d", "+0")


@pytest.mark.slow
@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian: faketime)")
def test_budgets_and_durations_survive_jumps(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    ledger = write_campaign(tmp_path)
    config = (tmp_path / "toy.toml").read_text()
    limits = "[stopping]\nmax_wall_hours = 1.0\nmax_calculator_hours = 1.0\n"
    (tmp_path / "toy.toml").write_text(config.replace("[stopping]\n", limits))
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "IONLOOP_HOME": str(tmp_path / "home"),
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = [sys.executable, "-c", "from flows.cli import main; main()", "run", "toy.toml"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    driver = subprocess.Popen(command, cwd=tmp_path, env=environment, **quiet)
    for jump in JUMPS:
        seen = labels(ledger)  # two may land at once: a jump lasts until one more has landed after it
        while driver.poll() is None and labels(ledger) <= seen:
            time.sleep(0.02)
        part = clock.with_suffix(".part")
        part.write_text(jump)
        part.replace(clock)
    finish(driver)
    assert content(ledger) == uninterrupted[1]
    with sqlite3.connect(ledger) as connection:
        seconds = [value for (value,) in connection.execute("SELECT seconds FROM attempts")]
        ((driven,),) = connection.execute("SELECT driven_s FROM campaigns")
        ((apart,),) = connection.execute("SELECT max(julianday(ended)) - min(julianday(started)) FROM attempts")
    assert all(0 < value < 600 for value in seconds)
    assert sum(seconds) / 2 < driven < 3600
    assert apart > 300, "the clock did jump"


def labels(ledger: Path) -> int:
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM labels").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def test_durations_are_taken_by_the_monotonic_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in small, where there is no libfaketime: the ledger's idea of now jumps back by a year."""
    from datetime import timedelta

    import agent.labels
    import agent.ledger
    from agent.schema import now
    from tests.agent.test_ledger import a_label, begin

    opened = agent.ledger.Ledger.open(tmp_path / "ledger.sqlite")
    opened.create_campaign("one", "nzsp", "chgnet-neb", 0, {})
    opened.set_campaign_state("one", "running")
    (one,) = begin(opened)
    attempt = opened.start_attempt(one, "a" * 32, "chgnet", "")
    monkeypatch.setattr(agent.labels, "now", lambda: now() - timedelta(days=365))
    time.sleep(0.05)
    opened.finish_attempt(attempt, a_label())
    (row,) = opened.attempts("one")
    assert row.ended < row.started
    assert 0.05 <= row.seconds < 60
    assert 0.05 <= opened.campaign("one").driven_s < 60
    opened.close()
