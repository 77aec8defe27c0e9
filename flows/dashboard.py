"""`ionloop status --watch`: a campaign on one live screen, whether or not anybody drives it at the moment."""

from __future__ import annotations

import json
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.ledger import LedgerError
from flows import tables
from flows.lock import driver_of
from flows.looks import Status
from flows.progress import PROGRESS_FILE
from flows.wording import duration

#: Seconds between looks at the ledger.
EVERY_S = 2.0

#: What the driver has noted down about the things it is doing (flows.progress).
Notes = Sequence[Mapping[str, object]]


def watch(load: Callable[[], Status], folder: Path, console: Console, every_s: float = EVERY_S) -> None:
    """Show the campaign until q, Ctrl-C or the end of the input; a database that is away is waited for.

    Args:
        load: reads the campaign anew.
        folder: the campaign's, where its driver leaves notes.
    """
    screen: RenderableType = Text("reading the ledger")
    with keys() as pressed, Live(screen, console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                screen = dashboard(load(), folder)
            except LedgerError as error:
                screen = Group(Text(str(error), style="red"), screen)
            live.update(screen, refresh=True)
            if pressed(every_s) in {"q", "Q", "\x03", "\x04", ""}:
                return


def dashboard(status: Status, folder: Path) -> RenderableType:
    """One screen: where the campaign stands, and what its driver is doing right now."""
    pid = driver_of(folder)
    notes = read_notes(folder) if pid else []
    parts: list[RenderableType] = [tables.status(status)]
    if notes:
        parts.append(Panel(_doing(notes), title="Now", title_align="left", border_style="cyan", padding=(0, 2)))
    parts.append(_footer(status, folder, pid))
    return Group(*parts)


def read_notes(folder: Path) -> Notes:
    """What the driver was doing a second ago; nothing where it has not said so."""
    try:
        notes = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return notes if isinstance(notes, list) else []


def _doing(notes: Notes) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="ellipsis", no_wrap=True)
    grid.add_column(width=18)
    grid.add_column(overflow="ellipsis", no_wrap=True, style="dim")
    grid.add_column(justify="right", no_wrap=True)
    for note in notes:
        total, completed, seconds = (note.get(key) for key in ("total", "completed", "seconds"))
        bar: RenderableType = ""
        if isinstance(total, int | float) and isinstance(completed, int | float) and total:
            bar = ProgressBar(total=total, completed=completed, width=18)
        took = duration(seconds) if isinstance(seconds, int | float) else ""
        grid.add_row(Text(str(note.get("what", ""))), bar, Text(str(note.get("note", ""))), took)
    return grid


def _footer(status: Status, folder: Path, pid: int | None) -> Text:
    state = f"driver: pid {pid}" if pid else "no driver on this machine"
    if not pid and status.campaign.state == "running":
        state += f"; go on with: ionloop resume {folder}"
    return Text(f" {status.taken:%H:%M:%S} UTC   {state}   q: leave", style="dim")


@contextmanager
def keys() -> Iterator[Callable[[float], str | None]]:
    """Single key presses from the terminal: a function that waits so many seconds and returns a key, or None.

    An empty string is the end of the input. Ctrl-C comes as a key too, so that the screen is put back in order.
    """
    stream = sys.stdin
    if not stream.isatty():
        yield lambda wait_s: _read(stream.fileno(), wait_s)
        return
    before = termios.tcgetattr(stream)
    try:
        tty.setcbreak(stream)
        changed = termios.tcgetattr(stream)
        changed[3] &= ~termios.ISIG
        termios.tcsetattr(stream, termios.TCSADRAIN, changed)
        yield lambda wait_s: _read(stream.fileno(), wait_s)
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def _read(descriptor: int, wait_s: float) -> str | None:
    ready, _, _ = select.select([descriptor], [], [], wait_s)
    return os.read(descriptor, 1).decode(errors="replace") if ready else None
