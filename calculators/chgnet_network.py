"""CHGNet's forward pass, rearranged to need a third of the arithmetic. Same weights, same numbers.

Every convolution of CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)) begins with a linear map of
concatenated
features, gathered for every edge or angle: W [a_i, b_ij, a_j]. Here the map is split by its inputs, W_a a_i
+ W_b b_ij + W_c a_j, so that each part is computed once for every atom and once for every bond before
anything is gathered; core and gate of a gated MLP share one product; only bonds of the bond graph go through
the bond convolutions (the others do not change there); and the derivative is taken with respect to bond
vectors, from which forces and stress both follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from calculators.chgnet_graph import Graph, build_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chgnet.model import CHGNet

#: What this rearrangement takes for granted of a model's arguments. All released 0.3.0 weights have it.
ASSUMED = {
    "gMLP_norm": "layer",
    "readout_norm": "layer",
    "non_linearity": "silu",
    "mlp_first": True,
    "mlp_out_bias": False,
    "angle_layer_hidden_dim": 0,
    "update_bond": True,
    "update_angle": True,
}


@dataclass(frozen=True)
class Result:
    """Energy (eV), forces (n_atoms, 3) in eV/Å, stress (3, 3) in eV/Å^3 and magnetic moments (n_atoms,) in Bohr
    magnetons (magnitudes) of one structure.
    """

    energy_eV: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    moments: NDArray[np.float64]


class Gate:
    """A gated MLP silu(LN(core)) * sigmoid(LN(gate)) whose first linear map is split by its inputs.

    Args:
        inputs: widths of the concatenated features that the first map takes, in their order.
    """

    def __init__(self, mlp: Any, inputs: Sequence[int]) -> None:
        self.core = [layer for layer in mlp.mlp_core.layers if isinstance(layer, torch.nn.Linear)]
        self.gate = [layer for layer in mlp.mlp_gate.layers if isinstance(layer, torch.nn.Linear)]
        self.inputs = list(inputs)
        self.second = list(zip(self.core[1:], self.gate[1:], strict=True))
        self.norms = mlp.bn1, mlp.bn2
        self.split()

    def split(self) -> None:
        """Take the parts of the first map from the model's weights as they are now."""
        weight = torch.cat([self.core[0].weight, self.gate[0].weight]).T.contiguous()
        self.parts = [part.contiguous() for part in weight.split(self.inputs)]
        self.bias = torch.cat([self.core[0].bias, self.gate[0].bias])

    def __call__(self, hidden: Tensor) -> Tensor:
        """Finish from the summed parts (n, 2 width), bias not yet added."""
        hidden = hidden + self.bias
        core, gate = hidden.chunk(2, dim=1)
        for core_layer, gate_layer in self.second:
            core, gate = functional.silu(hidden).chunk(2, dim=1)
            core, gate = core_layer(core), gate_layer(gate)
        return functional.silu(self.norms[0](core)) * torch.sigmoid(self.norms[1](gate))


