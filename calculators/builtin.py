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


chgnet = NebLabeller("chgnet", _chgnet, packages=("chgnet",))
bvse = BvseLabeller()
#: Toys: EMT knows a few fcc metals, Lennard-Jones knows no chemistry. For tests and demonstrations only.
emt = NebLabeller("emt", _emt, packages=("ase",))
lj = NebLabeller("lj", _lennard_jones, packages=("ase",))
