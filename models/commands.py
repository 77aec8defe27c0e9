"""What `ionloop train`, `predict` and `evaluate` do, as plain functions for the command line and for scripts.

train(TrainOptions(data=..., out=...))            -> TrainReport
predict(model, structures, out)                   -> list of (id, mean, sigma)
evaluate(EvaluateOptions(data=..., out=...))      -> EvaluateReport
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from models import plots
from models.calibration import ConformalIntervals, Recalibrated, SigmaScale
from models.data import DataSet, read_dataset, read_structures
from models.ensemble import CGformerEnsemble, EnsembleConfig
from models.metrics import Metrics
from models.metrics import evaluate as metrics_of
from models.network import NETWORKS, NetworkRegressor
from models.released import load_released
from models.stores import GraphStore, Store
from models.surrogates import CompositionForest, composition_features, pad_numbers
from models.training import OnEpoch, TrainConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TrainOptions:
    """`ionloop train DATA --out MODEL`.

    Attributes:
        data: see `models.data.read_dataset`.
        out: folder for the model, its figures and its report.
        target: name of the target where there are several.
        unit: of the target, for figures.
        members, seed, config: see `CGformerEnsemble`.
        folds: of the cross-validation that recalibrates sigma and is reported; 0 skips both.
        pretrain: a data set to pre-train on, e.g. a cheap fidelity.
        start_from: folder of a trained model, or a released checkpoint, to start from.
        cache: folder for graphs.
    """

    data: Path
    out: Path
    target: str | None = None
    unit: str = "eV"
    members: int = 5
    seed: int = 0
    folds: int = 5
    config: EnsembleConfig = field(default_factory=EnsembleConfig)
    pretrain: Path | None = None
    start_from: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class TrainReport:
    """What was written, and the cross-validated metrics (None if skipped or too few labels)."""

    out: Path
    labels: int
    raw: Metrics | None
    recalibrated: Metrics | None
    files: list[Path]


def train(options: TrainOptions, on_epoch: OnEpoch | None = None) -> TrainReport:
    """Train an ensemble on a data set and write model, report and figures.

    Raises:
        FileNotFoundError, ValueError: bad data or options, in one line.
    """
    if options.folds == 1 or options.folds < 0:
        raise ValueError(f"folds must be 0 or at least 2, got {options.folds}")
    data = read_dataset(options.data, options.target)
    if np.ptp(data.y) == 0:
        raise ValueError(f"{options.data}: {data.target} is {data.y[0]:g} in every structure: nothing to learn")
    cheap = read_dataset(options.pretrain) if options.pretrain is not None else None
    structures = data.structures + (cheap.structures if cheap is not None else [])
    names = data.ids + (cheap.ids if cheap is not None else [])
    released = options.start_from is not None and not options.start_from.is_dir()
    store = GraphStore(structures, names, whole_shells=not released, cache=options.cache, processes=0)
    ensemble = CGformerEnsemble(store, options.config, options.members, options.seed, options.start_from)
    model = Recalibrated(ensemble, folds=options.folds or 2, seed=options.seed)
    if options.folds == 0:
        model.set_params(min_labels=len(data) + 1)
    if cheap is not None:
        model.pretrain(np.arange(len(data), len(structures))[:, None], cheap.y, on_epoch)
    model.fit(np.arange(len(data))[:, None], data.y, on_epoch)
    model.save(options.out)
    raw, recalibrated = model.metrics_.get("raw"), model.metrics_.get("recalibrated")
    files = [plots.loss_curves(model.estimator_.history_, options.out / "loss.png", options.unit)]
    if model.held_out_ is not None:
        y, mean, sigma = model.held_out_
        title = f"{options.folds}-fold cross-validation"
        files.append(plots.parity(y, mean, options.out / "parity.png", sigma, options.unit, title))
        files.append(plots.calibration(y, mean, {"recalibrated": sigma}, options.out / "calibration.png"))
    about = {"data": str(options.data), "target": data.target, "unit": options.unit, "labels": len(data)}
    report = {**about, "mean": float(data.y.mean()), "std": float(data.y.std()), "metrics": model.report()}
    (options.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return TrainReport(options.out, len(data), raw, recalibrated, files)


def trained(model: Path, store: Store) -> CGformerEnsemble | Recalibrated:
    """A model that `train` wrote, over the rows of any store; its sigma is recalibrated where that was done.

    Raises:
        FileNotFoundError, ValueError: no such folder, or not one of our models.
    """
    ensemble = CGformerEnsemble.load(model, store)
    return Recalibrated.load(model, ensemble) if (model / "calibration.json").is_file() else ensemble


def predict(
    model: Path | str, structures: Sequence[Path | str], out: Path | str | None = None
) -> list[tuple[str, float, float]]:
    """Predict structures with one of our models (a folder) or a released checkpoint (.pth.tar).

    Args:
        structures: CIF, POSCAR, extended XYZ, or folders of them.
        out: CSV to write (id,mean,sigma); a released checkpoint is one network, so its sigma is empty.

    Returns:
        (id, mean, sigma) in the units that the model was trained on; sigma NaN where there is none.
    """
    names, atoms = read_structures(structures)
    mean, sigma = predict_atoms(Path(model), atoms, names)
    found = [(name, float(m), float(s)) for name, m, s in zip(names, mean, sigma, strict=True)]
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        with Path(out).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "mean", "sigma"])
            writer.writerows((name, f"{m:.6g}", "" if math.isnan(s) else f"{s:.6g}") for name, m, s in found)
    return found


def predict_atoms(model: Path, atoms: Sequence[Atoms], names: Sequence[str]) -> tuple[Floats, Floats]:
    """Mean and sigma (n,) of structures in memory; see `predict`.

    Raises:
        FileNotFoundError, ValueError: no such model, or not one of ours.
    """
    if not model.is_dir():
        mean = load_released(model).predict(list(atoms), list(names))
        return mean, np.full(len(mean), np.nan)
    store = GraphStore(list(atoms), list(names), processes=0)
    return trained(model, store).predict(np.arange(len(store))[:, None], return_std=True)


@dataclass(frozen=True)
class EvaluateOptions:
    """`ionloop evaluate DATA`: cross-validation of several models side by side.

    Attributes:
        models: of `MODELS` or `others`; "mean" is always added.
        train: budget of every network.
        others: further estimators by name, each made from composition descriptors (n, d) of all structures and a
            seed; they take row ids X (n, 1) as ours do.
    """

    data: Path
    out: Path
    target: str | None = None
    unit: str = "eV"
    models: tuple[str, ...] = ("cgformer", "cgcnn", "schnet", "forest")
    folds: int = 5
    seed: int = 0
    members: int = 3
    train: TrainConfig = field(default_factory=TrainConfig)
    cache: Path | None = None
    others: Mapping[str, Callable[[Floats, int], Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluateReport:
    """Metrics over all held-out labels and the MAE of every fold, by model; the table as Markdown; files."""

    metrics: dict[str, Metrics]
    fold_mae: dict[str, Floats]
    table: str
    files: list[Path]


def _estimator(name: str, options: EvaluateOptions, store: GraphStore, features: Floats) -> Any:
    if name == "ensemble":
        return CGformerEnsemble(store, EnsembleConfig(train=options.train), options.members, options.seed)
    if name == "forest":
        return CompositionForest(features, seed=options.seed)
    if name in options.others:
        return options.others[name](features, options.seed)
    return NetworkRegressor(store, name, options.train, options.seed)


#: Models that `evaluate` knows; ensemble is `members` CGformers.
MODELS = (*NETWORKS, "ensemble", "forest")


def evaluate(options: EvaluateOptions, on_fold: Callable[[str, int, int], None] | None = None) -> EvaluateReport:
    """Cross-validate models on the same folds; write table.md, predictions.csv and figures.

    Args:
        on_fold: told (model, fold from 1, folds) when a fold is done.

    Raises:
        FileNotFoundError, ValueError: bad data or options, in one line.
    """
    known = (*MODELS, *options.others)
    unknown = set(options.models) - set(known) - {"mean"}
    if unknown:
        raise ValueError(f"unknown models {sorted(unknown)}; allowed are {', '.join(known)}")
    data = read_dataset(options.data, options.target)
    if len(data) < max(options.folds, 2) or options.folds < 2:
        raise ValueError(
            f"{len(data)} labels in {options.folds} folds: at least 2 folds and as many labels are needed"
        )
    splits = list(KFold(options.folds, shuffle=True, random_state=options.seed).split(data.y))
    store = GraphStore(data.structures, data.ids, cache=options.cache, processes=0)
    features = composition_features(pad_numbers(data.structures))
    means = {"mean": np.zeros(len(data))}
    sigmas: dict[str, Floats] = {}
    for train_rows, test in splits:
        means["mean"][test] = data.y[train_rows].mean()
    for name in [name for name in options.models if name != "mean"]:
        means[name], sigma = np.zeros(len(data)), np.zeros(len(data))
        for fold, (train_rows, test) in enumerate(splits, 1):
            estimator = _estimator(name, options, store, features).fit(train_rows[:, None], data.y[train_rows])
            means[name][test], sigma[test] = estimator.predict(test[:, None], return_std=True)
            if on_fold is not None:
                on_fold(name, fold, len(splits))
        if (sigma > 0).all():
            sigmas[name] = sigma
    return _report(options, data, splits, means, sigmas)


def _report(
    options: EvaluateOptions, data: DataSet, splits: list[Any], means: dict[str, Floats], sigmas: dict[str, Floats]
) -> EvaluateReport:
    y, out = data.y, options.out
    out.mkdir(parents=True, exist_ok=True)
    metrics = {name: metrics_of(y, mean, sigmas.get(name)) for name, mean in means.items()}
    fold_mae = {
        name: np.array([np.abs(mean[test] - y[test]).mean() for _, test in splits]) for name, mean in means.items()
    }
    unit = options.unit
    lines = [
        f"{len(y)} labels of {data.target}, {len(splits)} folds, standard deviation {y.std():.4g} {unit}",
        "",
        f"| model | MAE ({unit}) | spread over folds | RMSE ({unit}) | R² | Spearman | 90 % coverage |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in sorted(metrics.items(), key=lambda item: item[1].mae):
        coverage = "" if math.isnan(found.coverage90) else f"{found.coverage90:.2f}"
        lines.append(
            f"| {name} | {found.mae:.4g} | {fold_mae[name].std(ddof=1):.2g} | {found.rmse:.4g} | {found.r2:.3f} | "
            f"{found.spearman:.3f} | {coverage} |"
        )
    table = "\n".join(lines) + "\n"
    (out / "table.md").write_text(table)
    with (out / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "y", *means])
        writer.writerows(zip(data.ids, y, *means.values(), strict=True))
    shown = [name for name in means if name != "mean"]
    files = [plots.comparison(shown, [fold_mae[n] for n in shown], out / "models.png", metrics["mean"].mae, unit)]
    for name in shown:
        files.append(plots.parity(y, means[name], out / f"parity-{name}.png", sigmas.get(name), unit, name))
    for name, sigma in sigmas.items():
        scaled = SigmaScale.fitted(means[name] - y, sigma)(sigma)
        kinds = {"raw": sigma, "recalibrated": scaled}
        files.append(plots.calibration(y, means[name], kinds, out / f"calibration-{name}.png"))
    return EvaluateReport(metrics, fold_mae, table, files)


__all__ = [
    "MODELS",
    "ConformalIntervals",
    "EvaluateOptions",
    "EvaluateReport",
    "TrainOptions",
    "TrainReport",
    "evaluate",
    "predict",
    "train",
]
