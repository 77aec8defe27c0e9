"""CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)) as a lean ASE calculator.

CHGNet's own calculator computes magnetic moments and stress at every call and keeps the graph of the
backward pass for training. This one runs the rearranged network of `chgnet_network` and shares it among any
number of calculator objects (a NEB wants one per image).
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from chgnet.model import CHGNet

    from calculators.chgnet_network import Network, Result

#: Where the network runs: "cpu", "cuda", ... Not a setting, because it does not belong into a label's
#: address.
DEVICE_VARIABLE = "IONLOOP_DEVICE"
#: The directory of fine-tuned models.
MODELS_VARIABLE = "IONLOOP_MODELS"


def load_model(model: str, device: str) -> CHGNet:
    """CHGNet by released name ("0.3.0", "r2scan"), or from a file of weights that `calculators.finetune`
    wrote.
    """
    from chgnet.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):  # it greets on every load
        if model.endswith(".pt"):
            import torch

            content = torch.load(Path(model), map_location="cpu", weights_only=True)
            network = CHGNet.from_dict(content).to(device)
        else:
            network = CHGNet.load(model_name=model, use_device=device, verbose=False)
    network.requires_grad_(False)
    network.eval()
    return network


@functools.cache
def shared_network(model: str, device: str) -> Network:
    """The network of a model, once per process."""
    from calculators.chgnet_network import Network

    return Network(load_model(model, device))


class ChgnetCalculator(Calculator):
    """Energy (eV), forces (eV/Å), stress (eV/Å^3, ASE's sign) and magnetic moments (μB, magnitudes) of a periodic
    structure.

    Args:
        model: released name of the weights; "0.3.0" is trained on PBE(+U) data of the Materials Project.
        device: "cpu", "cuda", ...; by default what the environment variable IONLOOP_DEVICE says, else "cpu".
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress", "magmoms"]  # noqa: RUF012 - ASE's own protocol

    def __init__(self, model: str = "0.3.0", device: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = shared_network(model, device or os.environ.get(DEVICE_VARIABLE, "cpu"))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        (result,) = self.network.evaluate([self.atoms])
        self.results = _as_ase(result)

    def batches(self) -> bool:
        """Do several structures in one pass pay? On a GPU; on a CPU a pass of three costs three passes (measured)."""
        return self.network.device.type != "cpu"

    @staticmethod
    def calculate_together(images: Sequence[Atoms]) -> None:
        """Fill the calculators of several structures in one pass of the network that they share.

        Structures whose results are up to date are left out.
        """
        stale = [image for image in images if image.calc.calculation_required(image, ["energy", "forces"])]
        if not stale:
            return
        for image, result in zip(stale, stale[0].calc.network.evaluate(stale), strict=True):
            image.calc.atoms, image.calc.results = image.copy(), _as_ase(result)


def _as_ase(result: Result) -> dict[str, Any]:
    return {
        "energy": result.energy_eV,
        "free_energy": result.energy_eV,
        "forces": result.forces,
        "stress": full_3x3_to_voigt_6_stress(result.stress),
        "magmoms": result.moments,
    }
