"""A calculator that answers at once: what is left of a label's time is what is around it."""

from __future__ import annotations

from pathlib import Path

from calculators.label import Label, Work
from calculators.labeller import Labeller
from calculators.relax import Progress, silent


class Instant(Labeller):
    """No physics: the barrier is a number from the label's key."""

    fidelity = "instant"

    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        label.value_eV, label.converged = 0.2 + 0.3 * int(label.key[:8], 16) / 2**32, True
