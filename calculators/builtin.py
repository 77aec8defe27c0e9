"""The calculators that come with the package. Heavy imports happen when a factory is called, not before."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from calculators.labeller import BvseLabeller, NebLabeller


def _chgnet(**options: Any) -> Any:
    from calculators.chgnet import ChgnetCalculator

    return ChgnetCalculator(**options)


def _emt(**options: Any) -> Any:
    from ase.calculators.emt import EMT

    return EMT(**options)


def _lennard_jones(**options: Any) -> Any:
    from ase.calculators.lj import LennardJones

    return LennardJones(**({"sigma": 2.5, "epsilon": 0.1, "rc": 6.0, "smooth": True} | options))


class FineTunedChgnet(NebLabeller):
    """A model of `calculators.finetune` under its own name and fidelity; its weights are part of a label's key."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, functools.partial(_chgnet, model=str(path)), packages=("chgnet",))
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    def versions(self) -> dict[str, str]:
        return super().versions() | {"model": self.digest}


class ChgnetLabeller(NebLabeller):
    """One set of released weights: which one is the name's matter, so that a fidelity never holds two of them."""

    def __init__(self, name: str, model: str) -> None:
        super().__init__(name, functools.partial(_chgnet, model=model), packages=("chgnet",))

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        complete = super().settings(given)
        if "model" in complete["options"]:
            raise ValueError(
                f"settings of {self.name}: options.model would give other labels the same fidelity; "
                "ask for calculator chgnet, chgnet-r2scan or a fine-tuned one by name"
            )
        return complete


#: CHGNet 0.3.0, trained on PBE(+U) data of the Materials Project, and its r2SCAN transfer.
chgnet = ChgnetLabeller("chgnet", "0.3.0")
chgnet_r2scan = ChgnetLabeller("chgnet-r2scan", "r2scan")
bvse = BvseLabeller()
#: Toys: EMT knows a few fcc metals, Lennard-Jones knows no chemistry. For tests and demonstrations only.
emt = NebLabeller("emt", _emt, packages=("ase",))
lj = NebLabeller("lj", _lennard_jones, packages=("ase",))
