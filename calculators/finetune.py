"""Fine-tuning CHGNet on dear labels: their frames become a training set, the result a calculator with its own name.

Recipe of Fu et al. (high-entropy LZSP): of each relaxation the first 10 frames, which are high in energy, and 40
random ones of the rest; of each trajectory the 10 frames with most ions further than 2.5 Å from a site; RAdam,
learning rate 1e-3, mean squared error, 6:2:2 into training, validation and test. The weights of the best
validation are kept.

A model is a pair of files NAME.pt (weights, no pickle) and NAME.json (how it came to be) in the directory that the
environment variable IONLOOP_MODELS names; `calculators.registry.find` then knows it as NAME, with the fidelity
NAME-neb.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.units import GPa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from calculators.chgnet import load_model
from calculators.storage import write_json

#: Fewer frames than this cannot be split into training, validation and test.
LEAST_FRAMES = 10


class FineTuneSettings(BaseModel):
    """How to train. Losses are mean squared errors; energy in eV/atom, forces in eV/Å, stress in GPa, moments in
    Bohr magnetons. Stresses and moments count where all frames of a batch have them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "0.3.0"
    epochs: int = Field(50, ge=1)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    energy_weight: float = Field(1.0, ge=0)
    force_weight: float = Field(1.0, ge=0)
    stress_weight: float = Field(0.1, ge=0)
    moment_weight: float = Field(0.1, ge=0)
    refit_references: bool = True  # elemental reference energies, for labels of another code than VASP
    seed: int = 0


class FineTuned(BaseModel):
    """What became of it. Errors are mean absolute errors on the held-out test frames, before and after."""

    name: str
    path: str
    sha256: str
    frames: dict[str, int]
    before: dict[str, float]
    after: dict[str, float]
    best_epoch: int
    settings: FineTuneSettings


def relaxation_frames(frames: Sequence[Atoms], first: int = 10, random: int = 40, seed: int = 0) -> list[Atoms]:
    """Of one relaxation: its first frames, high in energy, and random ones of the rest."""
    rest = len(frames) - first
    if rest <= 0:
        return list(frames)
    chosen = np.random.default_rng(seed).choice(rest, min(random, rest), replace=False) + first
    return [*frames[:first], *(frames[index] for index in sorted(chosen))]


def displaced_frames(
    frames: Sequence[Atoms], ion: str, sites: NDArray[np.float64], distance_A: float = 2.5, count: int = 10
) -> list[Atoms]:
    """Of one trajectory: the frames with most ions further than `distance_A` from every site.

    Args:
        sites: (n_sites, 3) fractional coordinates of the mobile sites.
    """
    from ase.geometry import get_distances

    away = []
    for frame in frames:
        ions = frame.positions[frame.symbols == ion]
        _, distances = get_distances(ions, sites @ frame.cell.array, cell=frame.cell, pbc=True)
        away.append(int((distances.min(axis=1) > distance_A).sum()))
    order = np.argsort(away, kind="stable")[::-1][:count]
    return [frames[index] for index in sorted(order)]


