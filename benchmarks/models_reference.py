"""Cross-validation on other people's data: phonons (matbench, official folds) and 559 DFT migration barriers.

    python benchmarks/models_reference.py run SHARED OUT --data barriers --model cgformer --folds 0,1,2,3,4 --seeds 0
    python benchmarks/models_reference.py table SHARED OUT --figures FOLDER --together cgformer+forest-mace

`table --together` adds rows for the mean of several models' predictions. One JSON file per (data, model, seed, fold)
with the test predictions, so that a run can be stopped and continued.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from sklearn.linear_model import HuberRegressor

from models.alignn import ALIGNN
from models.cgcnn import CGCNN
from models.cgformer import CGformer, CGformerConfig
from models.metrics import evaluate
from models.plots import parity
from models.prediction import Network, predict
from models.released import ReleasedCGformer
from models.schnet import SchNet
from models.stores import GraphStore
from models.surrogates import CompositionForest, composition_features
from models.training import TrainConfig, Trainer


@dataclass(frozen=True)
class Task:
    """A data set and the budget that every network has on it.

    Attributes:
        file: in the folder `data` of the shared data.
        target, unit: what is learnt.
        epochs, batch, robust, bend: see `TrainConfig`.
        choosing: whether a tenth of the training rows chooses the best epoch. Else all are trained on and the last
            epoch is taken: a hundred rows choose mostly by chance, and an epoch before the learning rate has come
            down.
    """

    file: str
    target: str
    unit: str
    epochs: int
    batch: int
    robust: bool = False
    bend: float = TrainConfig.bend
    choosing: bool = False


PHONONS = Task("matbench_phonons.jsonl.gz", "last_phdos_peak_per_cm", "1/cm", epochs=80, batch=32, bend=0.1)
BARRIERS = Task("migration_barriers_dft.jsonl.gz", "E_m_dft_eV", "eV", epochs=25, batch=16, robust=True)
TASKS = {
    "phonons": PHONONS,
    "phonons-long": replace(PHONONS, epochs=240),
    "phonons-short": replace(PHONONS, epochs=15, bend=TrainConfig.bend, choosing=True),  # ablations
    "barriers": BARRIERS,
}


def masked_to_neighbours() -> Network:
    """CGformer whose attention ends at bonds, as the released code's does: farther pairs are as good as shut off."""
    network = CGformer(CGformerConfig(spatial="hop"))
    assert network.bias is not None
    with torch.no_grad():
        network.bias.hop[2:] = -1e4
    return network


def two_convolutions() -> Network:
    """Two convolutions with layer norms, from weights that reach the bend of their activations."""
    network = CGformer(CGformerConfig(convolutions=2))
    network.start_at_bend()
    return network


NETWORKS: dict[str, tuple[Callable[[], Network], float]] = {
    "cgformer": (lambda: CGformer(CGformerConfig.any_crystal()), 2e-3),
    "cgformer-dropout": (lambda: CGformer(CGformerConfig(angles=32, dropout=0.1)), 2e-3),
    # Without angles, as all that follow.
    "cgformer-noangles": (lambda: CGformer(CGformerConfig()), 2e-3),
    "cgformer-noangles-dropout": (lambda: CGformer(CGformerConfig(dropout=0.1)), 2e-3),
    "cgformer-none": (lambda: CGformer(CGformerConfig(spatial="none", edges=False)), 2e-3),
    "cgformer-hop": (lambda: CGformer(CGformerConfig(spatial="hop")), 2e-3),
    "cgformer-rbf": (lambda: CGformer(CGformerConfig(spatial="rbf")), 2e-3),
    "cgformer-rbf-noedges": (lambda: CGformer(CGformerConfig(spatial="rbf", edges=False)), 2e-3),
    "cgformer-images": (lambda: CGformer(CGformerConfig(spatial="images")), 2e-3),
    "cgformer-values": (lambda: CGformer(CGformerConfig(spatial="values")), 2e-3),
    "cgformer-nolayers": (lambda: CGformer(CGformerConfig(layers=0)), 2e-3),
    "cgformer-masked": (masked_to_neighbours, 2e-3),
    "cgformer-mean": (lambda: CGformer(CGformerConfig(pooling="mean")), 2e-3),
    "cgformer-2conv": (two_convolutions, 2e-3),
    "cgformer-host": (lambda: CGformer(CGformerConfig.one_host()), 2e-3),
    "released": (ReleasedCGformer, 2e-3),
    "cgcnn": (CGCNN, 2e-3),
    "schnet": (SchNet, 2e-3),
    "alignn": (ALIGNN, 2e-3),
}


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


