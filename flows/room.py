"""A full disk is nobody's failed label: the campaign stops, and goes on when there is room again."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

from flows.errors import UserError

#: What must fit for labels to be worth trying (bytes).
ROOM = 1 << 18
#: So long another label, which is about to fail and to give its room back, is waited for (s).
PATIENCE_S = 10.0


class OutOfSpace(UserError):
    """The disk of the labels is full; the message says which, and how to go on."""


def check_room(folder: Path) -> None:
    """After a failed attempt: give back the room that it took if the disk is full.

    Args:
        folder: of the label. It is emptied only where nothing else could be written any more.

    Raises:
        OutOfSpace: the disk is full even so.
    """
    if has_room(folder.parent):
        return
    shutil.rmtree(folder, ignore_errors=True)
    deadline = time.monotonic() + PATIENCE_S
    while not has_room(folder.parent):
        if time.monotonic() > deadline:
            raise OutOfSpace(
                f"no space left on the disk of {folder.parent}; nothing is lost: free some, then resume the campaign"
            )
        time.sleep(0.2)


def has_room(folder: Path) -> bool:
    """Whether a small file can be written in a folder: what a quota allows is known in no other way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * ROOM)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return False
        raise
    return True