def split_frames(n: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Random training, validation and test indices, 6:2:2.

    Raises:
        ValueError: too few frames.
    """
    if n < LEAST_FRAMES:
        raise ValueError(f"fine-tuning: {n} frames are too few; at least {LEAST_FRAMES} are needed for a 6:2:2 split")
    order = np.random.default_rng(seed).permutation(n)
    first, second = round(0.6 * n), round(0.8 * n)
    return order[:first], order[first:second], order[second:]


class _Data:
    """Graphs and targets of frames, as tensors."""

    def __init__(self, model: Any, frames: Sequence[Atoms]) -> None:
        import torch
        from pymatgen.core import Lattice, Structure

        self.graphs: list[Any] = []
        self.energy: list[float] = []
        self.forces: list[Any] = []
        self.stress: list[Any] = []
        self.moments: list[Any] = []
        for frame in frames:
            structure = Structure(Lattice(frame.cell.array), frame.numbers, frame.get_scaled_positions())
            self.graphs.append(model.graph_converter(structure))
            self.energy.append(frame.get_potential_energy() / len(frame))
            self.forces.append(torch.tensor(frame.get_forces(), dtype=torch.float32))
            try:  # CHGNet's sign of stress is ASE's, in GPa
                self.stress.append(torch.tensor(frame.get_stress(voigt=False) / GPa, dtype=torch.float32))
            except PropertyNotImplementedError:
                self.stress.append(None)
            try:  # CHGNet knows the size of a moment, not its sign
                moments = np.abs(frame.get_magnetic_moments())
                self.moments.append(torch.tensor(moments, dtype=torch.float32))
            except PropertyNotImplementedError:
                self.moments.append(None)

    def losses(self, model: Any, rows: NDArray[np.int64], settings: FineTuneSettings) -> Any:
        """Weighted sum of mean squared errors over these rows."""
        import torch

        with_stress = all(self.stress[row] is not None for row in rows) and settings.stress_weight > 0
        with_moments = all(self.moments[row] is not None for row in rows) and settings.moment_weight > 0
        task = "ef" + ("s" if with_stress else "") + ("m" if with_moments else "")
        # CHGNet knows the tasks e, ef, em, efs and efsm.
        found = model([self.graphs[row] for row in rows], task="efsm" if task == "efm" else task)
        wanted = torch.tensor([self.energy[row] for row in rows], dtype=torch.float32)
        loss = settings.energy_weight * torch.nn.functional.mse_loss(found["e"], wanted)
        forces = torch.cat([self.forces[row] for row in rows])
        loss = loss + settings.force_weight * torch.nn.functional.mse_loss(torch.cat(list(found["f"])), forces)
        if with_stress:
            stress = torch.cat([self.stress[row] for row in rows])
            loss = loss + settings.stress_weight * torch.nn.functional.mse_loss(torch.cat(list(found["s"])), stress)
        if with_moments:
            moments = torch.cat([self.moments[row] for row in rows])
            loss = loss + settings.moment_weight * torch.nn.functional.mse_loss(torch.cat(list(found["m"])), moments)
        return loss

    def errors(self, model: Any, rows: NDArray[np.int64]) -> dict[str, float]:
        """Mean absolute errors: energy (eV/atom), force components (eV/Å), moments if known (Bohr magnetons)."""
        energy, force, moment = [], [], []
        with_moments = all(self.moments[row] is not None for row in rows)
        for row in rows:
            found = model([self.graphs[row]], task="efsm" if with_moments else "ef")
            if with_moments:
                moment.append(float((found["m"][0].detach() - self.moments[row]).abs().mean()))
            energy.append(abs(float(found["e"][0].detach()) - self.energy[row]))
            force.append(float((found["f"][0].detach() - self.forces[row]).abs().mean()))
        errors = {"energy_eV_per_atom": float(np.mean(energy)), "force_eV_per_A": float(np.mean(force))}
        return errors | ({"moment_muB": float(np.mean(moment))} if moment else {})


def fine_tune(
    name: str,
    frames: Sequence[Atoms],
    folder: str | Path,
    settings: FineTuneSettings | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> FineTuned:
    """Train CHGNet on frames that carry energies and forces (and stresses), and write NAME.pt and NAME.json.

    Args:
        name: of the new calculator, for example "chgnet-ft3"; its labels' fidelity is "chgnet-ft3-neb".
        frames: structures with results, as in the band.extxyz of labels.

    Raises:
        ValueError: too few frames, or the name is taken: a model never changes under its name.
    """
    import torch

    settings = settings or FineTuneSettings()
    path = Path(folder) / f"{name}.pt"
    if path.exists():
        raise ValueError(f"fine-tuning: {path} exists; a model never changes under its name, choose another")
    train, validate, test = split_frames(len(frames), settings.seed)
    torch.manual_seed(settings.seed)
    with contextlib.redirect_stdout(io.StringIO()):
        model: Any = load_model(settings.base, "cpu")
    data = _Data(model, frames)
    if settings.refit_references:
        refit_references(model, data, frames, train)
    before = data.errors(model, test)
    model.requires_grad_(True)
    model.composition_model.requires_grad_(False)
    optimizer = torch.optim.RAdam(model.parameters(), lr=settings.learning_rate)
    rng = np.random.default_rng(settings.seed)
    best, best_epoch, best_state = np.inf, -1, {}
    for epoch in range(settings.epochs):
        model.train()
        order = rng.permutation(train)
        for start in range(0, len(order), settings.batch):
            optimizer.zero_grad()
            loss = data.losses(model, order[start : start + settings.batch], settings)
            loss.backward()
            optimizer.step()
        model.eval()
        found = data.errors(model, validate)
        score = settings.energy_weight * found["energy_eV_per_atom"] + settings.force_weight * found["force_eV_per_A"]
        if score < best:
            best, best_epoch = score, epoch
            best_state = {key: value.clone() for key, value in model.state_dict().items()}
        if progress is not None:
            progress({"stage": "fine-tune", "step": epoch, **found})
    model.load_state_dict(best_state)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    torch.save({"model_args": dict(model.model_args), "state_dict": model.state_dict()}, temporary)
    temporary.replace(path)
    result = FineTuned(
        name=name,
        path=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        frames={"train": len(train), "validate": len(validate), "test": len(test)},
        before=before,
        after=data.errors(model, test),
        best_epoch=best_epoch,
        settings=settings,
    )
    write_json(path.with_suffix(".json"), result)
    return result


def refit_references(model: Any, data: _Data, frames: Sequence[Atoms], rows: NDArray[np.int64]) -> None:
    """Shift the elemental reference energies by least squares, so that only the binding is left to learn.

    Another code or functional counts energies from another zero; without this the network would spend itself on it.
    """
    import torch

    numbers = sorted({int(number) for row in rows for number in frames[row].numbers})
    shares = np.array([[np.mean(frames[row].numbers == number) for number in numbers] for row in rows])
    missing = np.array([data.energy[row] - float(model([data.graphs[row]], task="e")["e"][0]) for row in rows])
    shifts, *_ = np.linalg.lstsq(shares, missing, rcond=None)
    with torch.no_grad():
        for number, shift in zip(numbers, shifts, strict=True):
            model.composition_model.fc.weight[0, number - 1] += float(shift)