#: The first atoms of a barrier's structure are the moving ion at evenly spaced images along its path.
IMAGES = 5


def atoms_of(row: dict[str, Any]) -> Atoms:
    """The structure; of a barrier's, the images of the moving ion are marked."""
    where = "positions" if row.get("cartesian") else "scaled_positions"
    atoms = Atoms(row["species"], cell=row["lattice_A"], pbc=True, **{where: row["coords"]})
    if "E_m_dft_eV" in row:
        steps = [atoms.get_distance(image, image + 1, mic=True) for image in range(IMAGES - 1)]
        if len(set(atoms.numbers[:IMAGES])) > 1 or np.ptp(steps) > 0.01:
            raise ValueError(f"{row['name']}: the first {IMAGES} atoms are not one ion along a path")
        atoms.set_array("focus", np.arange(len(atoms)) < IMAGES)
    return atoms


def folds_of(rows: list[dict[str, Any]]) -> np.ndarray:
    """The official test folds if there are any, else five random ones."""
    if "fold" in rows[0]:
        return np.array([row["fold"] for row in rows])
    return np.random.default_rng(0).permutation(len(rows)) % 5


def count_matrix(structures: list[Atoms]) -> np.ndarray:
    """Atomic numbers padded with zeros to one width, for the composition features."""
    padded = np.zeros((len(structures), max(map(len, structures))), int)
    for line, atoms in zip(padded, structures, strict=True):
        line[: len(atoms)] = atoms.numbers
    return padded


