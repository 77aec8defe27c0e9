"""What the terminal shows while a campaign runs: rounds, labels with their stage, training epochs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

#: In a campaign's folder: what its driver is doing, for `ionloop status --watch` in another terminal.
PROGRESS_FILE = "progress.json"
#: Seconds between two writings of that file.
NOTE_S = 1.0


class Reporter:
    """Progress bars on a terminal, plain lines elsewhere. Safe to call from label threads."""

    def __init__(self, console: Console | None = None, folder: Path | None = None) -> None:
        """
        Args:
            folder: of the campaign; what the bars say is noted down there about once a second.
        """
        self.console = console or Console()
        self._file = None if folder is None else folder / PROGRESS_FILE
        self._noted = -NOTE_S
        self._lock = threading.Lock()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )

    @contextmanager
    def running(self) -> Iterator[Reporter]:
        with self._progress:
            yield self

    def say(self, text: str) -> None:
        """One line that stays on the screen."""
        self._progress.console.print(text, markup=False, highlight=True, soft_wrap=True)

    @contextmanager
    def bar(self, description: str, total: float | None = None) -> Iterator[Bar]:
        """A bar for the length of the block; `total` None means that only a pulse can be shown."""
        task = self._progress.add_task(description, total=total, note="")
        try:
            yield Bar(self, task)
        finally:
            self._progress.remove_task(task)
            self._note_down()

    def update(self, task: TaskID, **changes: Any) -> None:
        """Change what a bar says."""
        self._progress.update(task, **changes)
        self._note_down()

    def _note_down(self) -> None:
        """Write what all bars say, unless that was done a moment ago. A full disk is not its business."""
        with self._lock:
            if self._file is None or time.monotonic() - self._noted < NOTE_S:
                return
            self._noted = time.monotonic()
            notes = [
                {
                    "what": task.description.strip(),
                    "note": task.fields["note"],
                    "completed": task.completed,
                    "total": task.total,
                    "seconds": task.elapsed,
                }
                for task in self._progress.tasks
            ]
            part = self._file.with_suffix(".part")
            with suppress(OSError):
                part.write_text(json.dumps(notes), encoding="utf-8")
                part.replace(self._file)


class Bar:
    """One line of progress."""

    def __init__(self, reporter: Reporter, task: TaskID) -> None:
        self._reporter = reporter
        self._task = task

    def advance(self, note: str = "") -> None:
        self._reporter.update(self._task, advance=1, note=note)

    def update(self, note: str, completed: float | None = None, total: float | None = None) -> None:
        self._reporter.update(self._task, note=note, completed=completed, total=total)


def stage_note(event: dict[str, Any]) -> str:
    """A label's progress event in words: "neb step 12, fmax 0.31 eV/Å, 72 force calls"."""
    words = [str(event.get("stage", ""))]
    if "step" in event:
        words.append(f"step {event['step']}")
    text = " ".join(words)
    if event.get("fmax_eV_per_A") is not None:
        text += f", fmax {event['fmax_eV_per_A']:.2f} eV/Å"
    if event.get("force_calls"):
        text += f", {event['force_calls']} force calls"
    return text
