"""`ionloop status --watch`: on a real (pseudo) terminal, with a driver and without."""

from __future__ import annotations

import json
import os
import pty
import select
import sqlite3
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flows.dashboard import dashboard, read_notes
from flows.lock import driver_lock, driver_of
from flows.looks import Status
from flows.progress import PROGRESS_FILE, Reporter
from flows.view import CampaignView
from tests.flows.conftest import looked
from tests.flows.test_kill import MOMENTS, REPOSITORY, kill_when, start
from tests.flows.toy import write_toy


def shown(view: CampaignView, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(dashboard(looked(view, Status.load), view.folder))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_it_says_what_the_driver_is_doing_and_nothing_stale(synthetic_view: CampaignView) -> None:
    notes = [
        {"what": "rounds", "note": "round 3", "completed": 2, "total": 4, "seconds": 75.0},
        {"what": "NEB Na3Zr2Si2PO12: chgnet", "note": "neb step 12, fmax 0.31 eV/Å", "total": None, "seconds": 9.0},
    ]
    (synthetic_view.folder / PROGRESS_FILE).write_text(json.dumps(notes))
    text = shown(synthetic_view)
    assert "fmax 0.31" not in text, "nobody drives the campaign"
    assert "no driver" in text
    with driver_lock(synthetic_view.folder):
        text = shown(synthetic_view)
        assert f"pid {os.getpid()}" in text
        assert "neb step 12, fmax 0.31 eV/Å" in text
        assert "round 3" in text
    for part in ("budget", "Best so far", "failures", "q: leave"):
        assert part in text
    (synthetic_view.folder / PROGRESS_FILE).unlink()
    assert driver_of(synthetic_view.folder) is None


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[]"])
def test_notes_that_cannot_be_read_are_no_notes(tmp_path: Path, text: str) -> None:
    (tmp_path / PROGRESS_FILE).write_text(text)
    assert read_notes(tmp_path) == []


def test_the_reporter_notes_down_what_its_bars_say(tmp_path: Path) -> None:
    reporter = Reporter(Console(file=StringIO()), tmp_path)
    with reporter.running(), reporter.bar("  NEB A: emt", total=3) as bar:
        bar.update("neb step 1", completed=1)
        (note,) = read_notes(tmp_path)
        assert (note["what"], note["note"], note["completed"], note["total"]) == ("NEB A: emt", "neb step 1", 1, 3)


def test_a_reporter_that_cannot_write_goes_on(tmp_path: Path) -> None:
    reporter = Reporter(Console(file=StringIO()), tmp_path / "nowhere")
    with reporter.running(), reporter.bar("bar") as bar:
        bar.advance()


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *command: str, cwd: Path) -> None:
        self.master, slave = pty.openpty()
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "100", "LINES": "50"}
        line = [sys.executable, "-c", "from flows.cli import main; main()", *command]
        self.process = subprocess.Popen(line, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.text = ""

    def wait_for(self, words: str, limit_s: float = 120.0) -> None:
        deadline = time.monotonic() + limit_s
        while words not in self.text:
            assert time.monotonic() < deadline, self.text[-2000:]
            assert self._read(), self.text[-2000:]

    def press(self, key: bytes, limit_s: float = 60.0) -> int:
        os.write(self.master, key)
        deadline = time.monotonic() + limit_s
        while self._read():  # to the end: a command whose terminal is full waits for its reader
            assert time.monotonic() < deadline, self.text[-2000:]
        os.close(self.master)
        return self.process.wait(limit_s)

    def _read(self) -> bool:
        """Take what the command has written by now; False once it has closed its terminal."""
        if select.select([self.master], [], [], 0.2)[0]:
            try:
                self.text += os.read(self.master, 1 << 16).decode(errors="replace")
            except OSError:  # Linux: EIO is the end of a terminal that nobody holds open
                return False
        return True


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_on_a_terminal_of_a_campaign_that_was_killed(tmp_path: Path, key: bytes) -> None:
    write_toy(tmp_path)
    process = start("run", "toy.toml", cwd=tmp_path)
    assert kill_when(process, tmp_path / "toy" / "ledger.sqlite", MOMENTS["first label running"])
    terminal = Terminal("status", "--watch", "toy", cwd=tmp_path)
    terminal.wait_for("no driver on this machine")
    with sqlite3.connect(tmp_path / "toy" / "ledger.sqlite") as connection:
        connection.execute("UPDATE campaigns SET stop_reason = 'something new'")
    terminal.wait_for("something new")
    assert terminal.press(key) == 0
    assert "\x1b[?1049l" in terminal.text, "the screen from before is back"
    assert "Traceback" not in terminal.text
