"""CHGNet NEB labels of a part of the NASICON pool: choose the part, store its labels, say what they are worth.

    python -m benchmarks.agent.chgnet_pool choose FOLDER
    python benchmarks/label_pool.py FOLDER/chunk-00.extxyz FOLDER --processes 1      # and so on, for every chunk
    python -m benchmarks.agent.chgnet_pool store FOLDER
    python -m benchmarks.agent.chgnet_pool analyse

`choose` writes the orderings, a few to a file. `label_pool.py` appends to FOLDER/labels.jsonl, can be stopped at any
time and repeats nothing. `store` writes benchmarks/data/chgnet_pool.csv, a line a label; `analyse` reads that,
prints signal to noise, rank correlations, cost and failures, and draws docs/benchmarks/chgnet-pool.png.

The part is a systematic sample: 60 of the 994 compositions, evenly spaced in the order of their mean bond-valence
E_3D, so that correlations are those of the whole pool. Every composition gets ordering 0, in random sequence (what is
finished at any time is a fair sample), then half of them ordering 1, for the scatter between orderings.

With `--preset thorough` (percolation in a relaxed cell, what `quick` is not) twelve of these compositions get both
orderings, one composition after the other; label_pool.py takes --settings '{"preset": "thorough"}' then.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from benchmarks.agent.bvse_pool import DATA as BVSE
from benchmarks.agent.label_noise import icc, interval, variances

ROOT = Path(__file__).parents[2]
DATA = ROOT / "benchmarks" / "data"
TABLES = {"quick": DATA / "chgnet_pool.csv", "thorough": DATA / "chgnet_pool_thorough.csv"}
PLOT = ROOT / "docs" / "benchmarks" / "chgnet-pool.png"
COMPOSITIONS = 60
REPLICATED = 30
PAIRS = 12
CHUNK = 6
DIMENSIONS = ("E_1D_eV", "E_3D_eV")


def sample(preset: str) -> list[tuple[str, int]]:
    """(composition key, ordering) in the sequence in which they are labelled."""
    means = pd.read_csv(BVSE).groupby("composition").E_3D_eV.mean().sort_values(kind="stable")
    places = np.linspace(0, len(means) - 1, COMPOSITIONS).round().astype(int)
    keys = np.random.default_rng(0).permutation(means.index.to_numpy()[places])
    if preset == "thorough":
        return [(str(key), ordering) for key in keys[:PAIRS] for ordering in (0, 1)]
    return [(str(key), 0) for key in keys] + [(str(key), 1) for key in keys[:REPLICATED]]


def choose(folder: Path, preset: str) -> None:
    host = load_host("nzsp")
    frames = []
    for key, ordering in sample(preset):
        atoms = draw(host, Composition.from_key(key), ordering)
        atoms.info["name"] = f"{key} #{ordering}"
        frames.append(atoms)
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(frames), CHUNK)):
        ase.io.write(folder / f"chunk-{number:02d}.extxyz", frames[start : start + CHUNK])


def store(folder: Path, preset: str) -> None:
    """The labels as a table; of a label that was asked for twice the later line counts."""
    lines = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    rows = {line["name"]: _row(line, preset) for line in lines}
    frame = pd.DataFrame(rows.values()).sort_values(["ordering", "composition"])
    frame.round(5).to_csv(TABLES[preset], index=False)
    print(f"{len(frame)} labels of {frame.composition.nunique()} compositions in {TABLES[preset].name}")


def _row(line: dict[str, Any], preset: str) -> dict[str, Any]:
    composition, ordering = line["name"].rsplit(" #", 1)
    hops, decisive, failure = line["hops"], line["decisive"], line["failure"]
    hop = hops[decisive] if failure is None and decisive is not None else {}
    settings, versions = line["provenance"]["settings"], line["provenance"]["versions"]
    return {
        "composition": composition,
        "ordering": int(ordering),
        "E_b_eV": line["value_eV"],
        "forward_eV": hop.get("forward_eV"),
        "backward_eV": hop.get("backward_eV"),
        "converged": line["converged"],
        "relax_converged": bool(line["extra"].get("relax_converged", 0)),
        "saddle_is_end_point": bool(line["extra"].get("saddle_is_end_point", 0)),
        "hops_refused": len(hops) - 1 if failure is None else len(hops),
        "failure": failure["kind"] if failure else "",
        "why": failure["reason"] if failure else "",
        "force_calls": line["force_calls"],
        "seconds": line["seconds"].get("total"),
        "calculator": f"chgnet {versions['chgnet']}",
        "preset": preset,
        "rule": settings["rule"],
        "images": settings["images"],
    }


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float, float]:
    """Spearman's rank correlation with its 90 % bootstrap interval."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(a), size=len(a)) for _ in range(1000)]
    low, high = np.percentile([spearmanr(a[d], b[d]).statistic for d in draws], [5, 95])
    return float(spearmanr(a, b).statistic), float(low), float(high)


