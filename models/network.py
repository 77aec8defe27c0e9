"""One network of any architecture as a scikit-learn regressor: baselines under the same trainer as CGformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from models.alignn import ALIGNN
from models.cgcnn import CGCNN
from models.cgformer import CGformer, CGformerConfig
from models.ensemble import split_rows
from models.parallel import one_thread
from models.prediction import Network, embed, predict
from models.released import ReleasedCGformer
from models.schnet import SchNet
from models.stores import Store
from models.training import OnEpoch, TrainConfig, Trainer, check_targets

Floats = NDArray[np.float64]


#: Architectures by name, for the rows of a store; "released" is what the paper's code is, "cgformer" what the paper
#: describes, and "cgformer-host" that for decorations of one host in a store that does not know that they are.
NETWORKS: dict[str, Callable[[Store], Network]] = {
    "cgformer": lambda store: CGformer(CGformerConfig.for_store(store)),
    "cgformer-host": lambda store: CGformer(CGformerConfig.one_host()),
    "released": lambda store: ReleasedCGformer(),
    "cgcnn": lambda store: CGCNN(),
    "schnet": lambda store: SchNet(),
    "alignn": lambda store: ALIGNN(),
}


class NetworkRegressor(RegressorMixin, BaseEstimator):
    """One network; a tenth of the labels, if there are at least 20, chooses the best epoch."""

    def __init__(self, store: Store, network: str = "cgformer", train: TrainConfig | None = None, seed: int = 0):
        """
        Args:
            network: one of `NETWORKS`.
        """
        self.store = store
        self.network = network
        self.train = train
        self.seed = seed

    def fit(self, X: Any, y: Any, on_epoch: OnEpoch | None = None) -> Self:
        """Train from the seed on rows X (n, 1) and y (n,)."""
        if self.network not in NETWORKS:
            raise ValueError(f"unknown network {self.network!r}; allowed are {', '.join(NETWORKS)}")
        rows, fidelity = split_rows(X)
        y = np.asarray(y, float).reshape(-1)
        check_targets(rows, y, len(self.store))
        order = np.random.default_rng((self.seed, 3)).permutation(len(y))
        held = len(y) // 10 if len(y) >= 20 else 0
        left, seen = order[:held], order[held:]
        picked = None if fidelity is None else fidelity[left]
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = NETWORKS[self.network](self.store)
            trainer = Trainer(
                network,
                self.store,
                rows[seen],
                y[seen],
                self.train or TrainConfig(),
                seed=self.seed,
                fidelity=None if fidelity is None else fidelity[seen],
                validation=(rows[left], y[left], picked) if held else None,
            )
            self.history_ = trainer.run(on_epoch)
        self.network_, self.normaliser_ = network, trainer.normaliser
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean (n,) and, if asked, zeros: one network knows no uncertainty."""
        check_is_fitted(self, "network_")
        rows, fidelity = split_rows(X)
        with one_thread():
            mean, _ = predict(self.network_, self.store, rows, self.normaliser_, fidelity)
        return (mean, np.zeros(len(mean))) if return_std else mean

    def embed(self, X: Any) -> Floats:
        """Pooled embedding (n, d)."""
        check_is_fitted(self, "network_")
        with one_thread():
            return embed(self.network_, self.store, split_rows(X)[0])
