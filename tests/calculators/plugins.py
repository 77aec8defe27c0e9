"""Calculators that go wrong in every way a real one can: what the tests' workers are asked to run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from calculators.label import Label, Work
from calculators.labeller import Labeller
from calculators.relax import Progress, silent


class Good(EMT):
    """A plug-in as a person would write it: a factory of ASE calculators with a fidelity."""

    fidelity = "good-neb"


class Softened(EMT):
    """EMT with 80 % of every energy: a cheap, wrong potential with nearly the right path, as CHGNet is to DFT."""

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        self.results = {name: 0.8 * value for name, value in self.results.items()}


class NotANumber(EMT):
    """Energies are fine until an atom has moved; then everything is NaN."""

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        self.results["forces"] = np.full_like(self.results["forces"], np.nan)


def own_mace() -> Any:
    """A MACE from a file, as docs/calculators.md tells people to bring weights of their own."""
    from mace.calculators import MACECalculator

    return MACECalculator(model_paths=os.environ["OWN_MACE"], device="cpu", default_dtype="float64")


own_mace.fidelity = "own-mace-neb"  # type: ignore[attr-defined]


class Raising(Calculator):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("SCF did not converge\nand a long traceback")


class Slow(EMT):
    """Each force call takes long enough for a test to interfere."""

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.05)
        super().calculate(*args, **kwargs)


class Paced(EMT):
    """Each force call takes PLUGIN_PACE_S seconds."""

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        time.sleep(float(os.environ.get("PLUGIN_PACE_S", "0")))
        super().calculate(*args, **kwargs)


class MissingExecutable(Calculator):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        os.execv("/nonexistent/vasp_std", ["vasp_std"])


class _Odd(Labeller):
    fidelity = "odd"

    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        progress({"stage": "odd", "step": 0, "pid": os.getpid()})
        self.misbehave(folder)
        label.value_eV, label.converged = 0.5, True

    def misbehave(self, folder: Path) -> None:
        """Nothing by default."""


class Answering(_Odd):
    pass


class Hanging(_Odd):
    def misbehave(self, folder: Path) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)


class Crashing(_Odd):
    def misbehave(self, folder: Path) -> None:
        print("about to die", file=__import__("sys").stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


class CrashingOnce(_Odd):
    def misbehave(self, folder: Path) -> None:
        marker = folder / "crashed"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Hungry(_Odd):
    def misbehave(self, folder: Path) -> None:
        eaten = []
        while True:
            eaten.append(np.ones(4_000_000))
            time.sleep(0.01)


class Chatty(_Odd):
    """Prints between the answers, as libraries do."""

    def misbehave(self, folder: Path) -> None:
        print("CHGNet will run on cpu\n{not json", flush=True)


nothing = 3