def train_and_predict(
    name: str,
    store: GraphStore,
    y: np.ndarray,
    test: np.ndarray,
    seed: int,
    task: Task,
    told: bool,
    mace: np.ndarray | None = None,
):
    """Test predictions and facts of one fold.

    Args:
        mace: MACE barriers (eV) on which the network is trained first, as long again; none of the test rows is seen.
    """
    rng = np.random.default_rng((seed, 3))
    rest = rng.permutation(np.flatnonzero(~test))
    held = len(rest) // 10 if task.choosing else 0
    hold, train = rest[:held], rest[held:]
    build, rate = NETWORKS[name]
    torch.manual_seed(seed)
    network = build()
    config = TrainConfig(
        epochs=task.epochs,
        min_steps=0,
        batch_size=task.batch,
        learning_rate=rate,
        robust=task.robust,
        bend=task.bend,
    )
    validation = (hold, y[hold], None) if held else None
    if mace is not None:
        Trainer(network, store, train, mace[train], config, seed=seed).run()
    trainer = Trainer(
        network, store, train, y[train], config, seed=seed, validation=validation, pretrained=mace is not None
    )

    def tell(epoch: int, total: int, loss: float) -> None:
        if told and epoch % 5 == 0:
            print(f"  {name} {epoch}/{total} loss {loss:.3f} val {trainer.history.validation[-1]:.4f}", flush=True)

    history = trainer.run(tell)
    mean, _ = predict(network, store, np.flatnonzero(test), trainer.normaliser)
    parameters = sum(p.numel() for p in network.parameters())
    return mean, {"parameters": parameters, "best_epoch": history.best_epoch, "validation": history.validation}


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    task = TASKS[args.data]
    rows = rows_of(Path(args.shared) / "data" / task.file)
    y = np.array([row[task.target] for row in rows], float)
    folds = folds_of(rows)
    structures = [atoms_of(row) for row in rows]
    store: GraphStore | None = None
    for seed in map(int, args.seeds.split(",")):
        for fold in map(int, args.folds.split(",")):
            for name in args.model.split(","):
                out = Path(args.out) / f"{args.data}.{name}.{seed}.{fold}.json"
                if out.exists():
                    continue
                test, started = folds == fold, time.process_time()
                if name == "forest":
                    forest = CompositionForest(composition_features(count_matrix(structures)), seed=seed)
                    fitted = forest.fit(np.flatnonzero(~test)[:, None], y[~test])
                    mean, facts = fitted.predict(np.flatnonzero(test)[:, None]), {}
                elif name == "forest-mace":
                    features = np.column_stack([composition_features(count_matrix(structures)), mace_of(rows)])
                    fitted = CompositionForest(features, seed=seed).fit(np.flatnonzero(~test)[:, None], y[~test])
                    mean, facts = fitted.predict(np.flatnonzero(test)[:, None]), {}
                elif name.endswith("-mace") and name.removesuffix("-mace") in NETWORKS:
                    # Delta learning: the network learns what a robust line through the MACE barriers leaves over.
                    store = store or GraphStore(structures)
                    line = HuberRegressor().fit(mace_of(rows)[~test, None], y[~test]).predict(mace_of(rows)[:, None])
                    network = name.removesuffix("-mace")
                    left, facts = train_and_predict(network, store, y - line, test, seed, task, args.verbose)
                    mean = left + line[test]
                elif name.endswith("-mace-first") and name.removesuffix("-mace-first") in NETWORKS:
                    store = store or GraphStore(structures)
                    network = name.removesuffix("-mace-first")
                    mean, facts = train_and_predict(network, store, y, test, seed, task, args.verbose, mace_of(rows))
                elif name == "mace":
                    line = HuberRegressor().fit(mace_of(rows)[~test, None], y[~test])
                    mean, facts = line.predict(mace_of(rows)[test, None]), {}
                elif name == "mean":
                    mean, facts = np.full(test.sum(), np.median(y[~test])), {}
                else:
                    store = store or GraphStore(structures)
                    mean, facts = train_and_predict(name, store, y, test, seed, task, args.verbose)
                seconds = time.process_time() - started
                result = {"rows": np.flatnonzero(test).tolist(), "mean": mean.tolist(), "seconds": seconds, **facts}
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(result))
                print(f"{out.stem} MAE {np.abs(mean - y[test]).mean():.4f} in {seconds:.0f} CPU s", flush=True)


#: MAE that others published on the same data. Phonons: the same folds (matbench v0.1). Barriers: the source's own
#: test split (arXiv 2508.06459), which is left out here, so not the same rows.
PUBLISHED = {
    "phonons": {"CGCNN": 57.76, "SchNet": 38.96, "ALIGNN": 29.54, "coNGN": 28.89},
    "phonons-short": {},
    "phonons-long": {"CGCNN": 57.76, "SchNet": 38.96, "ALIGNN": 29.54, "coNGN": 28.89},
    "barriers": {"pre-trained ALIGNN": 0.261, "median predictor": 0.471, "MACE (relaxed), all rows": 0.363},
}


def mace_of(rows: list[dict[str, Any]]) -> np.ndarray:
    """MACE barriers (eV) of the relaxed paths; the median where there is none."""
    values = np.array([np.nan if row["E_m_mace_relaxed_eV"] is None else row["E_m_mace_relaxed_eV"] for row in rows])
    return np.where(np.isnan(values), np.nanmedian(values), values)