class Network:
    """Energies, forces and stresses of structures by a CHGNet model.

    Args:
        model: its parameters are used as they are now; after they have changed, `split` takes them over.

    Raises:
        ValueError: the model's architecture is not the one that this rearrangement knows.
    """

    def __init__(self, model: CHGNet) -> None:
        self.model: Any = model  # torch types its submodules as "Tensor or Module"
        for name, value in ASSUMED.items():
            if model.model_args.get(name) != value:
                raise ValueError(f"CHGNet model with {name}={model.model_args.get(name)!r}: only {value!r} is known")
        self.device = next(model.parameters()).device
        width = model.model_args["atom_fea_dim"]
        with torch.no_grad():
            self.atom_gates = [Gate(layer.twoBody_atom, [width] * 3) for layer in self.model.atom_conv_layers]
            self.bond_gates = [Gate(layer.twoBody_bond, [width] * 4) for layer in self.model.bond_conv_layers]
            self.angle_gates = [Gate(layer.twoBody_bond, [width] * 4) for layer in self.model.angle_layers]

    def split(self) -> None:
        """Take over the model's weights; outside `torch.no_grad` what follows is differentiable by them."""
        for gate in (*self.atom_gates, *self.bond_gates, *self.angle_gates):
            gate.split()

    def graph(self, structures: Sequence[Atoms]) -> Graph:
        """One graph of all structures, with this model's cutoffs."""
        converter = self.model.graph_converter
        return build_graph(structures, converter.atom_graph_cutoff, converter.bond_graph_cutoff)

    def evaluate(self, structures: Sequence[Atoms]) -> list[Result]:
        """All structures in one pass; cost grows linearly with their atoms."""
        graph = self.graph(structures)
        vectors = torch.tensor(graph.vectors_A, dtype=torch.float32, device=self.device, requires_grad=True)
        site_energies, moments = self.sites(graph, vectors)
        (gradient,) = torch.autograd.grad(site_energies.sum(), vectors)
        energies = site_energies.detach().cpu().numpy().astype(np.float64)
        reference = self.model.composition_model
        if reference is not None:
            shifts = reference.fc.weight.detach().cpu().numpy().astype(np.float64)[0]
            energies = energies + shifts[graph.numbers - 1]
        return _results(
            structures,
            graph,
            energies,
            gradient.cpu().numpy().astype(np.float64),
            moments.detach().cpu().numpy().astype(np.float64),
        )

    def sites(self, graph: Graph, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (eV, without its element's reference) and magnetic moment (Bohr magnetons) of every atom.

        Both are differentiable with respect to the bond vectors (Å).
        """
        model = self.model

        def index(array: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        center, neighbour, bond, short = map(index, (graph.center, graph.neighbour, graph.bond, graph.short))
        angle_center, angle_i, angle_j = map(index, (graph.angle_center, graph.angle_i, graph.angle_j))
        lengths = vectors.norm(dim=1)
        basis = model.bond_basis_expansion
        radial = basis.rbf_expansion_ag(lengths)
        atoms = model.atom_embedding(index(graph.numbers - 1))
        bonds = model.bond_embedding(radial)
        weights = model.bond_weights_ag(radial)

        short_vectors, short_lengths = _take(vectors, short), _take(lengths, short)
        units = short_vectors / short_lengths[:, None]
        short_weights = model.bond_weights_bg(basis.rbf_expansion_bg(short_lengths))
        sign = torch.tensor(graph.sign, dtype=torch.float32, device=self.device)
        cosine = (_take(units, angle_i) * _take(units, angle_j)).sum(1) * sign * (1 - 1e-6)
        angles = model.angle_embedding(model.angle_basis_expansion.fourier_expansion(torch.acos(cosine)))
        angle_weights = _take(short_weights, angle_i) * _take(short_weights, angle_j)
        short_bonds = _take(bonds, short)

        last = len(self.bond_gates) - 1
        before_last = atoms
        for number, (layer, gate) in enumerate(zip(model.atom_conv_layers, self.atom_gates, strict=True)):
            from_center, from_bond, from_neighbour = gate.parts
            hidden = _take(atoms @ from_center, center)
            hidden = hidden + _take(bonds @ from_bond, bond) + _take(atoms @ from_neighbour, neighbour)
            messages = gate(hidden) * _take(weights, bond)
            atoms = layer.mlp_out(_summed(messages, center, len(atoms))) + atoms
            if number > last:
                break
            before_last = atoms
            bond_layer, bond_gate = model.bond_conv_layers[number], self.bond_gates[number]
            hidden = _angle_input(bond_gate, short_bonds, angles, atoms, angle_i, angle_j, angle_center)
            messages = bond_gate(hidden) * angle_weights
            short_bonds = bond_layer.mlp_out(_summed(messages, angle_i, len(short_bonds))) + short_bonds
            bonds = bonds.index_copy(0, short, short_bonds)
            if number == last:
                continue  # the last angle update feeds nothing
            angle_gate = self.angle_gates[number]
            hidden = _angle_input(angle_gate, short_bonds, angles, atoms, angle_i, angle_j, angle_center)
            angles = angle_gate(hidden) + angles
        energies: Tensor = model.mlp(model.readout_norm(atoms)).view(-1)
        return energies, model.site_wise(before_last).abs().view(-1)


def _angle_input(
    gate: Gate, bonds: Tensor, angles: Tensor, atoms: Tensor, i: Tensor, j: Tensor, center: Tensor
) -> Tensor:
    from_i, from_j, from_angle, from_center = gate.parts
    hidden = _take(bonds @ from_i, i) + _take(bonds @ from_j, j) + _take(atoms @ from_center, center)
    return torch.addmm(hidden, angles, from_angle)


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """Rows by index; its derivative is an index_add, several times faster than that of plain indexing."""
    return rows.index_select(0, index)


def _summed(rows: Tensor, owner: Tensor, owners: int) -> Tensor:
    """Sum of the rows of each owner (owners, width)."""
    return rows.new_zeros(owners, rows.shape[1]).index_add_(0, owner, rows)


def _results(
    structures: Sequence[Atoms],
    graph: Graph,
    energies: NDArray[np.float64],
    gradient: NDArray[np.float64],
    moments: NDArray[np.float64],
) -> list[Result]:
    """Forces F = -dE/dx and stress (1/V) sum over bonds of v (x) dE/dv, from the derivative by bond vectors
    v.
    """
    forces = np.zeros((len(graph.numbers), 3))
    np.add.at(forces, graph.first, -gradient)
    np.add.at(forces, graph.second, gradient)
    results = []
    for number, atoms in enumerate(structures):
        own = graph.owner == number
        bonds = own[graph.first]
        virial = graph.vectors_A[bonds].T @ gradient[bonds]
        stress = (virial + virial.T) / 2 / atoms.cell.volume
        results.append(Result(float(energies[own].sum()), forces[own], stress, moments[own]))
    return results
