"""Models on substituted NASICON cells: bond-valence barriers (nzsp_bvse.csv) or CHGNet energies (nzsp_chgnet.csv).

    python benchmarks/models_nasicon.py compare OUT --rows 1000 --folds 3 --epochs 20
    python benchmarks/models_nasicon.py compare OUT --models cgformer-nolayers,cgformer-none,released
    python benchmarks/models_nasicon.py compare OUT --target formation_eV --rows 2000
    python benchmarks/models_nasicon.py uncertainty OUT --labels 100

`compare` cross-validates CGformer, CGCNN and composition models on the same folds; all orderings of a composition are
in one fold. `uncertainty` trains on as many labels as a campaign has after a few rounds, and judges raw and
recalibrated sigmas on unseen compositions, at random and from a cluster that was left out.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from agent.hosts import load_host
from agent.ordering import draw_numbers
from agent.space import build_space
from agent.surrogates import on_descriptors
from models import plots
from models.calibration import Recalibrated
from models.cgformer import CGformer, CGformerConfig
from models.ensemble import CGformerEnsemble, EnsembleConfig
from models.metrics import evaluate
from models.network import NETWORKS, NetworkRegressor
from models.stores import HostGraphs
from models.surrogates import CompositionForest, composition_features
from models.training import TrainConfig

#: Ablations of CGformer, beside the networks that are there.
NETWORKS |= {
    "cgformer-layer": lambda store: CGformer(CGformerConfig(convolutions=2)),
    "cgformer-1conv": lambda store: CGformer(CGformerConfig(norm="batch", convolutions=1)),
    "cgformer-nolayers": lambda store: CGformer(CGformerConfig(convolutions=2, norm="batch", layers=0)),
    "cgformer-none": lambda store: CGformer(
        CGformerConfig(convolutions=2, norm="batch", spatial="none", edges=False)
    ),
    "cgformer-angles": lambda store: CGformer(CGformerConfig(convolutions=2, norm="batch", angles=16)),
    "cgformer-hop": lambda store: CGformer(CGformerConfig(convolutions=2, norm="batch", spatial="hop")),
}
DATA = Path(__file__).parent / "data"
FORMATION = "formation_eV"


def load(rows: int, seed: int, target: str) -> tuple[HostGraphs, np.ndarray, np.ndarray]:
    """Host graphs of randomly chosen labelled orderings, their targets (eV, or eV per atom), and the composition each
    belongs to."""
    host = load_host("nzsp")
    formation = target == FORMATION
    with (DATA / ("nzsp_chgnet.csv" if formation else "nzsp_bvse.csv")).open() as file:
        column = "energy_eV_per_atom" if formation else target
        labels = {(row["composition"], int(row["ordering"])): float(row[column]) for row in csv.DictReader(file)}
    compositions = {composition.key: composition for composition in build_space(host)}
    orderings = sorted({ordering for _, ordering in labels})
    numbers, y, groups = [], [], []
    names = sorted({name for name, _ in labels})
    for ordering in orderings:
        drawn = draw_numbers(host, [compositions[name] for name in names], index=ordering)
        for place, name in enumerate(names):
            if (name, ordering) in labels:
                numbers.append(drawn[place])
                y.append(labels[name, ordering])
                groups.append(place)
    chosen = np.random.default_rng(seed).permutation(len(y))[:rows]
    decorations, values = np.array(numbers)[chosen], np.array(y)[chosen]
    if formation:
        values = values - element_references(decorations, values)
    return HostGraphs(host.sites(), decorations), values, np.array(groups)[chosen]


def element_references(numbers: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """What a sum of one energy per element explains best of energies per atom (n,), by least squares."""
    elements = np.unique(numbers[numbers > 0])
    shares = np.stack([(numbers == element).sum(axis=1) for element in elements], axis=1) / (numbers > 0).sum(
        axis=1, keepdims=True
    )
    return shares @ np.linalg.lstsq(shares, energies, rcond=None)[0]


def compare(args: argparse.Namespace) -> None:
    store, y, groups = load(args.rows, 0, args.target)
    features = composition_features(store.numbers)
    train = TrainConfig(epochs=args.epochs, min_steps=0, batch_size=16)
    models = {
        "mean": None,
        "forest": lambda seed: CompositionForest(features, seed=seed),
        "gp": lambda seed: on_descriptors(features, seed),
    }
    for network in NETWORKS:
        models[network] = lambda seed, network=network: NetworkRegressor(store, network, train, seed)
    splits = list(GroupKFold(args.folds).split(y, groups=groups))
    print(
        f"{args.target}: {len(y)} orderings, {len(set(groups))} compositions, standard deviation {y.std():.4f} eV,"
        f" {args.epochs} epochs"
    )
    print("| model | MAE (eV) by fold | mean | R² | Spearman | CPU s a fold |")
    print("|---|---|---|---|---|---|")
    for name in args.models.split(","):
        mean, started = np.zeros(len(y)), time.process_time()
        for rows, test in splits:
            if models[name] is None:
                mean[test] = y[rows].mean()
                continue
            mean[test] = models[name](args.seed).fit(rows[:, None], y[rows]).predict(test[:, None])
        taken = (time.process_time() - started) / len(splits)
        by_fold = [np.abs(mean[test] - y[test]).mean() for _, test in splits]
        found = evaluate(y, mean)
        print(
            f"| {name} | {' '.join(f'{value:.3g}' for value in by_fold)} | {np.mean(by_fold):.3g} | {found.r2:.3f} | "
            f"{found.spearman:.3f} | {taken:.0f} |",
            flush=True,
        )
        if name == "cgformer":
            plots.parity(y, mean, args.out / "nasicon-parity.png", title="CGformer, compositions held out")


def uncertainty(args: argparse.Namespace) -> None:
    store, y, groups = load(args.rows, 1, args.target)
    features = composition_features(store.numbers)
    ensemble = CGformerEnsemble(store, EnsembleConfig(), args.members, seed=0)
    clusters = KMeans(8, n_init=4, random_state=0).fit_predict(StandardScaler().fit_transform(features))
    rng = np.random.default_rng(0)
    far = clusters == np.bincount(clusters).argmax()
    train = rng.permutation(np.flatnonzero(~far))[: args.labels]
    unseen = ~np.isin(groups, groups[train])
    tests = {"random": np.flatnonzero(unseen & ~far), "cluster left out": np.flatnonzero(unseen & far)}
    print(f"{args.labels} labels; test rows: " + ", ".join(f"{name} {len(rows)}" for name, rows in tests.items()))
    print("| model | test | sigma | MAE | mean predictor | NLL | CRPS | area | 90 % coverage | ρ(error, sigma) |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    models = {"ensemble": ensemble, "gp": on_descriptors(features), "forest": CompositionForest(features)}
    for name in args.models.split(","):
        estimator = models[name]
        model = Recalibrated(estimator, folds=args.folds).fit(train[:, None], y[train])
        for where, rows in tests.items():
            mean, raw = model.estimator_.predict(rows[:, None], return_std=True)
            sigmas = {"raw": raw, "recalibrated": model.scale_(raw)}
            for kind, sigma in sigmas.items():
                m = evaluate(y[rows], mean, sigma, reference=y[train].mean())
                print(
                    f"| {name} | {where} | {kind} | {m.mae:.4f} | {m.mae_mean:.4f} | {m.nll:.2f} | {m.crps:.4f} | "
                    f"{m.miscalibration:.3f} | {m.coverage90:.2f} | {m.error_correlation:.2f} |",
                    flush=True,
                )
            low, high = model.intervals(rows[:, None], 0.9)
            inside = ((low <= y[rows]) & (y[rows] <= high)).mean()
            print(f"| {name} | {where} | conformal 90 % | | | | | | {inside:.2f} | |", flush=True)
            if name == "ensemble":
                plots.calibration(y[rows], mean, sigmas, args.out / f"calibration-{where.replace(' ', '-')}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function in (compare, uncertainty):
        command = commands.add_parser(function.__name__)
        command.add_argument("out", type=Path)
        command.add_argument("--rows", type=int, default=1000)
        command.add_argument("--folds", type=int, default=3)
        command.add_argument("--target", choices=["E_1D_eV", "E_2D_eV", "E_3D_eV", FORMATION], default="E_3D_eV")
        command.set_defaults(action=function)
        if function is compare:
            command.add_argument("--epochs", type=int, default=20)
            command.add_argument("--seed", type=int, default=0)
            command.add_argument("--models", default="mean,forest,gp,cgformer,cgcnn")
        else:
            command.add_argument("--labels", type=int, default=100)
            command.add_argument("--members", type=int, default=5)
            command.add_argument("--models", default="ensemble,gp,forest")
    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
