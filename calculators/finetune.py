"""Fine-tuning CHGNet on dear labels: their frames become a training set, the result a calculator with its own name.

After Fu et al. (high-entropy LZSP): frames chosen by their rules (`calculators.frames`), RAdam, learning rate 1e-3,
mean squared error, 6:2:2 into training, validation and test. The weights of the best validation are kept. Two
recipes: `paper` is theirs, for a thousand frames; `few`, the default, is for the handful of labels that a campaign
begins with: small batches, a rate that falls, and losses weighed so that none of them drowns the others. On frames of
relaxations and bands forces are off by 0.03 eV/Å, energies by 2 meV/atom (which is what a barrier is made of) and
stresses by 0.5 GPa: with the weights 1, 1 and 0.1 the stress is 97 % of the loss, and energies are learned last.

A model is a pair of files NAME.pt (weights, no pickle) and NAME.json (how it came to be) in the directory that the
environment variable IONLOOP_MODELS names; `calculators.registry.find` then knows it as NAME, with the fidelity
NAME-neb.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from calculators.chgnet import load_model
from calculators.settings import validated
from calculators.storage import write_json

if TYPE_CHECKING:
    from calculators.finetune_data import Rows, Student, Targets

#: Fewer frames than this cannot be split into training, validation and test.
LEAST_FRAMES = 10


class FineTuneSettings(BaseModel):
    """How to train. Losses are mean squared errors; energy in eV/atom, forces in eV/Å, stress in GPa, moments in
    Bohr magnetons. Stresses and moments count where all frames of a batch have them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "0.3.0"
    epochs: int = Field(30, ge=1)
    batch: int = Field(2, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    last_rate: float = Field(0.01, gt=0, le=1)  # share of the learning rate that a cosine ends at; 1: constant
    # RAdam's first steps are not scaled by the gradient's size: a steep loss would throw the network off.
    clip: float = Field(1.0, gt=0)  # largest norm of a step's gradient
    energy_weight: float = Field(100.0, ge=0)
    force_weight: float = Field(1.0, ge=0)
    stress_weight: float = Field(0.01, ge=0)
    moment_weight: float = Field(0.1, ge=0)
    refit_references: bool = True  # elemental reference energies, for labels of another code than VASP
    seed: int = 0

    def weights(self) -> dict[str, float]:
        """Weight of every loss by name."""
        names = ("energy", "force", "stress", "moment")
        return {name: getattr(self, f"{name}_weight") for name in names}


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


#: Settings by name; single ones given beside the name win. `paper` is Fu et al.; `few` is for a handful of labels.
RECIPES: dict[str, dict[str, Any]] = {
    "few": {},
    "paper": {"epochs": 500, "batch": 50, "last_rate": 1.0, "energy_weight": 1.0, "stress_weight": 0.1},
}


def recipe_of(name: str, given: dict[str, Any] | None = None) -> FineTuneSettings:
    """A recipe's settings with a person's own.

    Raises:
        ValueError: unknown recipe or setting, in one line.
    """
    if name not in RECIPES:
        raise ValueError(f"fine-tuning: unknown recipe '{name}'; allowed: {', '.join(RECIPES)}")
    return validated(FineTuneSettings, RECIPES[name] | (given or {}), "fine-tuning")


def next_name(folder: Path) -> str:
    """The first of chgnet-ft1, chgnet-ft2, ... that no model in the folder has."""
    return next(name for n in itertools.count(1) if not (folder / f"{(name := f'chgnet-ft{n}')}.pt").exists())


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

    from calculators.finetune_data import Student, Targets, refit_references

    settings = settings or FineTuneSettings()
    path = Path(folder) / f"{name}.pt"
    if path.exists():
        raise ValueError(f"fine-tuning: {path} exists; a model never changes under its name, choose another")
    train, validate, test = split_frames(len(frames), settings.seed)
    torch.manual_seed(settings.seed)
    with contextlib.redirect_stdout(io.StringIO()):
        model: Any = load_model(settings.base, "cpu")
    student, targets = Student(model), Targets(frames)
    if settings.refit_references:
        refit_references(student, targets, train)
    before = student.errors(targets, test)
    best_epoch = _train(student, targets, train, validate, settings, progress)
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
        after=student.errors(targets, test),
        best_epoch=best_epoch,
        settings=settings,
    )
    write_json(path.with_suffix(".json"), result)
    return result


def _train(
    student: Student,
    targets: Targets,
    train: Rows,
    validate: Rows,
    settings: FineTuneSettings,
    progress: Callable[[dict[str, Any]], None] | None,
) -> int:
    """Train, leave the weights of the best validation in the model, and return their epoch (-1: untouched)."""
    import torch

    model = student.model
    model.requires_grad_(True)
    model.composition_model.requires_grad_(False)
    optimizer = torch.optim.RAdam(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, settings.epochs, eta_min=settings.learning_rate * settings.last_rate
    )
    weights = settings.weights()
    rng = np.random.default_rng(settings.seed)
    best = _score(student.errors(targets, validate), weights)
    best_epoch, best_state = -1, _state(model)
    for epoch in range(settings.epochs):
        order = rng.permutation(train)
        for start in range(0, len(order), settings.batch):
            optimizer.zero_grad()
            losses = student.losses(targets, order[start : start + settings.batch])
            loss = torch.stack([weights[name] * each for name, each in losses.items()]).sum()
            if not torch.isfinite(loss):
                raise ValueError(
                    f"fine-tuning: the loss is no number in epoch {epoch}; "
                    f"take a learning_rate below {settings.learning_rate:g}"
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
        schedule.step()
        found = student.errors(targets, validate)
        score = _score(found, weights)
        if score < best:
            best, best_epoch, best_state = score, epoch, _state(model)
        if progress is not None:
            progress({"stage": "fine-tune", "step": epoch, **found})
    model.load_state_dict(best_state)
    return best_epoch


def _score(errors: dict[str, float], weights: dict[str, float]) -> float:
    """Mean absolute errors as the losses weigh squares: the root of each weight."""
    energy, force = errors["energy_eV_per_atom"], errors["force_eV_per_A"]
    return float(np.sqrt(weights["energy"]) * energy + np.sqrt(weights["force"]) * force)


def _state(model: Any) -> dict[str, Any]:
    return {key: value.clone() for key, value in model.state_dict().items()}
