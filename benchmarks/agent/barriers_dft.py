"""Find the lowest DFT barriers of the literature: `python -m benchmarks.agent.barriers_dft`.

559 labels that nobody here made (sai-mat-group/predicting-migration-barriers, MIT; arXiv 2508.06459), read from
../shared/data (or $IONLOOP_SHARED/data), not copied. Two tasks: the 28 lowest of all, the 28 lowest of those without
lithium. Each without and with the cheap fidelity: the MACE barriers of the same paths, known for all candidates. With
it the first ten labels are either the ten lowest by MACE (`-ordered`: nothing is left to chance, one run is all there
is) or ten at random of the twenty lowest (30 seeds).

What the model sees of a system: elemental statistics of the composition, the moving ion, the family, and the geometry
of the path (length; at five images bond-valence sum, distance to the nearest anions and cations). The model learns ln
E.

Writes benchmarks/data/barriers-*/metrics.csv and docs/benchmarks/barriers-*.png. `--ceiling` prints what the model
would find if it knew four fifths of all labels.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.analysis.bond_valence import BV_PARAMS
from pymatgen.core import Composition, Element, Lattice

from agent.acquisition_config import AcquisitionConfig
from agent.backtest import BacktestConfig, run_backtest
from agent.backtest_report import metrics, write_report
from agent.surrogates import Kind, make_surrogate
from agent.table import Table, standardised

ROOT = Path(__file__).parents[2]
ANIONS = {"O", "F", "S", "Se", "Te", "N", "Cl", "Br", "I"}
#: Å; how sharply a bond's valence falls with its length (O'Keeffe & Brese).
SOFTNESS_A = 0.31
TARGETS = 28
BATCH = 8
DEFAULT = "top-k+cluster-quota"
WITH = ["cheap-order", DEFAULT, "top-k", "ei+cluster-quota", "greedy", "lcb", "hybrid"]
WITHOUT = ["random", "stratified", DEFAULT, "top-k", "ei+cluster-quota", "lcb"]


def load() -> list[dict[str, Any]]:
    shared = Path(os.environ.get("IONLOOP_SHARED", ROOT.parent / "shared"))
    path = shared / "data" / "migration_barriers_dft.jsonl.gz"
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def bond_valence(ion: str, others: list[str], distance_A: np.ndarray) -> np.ndarray:
    """Bond valences of the ion with its neighbours (O'Keeffe & Brese, J. Am. Chem. Soc. 113, 3226 (1991))."""
    own = BV_PARAMS[Element(ion)]
    valence = np.zeros(len(others))
    for i, (other, d) in enumerate(zip(others, distance_A, strict=True)):
        pair = BV_PARAMS.get(Element(other))
        if pair is None:
            continue
        r1, r2, c1, c2 = own["r"], pair["r"], own["c"], pair["c"]
        length = r1 + r2 - r1 * r2 * (np.sqrt(c1) - np.sqrt(c2)) ** 2 / (c1 * r1 + c2 * r2)
        valence[i] = np.exp((length - d) / SOFTNESS_A)
    return valence


def path_features(row: dict[str, Any]) -> dict[str, float]:
    """Geometry of the path: the first five sites are the moving ion at five images."""
    lattice = Lattice(row["lattice_A"])
    coords = np.array(row["coords"])
    fractional = lattice.get_fractional_coords(coords) if row["cartesian"] else coords
    images, rest = fractional[:5], fractional[5:]
    species = row["species"][5:]
    anion = np.array([s in ANIONS for s in species])
    if not anion.any():  # an alloy: whatever is not the moving ion
        anion = np.array([s != row["species"][0] for s in species])
    step = images[-1] - images[0]
    features = {"length": float(np.linalg.norm(lattice.get_cartesian_coords(step - np.round(step))))}
    features["volume per atom"] = lattice.volume / (len(species) + 1)
    sums, anions, cations = [], [], []
    for image in images:
        # Cells are supercells (a median of 111 atoms), so the nearest image is all that matters.
        distance = lattice.get_all_distances(image, rest)[0]
        near = np.flatnonzero(anion & (distance < 5.0) & (distance > 0.4))
        sums.append(bond_valence(row["species"][0], [species[i] for i in near], distance[near]).sum())
        anions.append(np.sort(distance[anion])[:4])
        others = distance[~anion]
        cations.append(others[others > 0.4].min(initial=6.0))
    bvs, shortest, cation = np.array(sums), np.array(anions), np.array(cations)
    middle = slice(1, 4)
    features |= {
        "bvs ends": bvs[[0, 4]].mean(),
        "bvs middle": bvs[middle].max(),
        "bvs change": bvs[middle].max() - bvs[[0, 4]].min(),
        "bvs low": bvs.min(),
        "anion ends": shortest[[0, 4], 0].mean(),
        "anion middle": shortest[middle, 0].min(),
        "window": shortest[middle, :3].mean(axis=1).min(),
        "window 4": shortest[middle].mean(axis=1).min(),
        "cation middle": cation[middle].min(),
        "cation ends": cation[[0, 4]].min(),
    }
    return features


@cache
def magpie() -> Any:
    from matminer.featurizers.composition import ElementProperty

    return ElementProperty.from_preset("magpie", impute_nan=True)


def composition_features(row: dict[str, Any]) -> dict[str, float]:
    preset = magpie()
    counts: dict[str, int] = {}
    for symbol in row["species"][4:]:
        counts[symbol] = counts.get(symbol, 0) + 1
    return dict(zip(preset.feature_labels(), preset.featurize(Composition(counts)), strict=True))


def build(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of features, each scaled to weigh as much as ten columns; and the MACE barriers (n, 2), ln eV."""
    paths = standardised(pd.DataFrame([path_features(r) for r in rows]).to_numpy(dtype=float))
    statistics = standardised(pd.DataFrame([composition_features(r) for r in rows]).to_numpy(dtype=float))
    ion = [r["species"][0] for r in rows]
    properties = [[Element(i).Z, Element(i).X, Element(i).common_oxidation_states[0]] for i in ion]
    ions = standardised(np.hstack([pd.get_dummies(pd.Series(ion)).to_numpy(float), np.array(properties, float)]))
    family = pd.Series([r["family"] for r in rows])
    family = family.where(family.map(family.value_counts()) >= 5, "other")
    families = standardised(pd.get_dummies(family).to_numpy(dtype=float))
    blocks = [(paths, 12), (statistics, 12), (ions, 8), (families, 8)]
    features = np.hstack([b * np.sqrt(w / b.shape[1]) for b, w in blocks])
    mace = pd.DataFrame(rows)[["E_m_mace_relaxed_eV", "E_m_mace_unrelaxed_eV"]].astype(float)
    mace = mace.fillna(mace.median())  # three systems have no relaxed one
    return features, np.log(mace.to_numpy().clip(0.01))


def tables(rows: list[dict[str, Any]], cheap_weight: float) -> dict[str, Table]:
    features, mace = build(rows)
    target = tuple(np.array([np.log(r["E_m_dft_eV"])]) for r in rows)
    ids = tuple(f"{r['name']} #{i}" for i, r in enumerate(rows))
    scaled = standardised(mace) * np.sqrt([cheap_weight, cheap_weight / 4])
    return {
        "without": Table(ids, features, target),
        "with": Table(ids, np.hstack([features, scaled]), target, cheap=mace[:, 0]),
    }


def settings(
    fidelity: str, initial_by: str | None, seeds: int, batch: int, labels: int, surrogate: str
) -> BacktestConfig:
    return BacktestConfig.model_validate(
        {
            "strategies": WITH if fidelity == "with" else WITHOUT,
            "acquisition": AcquisitionConfig(diversity="none", kappa=1.0),
            "seeds": seeds,
            "batch": batch,
            "initial": 10,
            "initial_by": initial_by,
            "max_labels": labels,
            "top": TARGETS,
            "surrogate": surrogate,
        }
    )


def report(table: Table, config: BacktestConfig, name: str, scratch: Path, workers: int, title: str) -> None:
    result = run_backtest(table, config, scratch / name, workers=workers)
    write_report(result, scratch / name, title)
    kept = ROOT / "benchmarks" / "data" / name
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(scratch / name / "metrics.csv", kept)
    if config.seeds > 1:
        shutil.copy(scratch / name / "discovery.png", ROOT / "docs" / "benchmarks" / f"{name}.png")
    columns = ["strategy", "af_50", "af_80", "labels_to_50", "labels_to_80", "de_alm", "n_below_random"]
    print(name, f"N={len(table)}", metrics(result)[columns].round(2).to_string(index=False), sep="\n", flush=True)


def ceiling(name: str, table: Table, surrogate: Kind, folds: int = 5, repeats: int = 3) -> None:
    """Labels to 50 and 80 % in the order of held-out predictions by a model that knows four fifths of all labels."""
    truth, targets = table.truth, table.targets(TARGETS)
    for repeat in range(repeats):
        fold = np.random.default_rng(repeat).permutation(len(table)) % folds
        predicted = np.zeros(len(table))
        for part in range(folds):
            seen, unseen = np.flatnonzero(fold != part)[:, None], np.flatnonzero(fold == part)[:, None]
            model = make_surrogate(surrogate, table.features, repeat, table.cheap).fit(seen, truth[seen[:, 0]])
            predicted[unseen[:, 0]] = model.predict(unseen)
        found = np.cumsum(targets[np.argsort(predicted)])
        reached = [int(np.argmax(found >= share * TARGETS)) + 1 for share in (0.5, 0.8)]
        print(f"{name}: held-out predictions, split {repeat}: 50 % after {reached[0]}, 80 % after {reached[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--labels", type=int, default=160)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--only", help="such as all-with or no-lithium-without")
    parser.add_argument("--surrogate", default="gp", choices=["gp", "rf"])
    parser.add_argument("--scratch", type=Path, default=ROOT / "build" / "barriers")
    parser.add_argument("--ceiling", action="store_true", help="only what held-out predictions would find")
    args = parser.parse_args()
    everything = load()
    for task, rows in {
        "all": everything,
        "no-lithium": [r for r in everything if "Li" not in r["species"]],
    }.items():
        for fidelity, table in reversed(tables(rows, cheap_weight=10.0).items()):
            name, title = f"barriers-{task}-{fidelity}", f"{task}, {fidelity} the MACE fidelity"
            if args.only not in (None, f"{task}-{fidelity}"):
                continue
            if args.ceiling:
                ceiling(name, table, args.surrogate)
                continue
            for initial_by in ("cheap", "cheap-drawn") if fidelity == "with" else (None,):
                # Started by the cheap order nothing is left to chance.
                seeds = 1 if initial_by == "cheap" else args.seeds
                config = settings(fidelity, initial_by, seeds, args.batch, args.labels, args.surrogate)
                whole = f"{name}-ordered" if initial_by == "cheap" else name
                whole += "" if args.batch == BATCH else f"-batch-{args.batch}"
                report(table, config, whole, args.scratch, args.workers, title)


if __name__ == "__main__":
    main()
