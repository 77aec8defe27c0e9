"""Frames as targets, and what a CHGNet model makes of them, differentiable by its weights.

Runs on the rearranged network (`calculators.chgnet_network`), which needs a third of the arithmetic of CHGNet's own
forward pass; the derivative of the forces by the weights goes through the same bond vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.units import GPa
from numpy.typing import NDArray
from torch import Tensor

from calculators.chgnet_network import Network

Rows = NDArray[np.int64]

#: What is reported of an answer, by the name of its loss.
ERRORS = {"energy": "energy_eV_per_atom", "force": "force_eV_per_A", "moment": "moment_muB"}


@dataclass(frozen=True)
class Answer:
    """Of some frames side by side: energies (n,) in eV/atom, forces (n_atoms, 3) in eV/Å, stresses (n, 3, 3) in GPa,
    moments (n_atoms,) in Bohr magnetons.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor
    moments: Tensor


class Targets:
    """Frames with their labels as tensors. Stresses and moments may be missing."""

    def __init__(self, frames: Sequence[Atoms]) -> None:
        self.frames = list(frames)
        self.energy = torch.tensor([_energy(frame) for frame in frames], dtype=torch.float32)
        self.forces = [_tensor(frame.get_forces()) for frame in frames]
        # CHGNet's sign of stress is ASE's, in GPa; it knows the size of a moment, not its sign.
        self.stress = [_optional(lambda f=frame: f.get_stress(voigt=False) / GPa) for frame in frames]
        self.moments = [_optional(lambda f=frame: np.abs(f.get_magnetic_moments())) for frame in frames]


class Student:
    """A CHGNet model on its way to other labels."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.network = Network(model)

    def answer(self, frames: Sequence[Atoms], learning: bool = False) -> Answer:
        """Energies, forces, stresses and moments; with `learning` differentiable by the weights."""
        network = self.network
        with torch.set_grad_enabled(learning):
            network.split()
        graph = network.graph(frames)
        vectors = torch.tensor(graph.vectors_A, dtype=torch.float32, requires_grad=True)
        site, moments = network.sites(graph, vectors)
        (gradient,) = torch.autograd.grad(site.sum(), vectors, create_graph=learning, retain_graph=True)
        owner, first, second = map(torch.from_numpy, (graph.owner, graph.first, graph.second))
        size = torch.bincount(owner).float()
        reference = self.model.composition_model.fc.weight[0].detach()[torch.from_numpy(graph.numbers) - 1]
        energy = torch.zeros(len(frames)).index_add(0, owner, site + reference) / size
        forces = torch.zeros(len(owner), 3).index_add(0, first, -gradient).index_add(0, second, gradient)
        virial = torch.zeros(len(frames), 3, 3).index_add(
            0, owner[first], vectors.detach()[:, :, None] * gradient[:, None, :]
        )
        volume = torch.tensor([frame.cell.volume for frame in frames], dtype=torch.float32)
        stress = (virial + virial.transpose(1, 2)) / 2 / volume[:, None, None] / GPa
        answer = Answer(energy, forces, stress, moments)
        return answer if learning else Answer(*(part.detach() for part in vars(answer).values()))

    def losses(self, targets: Targets, rows: Rows) -> dict[str, Tensor]:
        """Mean squared errors over these rows; of stresses and moments where all of the rows have them."""
        answer = self.answer([targets.frames[row] for row in rows], learning=True)
        return {name: torch.nn.functional.mse_loss(*pair) for name, pair in compared(answer, targets, rows).items()}

    def errors(self, targets: Targets, rows: Rows) -> dict[str, float]:
        """Mean absolute errors: energy (eV/atom), force components (eV/Å), moments if known (Bohr magnetons)."""
        found: dict[str, list[Tensor]] = {}
        for row in rows:
            answer = self.answer([targets.frames[row]])
            for name, (ours, theirs) in compared(answer, targets, np.array([row])).items():
                found.setdefault(name, []).append((ours - theirs).abs().mean())
        means = {name: float(torch.stack(each).mean()) for name, each in found.items() if len(each) == len(rows)}
        return {unit: means[name] for name, unit in ERRORS.items() if name in means}


def compared(answer: Answer, targets: Targets, rows: Rows) -> dict[str, tuple[Tensor, Tensor]]:
    """Ours and theirs by name, as far as all of these rows have them."""
    pairs = {
        "energy": (answer.energy, targets.energy[torch.from_numpy(np.asarray(rows))]),
        "force": (answer.forces, torch.cat([targets.forces[row] for row in rows])),
    }
    stress = [found for row in rows if (found := targets.stress[row]) is not None]
    moments = [found for row in rows if (found := targets.moments[row]) is not None]
    if len(stress) == len(rows):
        pairs["stress"] = (answer.stress, torch.stack(stress))
    if len(moments) == len(rows):
        pairs["moment"] = (answer.moments, torch.cat(moments))
    return pairs


def refit_references(student: Student, targets: Targets, rows: Rows) -> None:
    """Shift the elemental reference energies by least squares, so that only the binding is left to learn.

    Another code or functional counts energies from another zero; without this the network would spend itself on it.
    """
    frames = [targets.frames[row] for row in rows]
    numbers = sorted({int(number) for frame in frames for number in frame.numbers})
    shares = np.array([[np.mean(frame.numbers == number) for number in numbers] for frame in frames])
    ours = np.array([float(student.answer([frame]).energy[0]) for frame in frames])
    shifts, *_ = np.linalg.lstsq(shares, targets.energy.numpy()[rows] - ours, rcond=None)
    with torch.no_grad():
        for number, shift in zip(numbers, shifts, strict=True):
            student.model.composition_model.fc.weight[0, number - 1] += float(shift)


def _energy(frame: Atoms) -> float:
    return float(frame.get_potential_energy()) / len(frame)


def _tensor(values: Any) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _optional(get: Any) -> Tensor | None:
    try:
        return _tensor(get())
    except PropertyNotImplementedError:
        return None