def analyse(preset: str) -> None:
    frame = pd.read_csv(TABLES[preset])
    good = frame[frame.E_b_eV.notna()]
    print(f"{len(frame)} labels asked for, {len(good)} with a value; failures: {dict(frame.failure.value_counts())}")
    print(f"cost: median {frame.seconds.median():.0f} s, {frame.force_calls.median():.0f} force calls")
    shares = {name: f"{good[name].mean():.0%}" for name in ("converged", "relax_converged", "saddle_is_end_point")}
    print(f"of those with a value: {shares}; first hop refused: {(good.hops_refused > 0).mean():.0%}")
    bvse = pd.read_csv(BVSE)
    same = good.merge(bvse, on=["composition", "ordering"])
    means = bvse.groupby("composition")[list(DIMENSIONS)].mean()
    first = same[same.ordering == 0]
    one_way = {f"{name} of the same ordering": first[name] for name in DIMENSIONS}
    one_way |= {f"{name}, mean of six": means.loc[first.composition, name] for name in DIMENSIONS}
    for name, other in one_way.items():
        rho, low, high = correlation(first.E_b_eV.to_numpy(), other.to_numpy())
        print(f"Spearman with {name}: {rho:.2f} [{low:.2f}, {high:.2f}], {len(first)} compositions")
    rows = {}
    for name in ("E_b_eV", *DIMENSIONS):
        pairs = same.pivot(index="composition", columns="ordering", values=name).dropna().to_numpy()
        between, within = variances(pairs)
        rows[name] = (pairs, icc(pairs), *interval(pairs))
        rho, low, high = correlation(pairs[:, 0], pairs[:, 1])
        print(
            f"{name}: {len(pairs)} pairs, mean {pairs.mean():.3f}, s between {np.sqrt(between):.3f}, within "
            f"{np.sqrt(within):.3f} eV, ICC {rows[name][1]:.2f} [{rows[name][2]:.2f}, {rows[name][3]:.2f}], Spearman "
            f"between the two {rho:.2f} [{low:.2f}, {high:.2f}]"
        )
    if preset == "quick":
        plot(first, rows["E_b_eV"][0], rows["E_3D_eV"][0])


def plot(first: pd.DataFrame, chgnet: NDArray[np.float64], bvse: NDArray[np.float64]) -> None:
    figure = Figure(figsize=(12, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    ends = first.saddle_is_end_point.astype(bool)
    for part, color, label in (
        (first[~ends], "#1f5a85", "a saddle between the ends"),
        (first[ends], "#c98a2b", "one end is the highest point"),
    ):
        left.scatter(part.E_3D_eV, part.E_b_eV, s=18, color=color, label=label)
    left.set(xlabel="bond-valence E_3D of the same ordering / eV", ylabel="CHGNet NEB barrier / eV")
    left.set_ylim(0, 1.25 * first.E_b_eV.max())  # room for the legend
    left.legend(fontsize=8, loc="upper left")
    for axes, pairs, name in ((middle, chgnet, "CHGNet NEB barrier"), (right, bvse, "bond-valence E_3D")):
        axes.scatter(pairs[:, 0], pairs[:, 1], s=18, color="#1f5a85")
        ends_of_line = [pairs.min(), pairs.max()]
        axes.plot(ends_of_line, ends_of_line, color="0.6", linewidth=1)
        axes.set(xlabel=f"{name}, ordering 0 / eV", ylabel="ordering 1 / eV")
        axes.set_title(f"ICC {icc(pairs):.2f}, {len(pairs)} compositions", fontsize=9)
    figure.savefig(PLOT, dpi=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["choose", "store", "analyse"])
    parser.add_argument("folder", type=Path, nargs="?", help="of orderings and labels: for choose and store")
    parser.add_argument("--preset", choices=list(TABLES), default="quick")
    args = parser.parse_args()
    if args.command == "analyse":
        analyse(args.preset)
    elif args.folder is None:
        parser.error(f"{args.command} needs FOLDER")
    else:
        {"choose": choose, "store": store}[args.command](args.folder, args.preset)


if __name__ == "__main__":
    main()
