"""Structures in, predictions with uncertainty out: graphs, CGformer, baselines, ensembles, training.

This package knows nothing of campaigns, calculators or Prefect, and imports none of them.

A store holds the structures and estimators take its row ids, X (n, 1):

    store = HostGraphs(sites, numbers)        # one host, many decorations; or GraphStore(list of Atoms)
    model = CGformerEnsemble(store, EnsembleConfig(), members=5, seed=1)
    model.pretrain(X_cheap, y_cheap).fit(X, y, on_epoch=progress)
    mean_eV, sigma_eV = model.predict(X_all, return_std=True)
    model.save(folder); CGformerEnsemble.load(folder, store)

`Recalibrated(model)` recalibrates sigma on held-out folds at every fit and gives conformal intervals;
`models.commands` holds what the command line calls (train, predict, evaluate).
`CompositionForest(features)` has the same interface on a descriptor matrix.
Names are imported on first use, so that `import models` does not cost torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "CGformer": "models.cgformer",
    "CGformerConfig": "models.cgformer",
    "CGformerEnsemble": "models.ensemble",
    "CompositionForest": "models.surrogates",
    "EnsembleConfig": "models.ensemble",
    "GraphStore": "models.stores",
    "HostGraphs": "models.stores",
    "NetworkRegressor": "models.network",
    "Recalibrated": "models.calibration",
    "TrainConfig": "models.training",
    "composition_features": "models.surrogates",
    "load_released": "models.released",
    "read_dataset": "models.data",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
