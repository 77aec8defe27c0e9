"""One trainer for every network: robust for ten labels, indifferent to a restart.

Every epoch draws from a generator seeded by (seed, epoch), and the learning rate is a function of the
epoch alone: so a training that is interrupted and resumed from `Trainer.save` ends in the same weights as
one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from models.batch import batches
from models.dropout import Dropout
from models.prediction import MAX_PAIRS, Floats, Network, Normaliser, Rows, batch_for, predict
from models.stores import Store

#: Called after every epoch with its number (from 1), how many there will be, and the training loss.
OnEpoch = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Attributes:
        epochs: passes over the labels.
        min_steps: optimiser steps at least; a handful of labels is passed over more often until they are
            done.
        batch_size: labels per optimiser step.
        learning_rate: at the peak; linear warm-up over the first tenth, then a cosine to a hundredth of it.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        patience: epochs without a better validation error before stopping; 0 never stops early.
        pretrained_rate: factor on the learning rate of everything but the head when fine-tuning.
        frozen: names (prefixes) of parameters that fine-tuning leaves alone, e.g. ("embedding",
            "convolutions").
        robust: normalise targets by median and interquartile range instead of mean and deviation, for targets with a
            heavy tail (barriers): the loss is quadratic near the bulk of the labels and linear far from it.
        bend: error, in deviations of the targets, up to which the loss is quadratic, linear beyond. The smaller,
            the nearer to what a mean absolute error asks for; see `loss_of`.
        max_pairs: atoms squared that go through the network at once; larger batches are split, the
            gradient is the same. Bounds memory.
    """

    epochs: int = 60
    min_steps: int = 200
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    clip: float = 1.0
    patience: int = 0
    pretrained_rate: float = 0.5
    frozen: tuple[str, ...] = ()
    robust: bool = False
    bend: float = 0.5
    max_pairs: int = MAX_PAIRS

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip", "bend", "max_pairs"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.patience < 0 or self.min_steps < 0:
            raise ValueError("patience and min_steps must not be negative")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        known = {entry.name for entry in fields(cls)}
        if set(values) - known:
            raise ValueError(f"unknown training settings {sorted(set(values) - known)}; allowed are {sorted(known)}")
        return cls(**{**values, "frozen": tuple(values.get("frozen", ()))})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def epochs_for(self, labels: int) -> int:
        """Epochs for a number of labels, so that at least `min_steps` steps are taken."""
        return max(self.epochs, math.ceil(self.min_steps / math.ceil(labels / self.batch_size)))


@dataclass
class History:
    """Training loss (normalised) and validation MAE (units of y; NaN without validation) by epoch."""

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = 0


def check_targets(rows: Rows, y: Floats, store_size: int) -> None:
    """Raise ValueError with one line if labels cannot be learnt from."""
    if len(rows) == 0:
        raise ValueError("no labels to train on; at least one is needed")
    if len(rows) != len(y):
        raise ValueError(f"{len(rows)} rows but {len(y)} targets; expected one target per row")
    if not np.isfinite(y).all():
        bad = np.flatnonzero(~np.isfinite(y))[:5].tolist()
        raise ValueError(f"targets must be finite numbers; those at positions {bad} are not")
    if rows.min() < 0 or rows.max() >= store_size:
        raise ValueError(f"row ids must be 0 to {store_size - 1}; got {rows.min()} to {rows.max()}")


@contextmanager
def dropout_seed(network: nn.Module, seed: int) -> Iterator[None]:
    """Let the network's dropout layers draw from a generator of their own: torch's global one is not ours to seed."""
    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
    layers = [layer for layer in network.modules() if isinstance(layer, Dropout)]
    for layer in layers:
        layer.generator = generator
    yield
    for layer in layers:
        layer.generator = None


