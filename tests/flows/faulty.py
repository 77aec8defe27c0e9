"""A calculator that goes wrong in 30 % of its calls, in four ways; which calls, a hash decides.

Its good labels are quick and deterministic (no physics: a number from the structure's hash), so that 200 of them test
what is around them.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np

from calculators.label import Label, Work
from calculators.labeller import Labeller
from calculators.relax import Progress, silent

FAULTS = ("raises", "hangs", "returns NaN", "fills the disk")
SHARE = 0.3


def fault(key: str, call: int) -> str | None:
    """What goes wrong in the n-th call (from 0) for the label of this key; None if nothing does."""
    draw = int.from_bytes(hashlib.sha256(f"{key} {call}".encode()).digest()[:4]) / 2**32
    return FAULTS[int(draw / SHARE * len(FAULTS))] if draw < SHARE else None


def barrier_eV(key: str) -> float:
    return 0.2 + 0.3 * int(key[:8], 16) / 2**32


class Faulty(Labeller):
    fidelity = "faulty"

    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        match fault(label.key, count_call(folder)):
            case "raises":
                raise RuntimeError("SCF did not converge")
            case "hangs":
                time.sleep(3600)
            case "returns NaN":
                label.value_eV = float(np.float64(0) * np.inf)
                return
            case "fills the disk":
                with (folder / "scratch").open("wb") as scratch:
                    while True:
                        scratch.write(b"\0" * (1 << 16))
        label.value_eV, label.converged = barrier_eV(label.key), True


def count_call(folder: Path) -> int:
    """The number of this call for this label; kept beside the labels' disk, which is emptied when it is full."""
    tally = folder.parent.parent / "calls" / folder.name
    tally.parent.mkdir(exist_ok=True)
    with tally.open("ab") as stream:
        stream.write(b".")
        return stream.tell() - 1
