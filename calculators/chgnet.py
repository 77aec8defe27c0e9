"""CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)) as a lean ASE calculator.

CHGNet's own calculator always computes energy, forces, stress and magnetic moments, and keeps the graph of
the backward pass for training. A NEB needs energy and forces; so this one computes what is asked for, frees
what is not needed, and shares one model among any number of calculator objects (one per image).
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from chgnet.model import CHGNet

#: Where the network runs: "cpu", "cuda", ... Not a setting, because it does not belong into a label's
#: address.
DEVICE_VARIABLE = "IONLOOP_DEVICE"


@functools.cache
def load_model(model: str, device: str) -> CHGNet:
    """CHGNet by released name ("0.3.0", "r2scan") with its parameters frozen, once per process."""
    from chgnet.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):  # it greets on every load
        network = CHGNet.load(model_name=model, use_device=device, verbose=False)
    network.requires_grad_(False)
    network.eval()
    network.graph_converter.set_isolated_atom_response("ignore")
    return network


class ChgnetCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, only when asked for, stress (eV/Å^3, ASE's sign) of a periodic
    structure.

    Args:
        model: released name of the weights; "0.3.0" is trained on PBE(+U) data of the Materials Project.
        device: "cpu", "cuda", ...; by default what the environment variable IONLOOP_DEVICE says, else "cpu".
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - ASE's own protocol

    def __init__(self, model: str = "0.3.0", device: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device = device or os.environ.get(DEVICE_VARIABLE, "cpu")
        self.network = load_model(model, self.device)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        self.results = self._evaluate(self.atoms, stress="stress" in (properties or []))

    def _evaluate(self, atoms: Atoms, stress: bool) -> dict[str, Any]:
        import torch
        from chgnet.model.model import BatchedGraph
        from pymatgen.core import Lattice, Structure

        structure = Structure(Lattice(atoms.cell.array), atoms.numbers, atoms.get_scaled_positions())
        graph = self.network.graph_converter(structure).to(self.device)
        batch = BatchedGraph.from_graphs(
            [graph],
            bond_basis_expansion=self.network.bond_basis_expansion,
            angle_basis_expansion=self.network.angle_basis_expansion,
            compute_stress=stress,
        )
        energy_per_atom = self.network._compute(batch)["e"]
        wanted = [batch.atom_positions[0], batch.strains[0]] if stress else [batch.atom_positions[0]]
        gradients = torch.autograd.grad(energy_per_atom.sum() * len(atoms), wanted)
        reference = self.network.composition_model([graph])
        energy = float((energy_per_atom + reference).detach()) * len(atoms)
        results: dict[str, Any] = {
            "energy": energy,
            "free_energy": energy,
            "forces": -gradients[0].cpu().numpy().astype(np.float64),
        }
        if stress:
            # dE/d(strain) / V: as CHGNet does, which ASE's convention shares in sign.
            tensor = gradients[1].cpu().numpy().astype(np.float64) / atoms.cell.volume
            results["stress"] = full_3x3_to_voigt_6_stress((tensor + tensor.T) / 2)
        return results


def gpa(stress_eV_per_A3: float) -> float:
    """Convert a stress from eV/Å^3 to GPa."""
    return stress_eV_per_A3 / units.GPa