class Trainer:
    """Trains one network on rows of a store. Build it, then `run`."""

    def __init__(
        self,
        network: Network,
        store: Store,
        rows: Rows,
        y: Floats,
        config: TrainConfig,
        *,
        seed: int = 0,
        fidelity: Rows | None = None,
        validation: tuple[Rows, Floats, Rows | None] | None = None,
        normaliser: Normaliser | None = None,
        pretrained: bool = False,
    ):
        """
        Args:
            rows, y: row ids (n,) and targets (n,).
            seed: of the order of batches and of dropout.
            fidelity: index of each label's fidelity (n,).
            validation: rows, targets and fidelities on which the best epoch is chosen.
            normaliser: of the targets; by default that of y.
            pretrained: the network has been trained before: `pretrained_rate` and `frozen` apply.
        """
        check_targets(rows, y, len(store))
        self.network, self.store, self.config, self.seed = network, store, config, seed
        self.rows, self.fidelity, self.validation = rows, fidelity, validation
        self.normaliser = Normaliser.of(y, config.robust) if normaliser is None else normaliser
        self.target = torch.from_numpy(self.normaliser.forward(y)).float()
        self.total = config.epochs_for(len(rows))
        self.epoch = 0
        self.history = History()
        self.best: dict[str, torch.Tensor] | None = None
        self.optimiser = torch.optim.AdamW(self._groups(pretrained), weight_decay=config.weight_decay)

    def _groups(self, pretrained: bool) -> list[dict[str, Any]]:
        head: list[nn.Parameter] = []
        body: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            frozen = pretrained and name.startswith(self.config.frozen) if self.config.frozen else False
            parameter.requires_grad_(not frozen)
            if not frozen:
                (head if name.startswith(self.network.head_names) else body).append(parameter)
        factor = self.config.pretrained_rate if pretrained else 1.0
        groups: list[dict[str, Any]] = [{"params": head, "factor": 1.0}, {"params": body, "factor": factor}]
        return [group for group in groups if group["params"]]

    def rate(self, progress: float) -> float:
        """Learning rate at a fraction 0..1 of the training."""
        peak = self.config.learning_rate
        if progress < 0.1:
            return peak * (0.05 + 0.95 * progress / 0.1)
        return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)))

    def run(self, on_epoch: OnEpoch | None = None, checkpoint: Path | None = None) -> History:
        """Train to the end and leave the best weights in the network.

        Args:
            on_epoch: called after every epoch.
            checkpoint: a folder that is written after every tenth epoch, and resumed from if it is there.
        """
        if checkpoint is not None and (checkpoint / "trainer.json").exists():
            self.resume(checkpoint)
        while self.epoch < self.total and not self._exhausted():
            self.history.loss.append(self._epoch())
            self.epoch += 1
            self._validate()
            if on_epoch is not None:
                on_epoch(self.epoch, self.total, self.history.loss[-1])
            if checkpoint is not None and self.epoch % 10 == 0:
                self.save(checkpoint)
        if self.best is not None:
            self.network.load_state_dict(self.best)
        self.network.eval()
        return self.history

    def _exhausted(self) -> bool:
        patience = self.config.patience
        return bool(patience and self.best is not None and self.epoch - self.history.best_epoch >= patience)

    def _epoch(self) -> float:
        self.network.train()
        device = next(self.network.parameters()).device
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.rows))
        steps = math.ceil(len(order) / self.config.batch_size)
        total = 0.0
        with dropout_seed(self.network, self.seed * 100_003 + self.epoch):
            for step in range(steps):
                # Equal steps: a last batch of one label would be a step of pure noise.
                chosen = order[len(order) * step // steps : len(order) * (step + 1) // steps]
                for group in self.optimiser.param_groups:
                    group["lr"] = group["factor"] * self.rate((self.epoch + step / steps) / self.total)
                self.optimiser.zero_grad(set_to_none=True)
                total += self._accumulate(chosen, device)
                nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
                self.optimiser.step()
        return total / len(order)

    def _accumulate(self, chosen: Rows, device: torch.device) -> float:
        """Gradient of the mean loss over one batch, in parts of similar crystal size."""
        total = 0.0
        for part in batches(self.store.sizes(self.rows[chosen]), self.config.max_pairs):
            taken = chosen[part]
            fidelity = None if self.fidelity is None else self.fidelity[taken]
            batch = batch_for(self.network, self.store, self.rows[taken], fidelity).to(device)
            output, target = self.network(batch), self.target[taken].to(device)
            loss = loss_of(output, target, self.network.predicts_variance, self.config.bend)
            (loss.sum() / len(chosen)).backward()
            total += float(loss.sum().detach())
        if not math.isfinite(total):
            raise FloatingPointError(f"training diverged in epoch {self.epoch + 1}; lower learning_rate or clip")
        return total

    def _validate(self) -> None:
        if self.validation is None:
            self.history.validation.append(math.nan)
            return
        rows, y, fidelity = self.validation
        mean, _ = predict(self.network, self.store, rows, self.normaliser, fidelity, self.config.max_pairs)
        error = float(np.abs(mean - y).mean())
        self.history.validation.append(error)
        # Ties go to the later epoch, whose learning rate is lower.
        if self.best is None or error <= self.history.validation[self.history.best_epoch - 1]:
            self.history.best_epoch = self.epoch
            self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def save(self, folder: Path) -> None:
        """Write weights, best weights and the optimiser's state (safetensors + JSON, the JSON last)."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        name = f"epoch-{self.epoch}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
        state = {"epoch": self.epoch, "weights": name, "history": asdict(self.history)}
        temporary = folder / "trainer.json.tmp"
        temporary.write_text(json.dumps(state))
        temporary.replace(folder / "trainer.json")
        for old in folder.glob("epoch-*.safetensors"):
            if old.name != name:
                old.unlink()

    def resume(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        state = json.loads((folder / "trainer.json").read_text())
        tensors = load_file(folder / state["weights"])
        part = {
            prefix: {k.removeprefix(prefix + "."): v for k, v in tensors.items() if k.startswith(prefix + ".")}
            for prefix in ("network", "best", "optimiser")
        }
        self.network.load_state_dict(part["network"])
        self.best = part["best"] or None
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in part["optimiser"].items():
            index, name = key.split(".", 1)
            slots.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": slots})
        self.epoch, self.history = int(state["epoch"]), History(**state["history"])


def loss_of(output: torch.Tensor, target: torch.Tensor, variance: bool, bend: float = 0.5) -> torch.Tensor:
    """Smooth L1 on normalised targets, quadratic up to `bend`, of slope one beyond; or with a variance head the
    Gaussian negative log-likelihood; (b,)."""
    mean, log_variance = output[:, 0], output[:, 1]
    if variance:
        return 0.5 * (log_variance + (mean - target) ** 2 * torch.exp(-log_variance))
    return functional.smooth_l1_loss(mean, target, reduction="none", beta=bend)
