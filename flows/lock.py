"""One driver per campaign, by a kernel lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CampaignBusy(RuntimeError):
    """Another process drives this campaign."""


@contextmanager
def driver_lock(folder: Path) -> Iterator[None]:
    """Hold the campaign in `folder`; a second process gets `CampaignBusy` with the first one's process id."""
    path = folder / "driver.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise CampaignBusy(
                f"campaign {folder.name}: another process (pid {holder}) drives it; "
                f"watch it with `ionloop status {folder.name}`, or stop that process first"
            ) from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


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
