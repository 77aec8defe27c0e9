"""Deep ensembles of CGformers behind scikit-learn's interface.

Members differ in their initial weights and in what they are shown (Lakshminarayanan et al., NeurIPS 2017).
With `diversity="folds"` member m never sees fold m of the labels, which serves to choose its best epoch,
so that every label is held out by one member and `held_out_` holds honest predictions for calibration.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from models.cgformer import CGformer, CGformerConfig
from models.parallel import Tell, side_by_side
from models.prediction import Network, Normaliser, embed, predict, predict_members
from models.released import ReleasedCGformer, ReleasedConfig, load_released
from models.stores import Store
from models.training import History, OnEpoch, TrainConfig, Trainer, check_targets

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Of saved ensembles. Up to 1, one with batch norms had a layer norm before pooling.
FORMAT = 2


@dataclass(frozen=True)
class EnsembleConfig:
    """Network, training and diversity of an ensemble.

    Attributes:
        network: architecture; None takes `CGformerConfig.for_store`.
        train: training.
        diversity: ``folds`` (each member leaves out another fold, if there are at least `min_validation`
            labels), ``bootstrap`` (labels drawn with replacement; those left out choose the best epoch) or
            ``seeds`` (all see all).
        min_validation: with fewer labels than this nobody leaves anything out and the last epoch is taken.
        pretrain_epochs: epochs of `pretrain`.
    """

    network: CGformerConfig | None = None
    train: TrainConfig = field(default_factory=TrainConfig)
    diversity: Literal["folds", "bootstrap", "seeds"] = "folds"
    min_validation: int = 20
    pretrain_epochs: int = 60

    def __post_init__(self) -> None:
        if self.diversity not in ("folds", "bootstrap", "seeds"):
            raise ValueError(f"diversity must be folds, bootstrap or seeds; got {self.diversity!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        known = {entry.name for entry in fields(cls)}
        if set(values) - known:
            raise ValueError(f"unknown ensemble settings {sorted(set(values) - known)}; allowed are {sorted(known)}")
        network = values.get("network")
        nested = {
            "network": None if network is None else CGformerConfig.from_dict(network),
            "train": TrainConfig.from_dict(values.get("train", {})),
        }
        return cls(**{**values, **nested})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def split_rows(X: Any) -> tuple[Rows, Rows | None]:
    """Row ids and, from a second column, fidelity indices, of X (n,), (n, 1) or (n, 2).

    Raises:
        ValueError: another shape, or values that are not whole numbers.
    """
    values = np.asarray(X)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] not in (1, 2):
        raise ValueError(f"X has shape {values.shape}; expected (n, 1) row ids, or (n, 2) with a fidelity index each")
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise ValueError("X must hold whole numbers: row ids of the store")
    return whole[:, 0], whole[:, 1] if values.shape[1] == 2 else None


class CGformerEnsemble(RegressorMixin, BaseEstimator):
    """Ensemble of CGformers over the rows of a store.

    Example:
        >>> store = HostGraphs(sites, numbers)                        # doctest: +SKIP
        >>> model = CGformerEnsemble(store, members=5, seed=1)        # doctest: +SKIP
        >>> model.fit(np.array([[0], [7], [9]]), np.array([0.31, 0.28, 0.40]))   # doctest: +SKIP
        >>> mean, sigma = model.predict(np.arange(len(store))[:, None], return_std=True)   # doctest: +SKIP
    """

    def __init__(
        self,
        store: Store,
        config: EnsembleConfig | None = None,
        members: int = 5,
        seed: int = 0,
        start_from: Any = None,
    ):
        """
        Args:
            store: the graphs; X are its row ids.
            config: defaults are `EnsembleConfig()`.
            members: number of networks, at least 1.
            seed: everything random follows from it; on one machine and number of threads, equal seeds give
                equal weights.
            start_from: where trainings start if `pretrain` is not called: a fitted ensemble, the folder of a saved
                one, or a checkpoint of the released CGformer (.pth.tar; build the store with `whole_shells=False`
                to show it the graphs it was trained on). The architecture is then that one's, not the
                configuration's.
        """
        self.store = store
        self.config = config
        self.members = members
        self.seed = seed
        self.start_from = start_from

    @property
    def settings(self) -> EnsembleConfig:
        return EnsembleConfig() if self.config is None else self.config

    def _networks(self) -> tuple[list[Network], bool]:
        """Fresh networks, or copies of the pre-trained ones, and whether they are pre-trained."""
        if self.members < 1:
            raise ValueError(f"members must be at least 1, got {self.members}")
        source: Sequence[Network] | None = getattr(self, "pretrained_", None)
        if source is None and self.start_from is not None:
            source = starting_networks(self.start_from, self.store)
        if source is not None:
            return [copy.deepcopy(source[member % len(source)]) for member in range(self.members)], True
        networks: list[Network] = []
        with torch.random.fork_rng(devices=[]):
            for member in range(self.members):
                torch.manual_seed(self.seed * 1_000_003 + member)
                networks.append(CGformer(self.settings.network or CGformerConfig.for_store(self.store)))
        return networks, False

    def __sklearn_clone__(self) -> Self:
        """A copy without what was trained; graphs and starting point are shared, not copied."""
        return type(self)(**self.get_params(deep=False))

    def _shares(self, n: int) -> list[tuple[Rows, Rows]]:
        """Positions that each member is trained on and chosen by."""
        everything, nothing = np.arange(n), np.arange(0)
        settings = self.settings
        if n < settings.min_validation or settings.diversity == "seeds":
            return [(everything, nothing)] * self.members
        rng = np.random.default_rng((self.seed, 11))
        if settings.diversity == "bootstrap":
            drawn = [rng.integers(n, size=n) for _ in range(self.members)]
            return [(np.sort(taken), np.setdiff1d(everything, taken)) for taken in drawn]
        folds = rng.permutation(n) % max(self.members, 5)
        return [(everything[folds != m], everything[folds == m]) for m in range(self.members)]

    def _train(
        self,
        X: Any,
        y: Any,
        train: TrainConfig,
        pretrained: bool,
        networks: list[Network],
        on_epoch: OnEpoch | None,
    ) -> tuple[Normaliser, list[History], Floats]:
        rows, fidelity = split_rows(X)
        y = np.asarray(y, dtype=float).reshape(-1)
        check_targets(rows, y, len(self.store))
        normaliser = Normaliser.of(y, train.robust)
        shares = self._shares(len(y))

        def train_one(member: int, tell: Tell) -> tuple[History, Floats]:
            seen, unseen = shares[member]
            left = (rows[unseen], y[unseen], None if fidelity is None else fidelity[unseen])
            trainer = Trainer(
                networks[member],
                self.store,
                rows[seen],
                y[seen],
                train,
                seed=self.seed * 1_000_003 + member,
                fidelity=None if fidelity is None else fidelity[seen],
                validation=left if len(unseen) else None,
                normaliser=normaliser,
                pretrained=pretrained,
            )
            history = trainer.run(lambda epoch, total, loss: tell(loss))
            return history, predict(networks[member], self.store, left[0], normaliser, left[2])[0]

        epochs = sum(train.epochs_for(len(seen)) for seen, _ in shares)
        found = side_by_side(train_one, range(self.members), _counted(on_epoch, epochs))
        held_out = np.full(len(y), np.nan)
        for (_, unseen), (_, values) in zip(shares, found, strict=True):
            held_out[unseen] = values
        return normaliser, [history for history, _ in found], held_out

    def pretrain(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Train on a cheap fidelity; every later `fit` starts from these weights (its normaliser is its
        own)."""
        networks, pretrained = self._networks()
        train = TrainConfig(**{**vars(self.settings.train), "epochs": self.settings.pretrain_epochs})
        normaliser, _, _ = self._train(X, y, train, pretrained, networks, on_epoch)
        self.pretrained_ = networks
        if not hasattr(self, "networks_"):
            self.networks_, self.normaliser_ = networks, normaliser
        return self

    def fit(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Train on rows X (n, 1), or (n, 2) with fidelity indices, and targets y (n,).

        Starts from the pre-trained weights if there are any, else from the seed: never from the last fit,
        so that a restarted campaign ends in the same model.
        """
        networks, pretrained = self._networks()
        self.normaliser_, self.history_, self.held_out_ = self._train(
            X, y, self.settings.train, pretrained, networks, on_epoch
        )
        self.networks_ = networks
        self.n_features_in_ = 1 if np.ndim(X) < 2 else np.shape(X)[1]
        return self

    def predict_members(self, X: Any) -> Floats:
        """(members, n) in the units of y."""
        return self._members(X)[0]

    def _members(self, X: Any) -> tuple[Floats, Floats]:
        check_is_fitted(self, "networks_")
        rows, fidelity = split_rows(X)
        return predict_members(self.networks_, self.store, rows, self.normaliser_, fidelity)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean (n,), and with `return_std` the standard deviation (n,): that of the mixture of the
        members."""
        means, variances = self._members(X)
        if not return_std:
            return means.mean(axis=0)
        spread = means.var(axis=0, ddof=1) if len(means) > 1 else np.zeros(means.shape[1])
        return means.mean(axis=0), np.sqrt(spread + variances.mean(axis=0))

    def embed(self, X: Any) -> Floats:
        """(n, members * width): the members' pooled embeddings side by side, scaled so that distances are
        means."""
        check_is_fitted(self, "networks_")
        rows, _ = split_rows(X)
        parts = side_by_side(lambda network, _: embed(network, self.store, rows), self.networks_)
        return np.concatenate(parts, axis=1) / np.sqrt(len(parts))

    def save(self, folder: Path | str) -> None:
        """Write `weights.safetensors` and `model.json`."""
        check_is_fitted(self, "networks_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, torch.Tensor] = {}
        for kind, networks in (("member", self.networks_), ("pretrained", getattr(self, "pretrained_", []))):
            for index, network in enumerate(networks):
                state = network.state_dict()
                tensors |= {f"{kind}.{index}.{name}": value.clone().contiguous() for name, value in state.items()}
        save_file(tensors, folder / "weights.safetensors")
        facts = {
            "format": FORMAT,
            "kind": "cgformer-ensemble",
            "config": self.settings.to_dict(),
            "members": self.members,
            "seed": self.seed,
            "architecture": architecture_of(self.networks_[0]),
            "normaliser": asdict(self.normaliser_),
            "history": [asdict(history) for history in getattr(self, "history_", [])],
        }
        (folder / "model.json").write_text(json.dumps(facts, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path | str, store: Store) -> Self:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no model there.
            ValueError: written by a newer version, or by an older one whose network is no longer built.
        """
        folder = Path(folder)
        if not (folder / "model.json").is_file():
            raise FileNotFoundError(f"{folder}: no model here (model.json is missing)")
        facts = json.loads((folder / "model.json").read_text())
        if facts.get("format") not in (1, FORMAT) or facts.get("kind") != "cgformer-ensemble":
            raise ValueError(f"{folder}: not a CGformer ensemble of format {FORMAT}; update ionloop or retrain")
        model = cls(store, EnsembleConfig.from_dict(facts["config"]), facts["members"], facts["seed"])
        tensors = load_file(folder / "weights.safetensors")
        model.networks_ = _restore(tensors, "member", facts["architecture"])
        pretrained = _restore(tensors, "pretrained", facts["architecture"])
        if pretrained:
            model.pretrained_ = pretrained
        model.normaliser_ = Normaliser(**facts["normaliser"])
        model.history_ = [History(**history) for history in facts["history"]]
        return model


def architecture_of(network: Network) -> dict[str, Any]:
    """What `build_network` needs to build an equal one."""
    if isinstance(network, ReleasedCGformer):
        return {"kind": "released", **asdict(network.config)}
    assert isinstance(network, CGformer)
    return {"kind": "cgformer", **asdict(network.config)}


def build_network(architecture: dict[str, Any]) -> Network:
    """An untrained network from its architecture.

    Raises:
        ValueError: unknown kind or settings.
    """
    settings = dict(architecture)
    kind = settings.pop("kind", "cgformer")
    if kind == "cgformer":
        settings = {"pooling": "mean", "norm": "layer"} | settings  # models saved before there was a choice
        return CGformer(CGformerConfig.from_dict(settings))
    if kind == "released":
        return ReleasedCGformer(ReleasedConfig(**settings))
    raise ValueError(f"unknown architecture {kind!r}; allowed are cgformer and released")


def starting_networks(start_from: Any, store: Store) -> list[Network]:
    """Trained networks of a fitted ensemble, of a saved one's folder, or of a released checkpoint.

    Raises:
        FileNotFoundError, ValueError: nothing usable there.
    """
    if isinstance(start_from, (str, Path)):
        if not Path(start_from).is_dir():
            return [load_released(start_from).network]
        start_from = CGformerEnsemble.load(start_from, store)
    check_is_fitted(start_from, "networks_")
    return list(start_from.networks_)


def _restore(tensors: dict[str, torch.Tensor], kind: str, architecture: dict[str, Any]) -> list[Network]:
    states: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        prefix, index, name = key.split(".", 2)
        if prefix == kind:
            states.setdefault(int(index), {})[name] = value
    networks = []
    for _, state in sorted(states.items()):
        network = build_network(architecture)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError("weights of an older network, which is built otherwise today: train it again") from error
        networks.append(network.eval())
    return networks


def _counted(on_epoch: OnEpoch | None, total: int) -> Tell | None:
    """Count the epochs of all members, so that progress runs once from 0 to its end."""
    if on_epoch is None:
        return None
    count = itertools.count(1)
    return lambda loss: on_epoch(next(count), total, loss)
