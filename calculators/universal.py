"""Universal machine-learned potentials through matcalc, which knows how to load each of them.

Each name stands for one set of weights, so that a fidelity is one potential and not whatever an option says; for
others of matcalc's models see docs/calculators.md. Weights are downloaded on first use.

    pip install "ionloop[mace]"        # or sevennet, orb, mattersim, matgl
"""

from __future__ import annotations

import copy
import functools
from typing import Any

from calculators.failures import CalculationFailed
from calculators.label import FailureKind
from calculators.labeller import NebLabeller

#: By name: the distribution that computes, and the canonical name of its weights in matcalc.
MODELS = {
    "mace": ("mace-torch", "MACE-MPA-0-medium"),
    "sevennet": ("sevenn", "SevenNet-OAM-MF"),
    "orb": ("orb-models", "ORB-MPtrj-Alex-v3-conservative-inf"),
    "mattersim": ("mattersim", "MatterSim-v1.0.0-5M"),
    "matgl": ("matgl", "TensorNet-MatPES-PBE-2025.2"),
}


@functools.cache
def _loaded(model: str) -> Any:
    from matcalc import PESCalculator

    try:
        return PESCalculator.load_universal(model)
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CalculationFailed(
            FailureKind.TRANSIENT,
            f"the weights of {model} could not be loaded ({said}); they are downloaded on first use: "
            "load them once where there is a network, and bring the library's cache along",
            "start",
        ) from error


def _potential(model: str) -> Any:
    """A calculator of its own for every image, over one set of weights."""
    own = copy.copy(_loaded(model))
    own.atoms, own.results = None, {}
    return own


class UniversalLabeller(NebLabeller):
    """A potential of `MODELS`, or why it cannot run here."""

    def __init__(self, name: str) -> None:
        distribution, self.model = MODELS[name]
        super().__init__(name, functools.partial(_potential, self.model), packages=("matcalc", distribution))

    def versions(self) -> dict[str, str]:
        return super().versions() | {"model": self.model}

    def unavailable(self) -> str | None:
        missing = [package for package, found in super().versions().items() if found == "missing"]
        return f"needs {' and '.join(missing)}: pip install 'ionloop[{self.name}]'" if missing else None


mace = UniversalLabeller("mace")
sevennet = UniversalLabeller("sevennet")
orb = UniversalLabeller("orb")
mattersim = UniversalLabeller("mattersim")
matgl = UniversalLabeller("matgl")
