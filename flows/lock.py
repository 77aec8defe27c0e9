"""One driver per campaign, by a kernel lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class CampaignBusy(RuntimeError):
    """Another process drives this campaign."""


@contextmanager
def driver_lock(folder: Path) -> Iterator[None]:
    """Hold the campaign in `folder`; a second process gets `CampaignBusy` with the first one's process id."""
    path = folder / "driver.lock"
    with path.open("a+") as file:
        if not _taken(file):
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise CampaignBusy(
                f"campaign {folder.name}: another process (pid {holder}) drives it; "
                f"watch it with `ionloop status {folder.name}`, or stop that process first"
            )
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def _taken(file: IO[str], patience_s: float = 1.0) -> bool:
    """Take the lock; a driver holds it for long, who only looks (`driver_of`) for a moment."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def driver_of(folder: Path) -> int | None:
    """Process id of the campaign's driver; None if nobody drives it."""
    try:
        with (folder / "driver.lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
    except FileNotFoundError:
        return None
    return None


def stop_driver(folder: Path, patience_s: float = 60.0) -> bool:
    """Ask the campaign's driver on this machine to stop and wait until it has; False if there was none.

    Raises:
        CampaignBusy: it still runs after `patience_s`.
    """
    pid = driver_of(folder)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while driver_of(folder) == pid:
        if time.monotonic() > deadline:
            raise CampaignBusy(f"campaign {folder.name}: its driver (pid {pid}) has not stopped in {patience_s:g} s")
        time.sleep(0.2)
    return True
