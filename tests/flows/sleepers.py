"""Labellers that only take time, to test scheduling, streaming and scale with. Their values are no physics."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from calculators.label import Label, Work
from calculators.labeller import Labeller
from calculators.relax import Progress, silent

#: What to name in a configuration.
CHEAP = "tests.flows.sleepers:Cheap"
DEAR = "tests.flows.sleepers:Dear"


class Dear(Labeller):
    """Sleeps for `seconds`; the "barrier" (eV) follows from the numbers of atoms."""

    fidelity = "dear"

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"seconds": 0.2} | given

    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        with (folder / "computed").open("a") as counted:
            counted.write(f"{os.getpid()}\n")
        time.sleep(work.settings["seconds"])
        label.value_eV, label.converged = value_eV(work), True


class Waiting(Dear):
    """Waits until a file is there: for as many at once as one wants to see."""

    fidelity = "waiting"

    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        (folder / "computed").write_text(f"{os.getpid()}\n")
        while not Path(work.settings["go"]).exists():
            time.sleep(0.5)
        label.value_eV, label.converged = value_eV(work), True


class Cheap(Dear):
    fidelity = "cheap"


def value_eV(work: Work) -> float:
    """A smooth function of the composition."""
    numbers = work.structure.numbers
    return 0.2 + 0.001 * sum(numbers) / len(numbers)
