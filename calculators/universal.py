"""Universal machine-learned potentials through matcalc, which knows how to load each of them.

Each name stands for one set of weights, so that a fidelity is one potential and not whatever an option says; for
others of matcalc's models see docs/calculators.md. Most weights are downloaded on first use.

    pip install "ionloop[mace]"        # or sevennet, orb, mattersim, matgl
"""

from __future__ import annotations

import copy
import functools
import sys
from dataclasses import dataclass
from typing import Any

from calculators.failures import CalculationFailed
from calculators.label import FailureKind
from calculators.labeller import NebLabeller


@dataclass(frozen=True)
class Potential:
    """What computes, and with which weights.

    Attributes:
        extra: of this project, that installs it.
        distribution: that computes.
        model: canonical name of the weights in matcalc.
        shipped: the weights are part of the distribution; others are downloaded on first use.
        python: the oldest Python that it can be installed for.
    """

    extra: str
    distribution: str
    model: str
    shipped: bool = False
    python: tuple[int, int] = (3, 11)


MODELS = {
    "mace": Potential("mace", "mace-torch", "MACE-MPA-0-medium"),
    "sevennet": Potential("sevennet", "sevenn", "SevenNet-OAM-MF"),
    "sevennet-0": Potential("sevennet", "sevenn", "SevenNet-MPtrj-0", shipped=True),
    "sevennet-l3i5": Potential("sevennet", "sevenn", "SevenNet-MPtrj-l3i5", shipped=True),
    "orb": Potential("orb", "orb-models", "ORB-MPtrj-Alex-v3-conservative-inf", python=(3, 12)),
    "mattersim": Potential("mattersim", "mattersim", "MatterSim-v1.0.0-5M"),
    "matgl": Potential("matgl", "matgl", "TensorNet-MatPES-PBE-2025.2"),
}


@functools.cache
def _loaded(model: str) -> Any:
    from matcalc import PESCalculator

    try:
        return PESCalculator.load_universal(model)
    except Exception as error:
        raise CalculationFailed(FailureKind.TRANSIENT, why_not_loaded(model, error), "start") from error


def why_not_loaded(model: str, error: BaseException) -> str:
    """One line with what to do, where that is known.

    A failed download hides behind many an exception; what a missing or unfitting package raises says so itself.
    """
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    if any(isinstance(cause, OSError) and not isinstance(cause, PermissionError) for cause in causes):
        said = f"the download fails or the file is not there: {said}"
        advice = "; load them once where there is a network, and bring the library's cache along"
    elif any(isinstance(cause, ImportError) for cause in causes):
        advice = ""
    else:
        advice = "; if nothing could be downloaded, bring the library's cache along from where there is a network"
    return f"the weights of {model} could not be loaded ({said}){advice}"


def _potential(model: str) -> Any:
    """A calculator of its own for every image, over one set of weights."""
    own = copy.copy(_loaded(model))
    own.atoms, own.results = None, {}
    return own


class UniversalLabeller(NebLabeller):
    """A potential of `MODELS`, or why it cannot run here."""

    def __init__(self, name: str) -> None:
        self.potential = MODELS[name]
        make = functools.partial(_potential, self.potential.model)
        super().__init__(name, make, packages=("matcalc", self.potential.distribution))

    def versions(self) -> dict[str, str]:
        return super().versions() | {"model": self.potential.model}

    def unavailable(self) -> str | None:
        missing = [package for package, found in super().versions().items() if found == "missing"]
        if sys.version_info < self.potential.python:
            oldest = ".".join(map(str, self.potential.python))
            return f"{self.potential.distribution} needs Python {oldest} or newer, this is {sys.version.split()[0]}"
        return f"needs {' and '.join(missing)}: pip install 'ionloop[{self.potential.extra}]'" if missing else None

    def remark(self) -> str:
        if self.potential.shipped or self.unavailable():
            return ""
        return f"its weights are downloaded on first use; try: ionloop calculators check {self.name}"


mace = UniversalLabeller("mace")
sevennet = UniversalLabeller("sevennet")
sevennet_0 = UniversalLabeller("sevennet-0")
sevennet_l3i5 = UniversalLabeller("sevennet-l3i5")
orb = UniversalLabeller("orb")
mattersim = UniversalLabeller("mattersim")
matgl = UniversalLabeller("matgl")