def mean_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of runs on one fold: of seeds, or of models."""
    return runs[0] | {"mean": np.mean([run["mean"] for run in runs], axis=0)}


def line(name: str, folds: dict[int, list[dict[str, Any]]], y: np.ndarray) -> str:
    """A line of the table; where a fold has several seeds, their mean error and its standard error."""
    found = [run for fold in sorted(folds) for run in folds[fold]]
    where, mean = (np.concatenate([run[part] for run in found]) for part in ("rows", "mean"))
    scores = evaluate(y[where], mean)
    by_fold = {
        fold: np.array([np.abs(np.array(run["mean"]) - y[run["rows"]]).mean() for run in folds[fold]])
        for fold in sorted(folds)
    }
    cells = [
        f"{errors.mean():.4g}" + (f" ± {errors.std(ddof=1) / len(errors) ** 0.5:.2g}" if len(errors) > 1 else "")
        for errors in by_fold.values()
    ]
    return (
        f"| {name} | {','.join(map(str, by_fold))} | {', '.join(cells)} | "
        f"{np.mean([errors.mean() for errors in by_fold.values()]):.4g} | {scores.r2:.3f} | {scores.spearman:.3f} | "
        f"{found[0].get('parameters', '')} | {np.mean([run['seconds'] for run in found]):.0f} |"
    )


def table(args: argparse.Namespace) -> None:
    """Markdown tables of what has been run, and a parity plot of the default for each data set."""
    for data, task in TASKS.items():
        rows = rows_of(Path(args.shared) / "data" / task.file)
        y = np.array([row[task.target] for row in rows], float)
        runs: dict[str, dict[int, list[dict[str, Any]]]] = {}
        for path in sorted(Path(args.out).glob(f"{data}.*.json")):
            _, name, _, fold, _ = path.name.split(".")
            runs.setdefault(name, {}).setdefault(int(fold), []).append(json.loads(path.read_text()))
        for names in args.together:
            parts = [runs.get(name, {}) for name in names.split("+")]
            if folds := set.intersection(*map(set, parts)):
                runs[names] = {fold: [mean_of([part[fold][0] for part in parts])] for fold in folds}
        unit, spread = task.unit, f"{y.std():.3g} {task.unit}"
        print(f"\n{data}: {len(y)} rows, standard deviation {spread}, {task.epochs} epochs for every network\n")
        print(f"| model | folds | MAE ({unit}) by fold | mean | R² | Spearman | parameters | s a fold |")
        print("|---|---|---|---|---|---|---|---|")
        for name, folds in sorted(runs.items()):
            seeds = max(map(len, folds.values()))
            print(line(name, folds, y))
            together = {fold: [mean_of(found)] for fold, found in folds.items() if len(found) == seeds}
            if seeds > 1:
                single = {fold: folds[fold] for fold in together}
                if len(single) < len(folds):
                    print(line(f"{name}, {seeds} seeds apart", single, y))
                print(line(f"{name}, mean of {seeds} seeds", together, y))
            if name == "cgformer" and args.figures:
                first = [folds[fold][0] for fold in sorted(folds)]
                where, mean = (np.concatenate([run[part] for run in first]) for part in ("rows", "mean"))
                parity(
                    y[where],
                    mean,
                    Path(args.figures) / f"{data}.png",
                    unit=task.unit,
                    title=f"{data}, held-out folds",
                )
        print(
            "\npublished: " * bool(PUBLISHED[data])
            + ", ".join(f"{name} {value}" for name, value in PUBLISHED[data].items())
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("shared")
    runner.add_argument("out")
    runner.add_argument("--data", choices=TASKS, required=True)
    runner.add_argument("--model", default="cgformer,released,cgcnn,schnet,forest,mean")
    runner.add_argument("--folds", default="0,1,2,3,4")
    runner.add_argument("--seeds", default="0")
    runner.add_argument("--threads", type=int, default=1)
    runner.add_argument("--verbose", action="store_true")
    runner.set_defaults(action=run)
    tabler = commands.add_parser("table")
    tabler.add_argument("shared")
    tabler.add_argument("out")
    tabler.add_argument("--figures")
    tabler.add_argument("--together", nargs="*", default=[], metavar="A+B", help="means of models' first seeds")
    tabler.set_defaults(action=table)
    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
