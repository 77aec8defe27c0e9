"""From the labels in the ledger to a trained surrogate, the same one for the same labels."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.schema import LabelRow, ProposalRow
from agent.surrogates import GaussianProcess
from flows.candidates import Candidates
from flows.config import ModelSection
from models.calibration import Recalibrated
from models.delta import Delta
from models.ensemble import FORMAT, CGformerEnsemble, EnsembleConfig
from models.stores import HostGraphs
from models.surrogates import CompositionForest
from models.training import TrainConfig

Floats = NDArray[np.float64]
OnEpoch = Callable[[int, int, float], None]
Labelled = Sequence[tuple[ProposalRow, LabelRow]]


@dataclass(frozen=True)
class Examples:
    """Rows X (n, 1) with barriers y (n,) in eV; `keys` are the labels' content addresses."""

    X: NDArray[np.int64]
    y: Floats
    keys: tuple[str, ...]

    @classmethod
    def of(cls, labelled: Labelled, candidates: Candidates) -> Examples:
        """In the order of the labels' keys: training must not depend on which label landed first."""
        unique = {label.key: (candidates.row(p.composition, p.ordering), label.value_eV) for p, label in labelled}
        keys = tuple(sorted(unique))
        rows = np.array([unique[key][0] for key in keys], dtype=np.int64).reshape(-1, 1)
        return cls(rows, np.array([unique[key][1] for key in keys], dtype=float), keys)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.keys).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Retrainer:
    """Builds the surrogate of a campaign. What it writes is a cache: without it, the same model is trained again."""

    config: ModelSection
    candidates: Candidates
    seed: int
    folder: Path  # <campaign>/models

    def untrained(self) -> Any:
        candidates, config = self.candidates, self.config
        if config.kind == "forest":
            rows = np.repeat(candidates.features, candidates.orderings, axis=0)
            return CompositionForest(rows, members=config.members, seed=self.seed)
        rows = np.repeat(candidates.ions, candidates.orderings, axis=0)
        process = GaussianProcess(rows, self.seed, members=config.members)
        if config.kind == "cgformer":
            released = config.start_from is not None and config.start_from.is_file()
            # A released checkpoint knows graphs of exactly 12 neighbours, ours take the twelfth's whole shell.
            store = HostGraphs(candidates.host.sites(), candidates.numbers, whole_shells=not released)
            ensemble = EnsembleConfig(train=TrainConfig(epochs=config.epochs), pretrain_epochs=config.pretrain_epochs)
            networks = CGformerEnsemble(store, ensemble, config.members, self.seed, config.start_from)
            return Delta(process, networks, seed=self.seed, group_size=candidates.orderings)
        return process

    def train(self, cheap: Examples, target: Examples, on_epoch: OnEpoch | None = None) -> Any | None:
        """Pre-train on the cheap fidelity, then fit the target fidelity as soon as it has labels.

        Returns None as long as there is nothing to learn from. With cheap labels alone the predictions are the
        cheap fidelity's: fit for ranking, not for reading as barriers.
        """
        if not len(cheap) and not len(target):
            return None
        if not len(target) and self.config.kind != "cgformer":  # nothing in them to be reused: a model of its own
            return self.untrained().fit(cheap.X, cheap.y)
        surrogate = self._pretrained(cheap, on_epoch) if len(cheap) else self.untrained()
        if not len(target):
            return surrogate
        if self.config.recalibrate:
            surrogate = Recalibrated.around(surrogate, seed=self.seed, group_size=self.candidates.orderings)
        return surrogate.fit(target.X, target.y, on_epoch)

    def _pretrained(self, cheap: Examples, on_epoch: OnEpoch | None) -> Any:
        surrogate = self.untrained()
        if self.config.kind != "cgformer":
            return surrogate.pretrain(cheap.X, cheap.y)
        networks, start = surrogate.ensemble, str(self.config.start_from)
        settings = json.dumps([networks.config.to_dict(), networks.members, networks.seed, start], sort_keys=True)
        digest = hashlib.sha256(f"{FORMAT}{settings}{cheap.digest}".encode()).hexdigest()[:16]
        folder = self.folder / f"pretrained-delta-{digest}"
        if folder.exists():
            known = CGformerEnsemble.load(folder, networks.store)
            return surrogate.pretrain(cheap.X, cheap.y, ensemble=known)
        surrogate.pretrain(cheap.X, cheap.y, on_epoch)
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        surrogate.ensemble.save(part)
        part.rename(folder)  # all or nothing, whenever the power fails
        return surrogate
