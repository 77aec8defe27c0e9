"""The proof on the NASICON pool: `python -m benchmarks.agent.nasicon_backtest`.

994 compositions, truth = mean of 24 orderings' 3D bond-valence percolation barriers (benchmarks/data/nzsp_bvse*.csv).
Who finds the 18 best (the paper's number) with the fewest labels? Four kinds of label:

    one     a label is one random ordering
    mean    a label is the mean of four orderings (and the truth that of all 24)
    all     a label is the truth itself
    again   a label is one random ordering, and strategies may ask for further orderings of a composition

and, with means, every strategy with two surrogates in larger batches of 36, three trainings for 120 labels, as a
network's price asks for: `cgformer`, an ensemble of CGformers on what the process leaves over, smaller than a
campaign's (see `NETWORKS`), and `large`, the process. `cgformer-baselines` has the paper's ways with that ensemble.

The first round is a maximin design; `drawn` has `all` with a first round at random; `many` has the two best
strategies of `all` over 120 seeds.

Baselines: random; the CGformer paper's stratified sampling; its one-shot way (30 % of every cluster, one fit, then by
predicted mean). Surrogate: Gaussian process on compositions as sets of ions.

Writes benchmarks/data/nasicon-*/metrics.csv and docs/benchmarks/nasicon-*.png.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from agent.acquisition_config import AcquisitionConfig
from agent.backtest import BacktestConfig, run_backtest
from agent.backtest_report import metrics, write_report
from agent.hosts import load_host
from agent.table import Table
from benchmarks.agent.bvse_pool import DATA, MORE
from flows.backtesting import CGformers, EnsembleSize

ROOT = Path(__file__).parents[2]
TARGETS = 18
DEFAULT = "top-k+cluster-quota"
MODELS = [DEFAULT, "top-k", "ei+cluster-quota", "greedy", "lcb"]
OTHERS = ["pi", "thompson", "ei", "hybrid", "max-sigma", "ei+kmeans", "lcb+lcmd"]


#: Less than `ionloop backtest` trains, so that thirty seeds can be had.
NETWORKS = CGformers(EnsembleSize(members=2, width=32, epochs=8, min_steps=60, batch_size=8))


def load() -> Table:
    frame = pd.concat([pd.read_csv(DATA), pd.read_csv(MORE)])
    return Table.of_compositions(load_host("nzsp"), frame, "E_3D_eV")


def of_means(table: Table, k: int) -> Table:
    """The same candidates and truth; a label is the mean of their first `k` orderings."""
    means = tuple(np.array([v[:k].mean()]) for v in table.values)
    return Table(table.ids, table.features, means, judged=table.truth)


def run(name: str, table: Table, config: BacktestConfig, scratch: Path, workers: int, title: str) -> None:
    factory = NETWORKS if config.surrogate == "cgformer" else None

    def progress(done: int, runs: int) -> None:
        print(f"{name}: {done} of {runs} runs", end="\r", flush=True)

    result = run_backtest(table, config, scratch / name, factory, workers, progress)
    write_report(result, scratch / name, title)
    kept, pictures = ROOT / "benchmarks" / "data" / name, ROOT / "docs" / "benchmarks"
    for folder in (kept, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(scratch / name / "metrics.csv", kept)
    shutil.copy(scratch / name / "discovery.png", pictures / f"{name}.png")
    columns = ["strategy", "af_50", "af_80", "labels_to_50", "labels_to_80", "ef_max", "n_below_random"]
    print(name)
    print(metrics(result)[columns].round(2).to_string(index=False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=ROOT / "build" / "nasicon")
    parser.add_argument("--more", action="store_true", help="also the strategies that nobody expects to win")
    parser.add_argument("--only", nargs="*", default=["baselines", "one", "mean", "all", "again"])
    args = parser.parse_args()
    replicated = load()
    mean = of_means(replicated, 4)
    base = BacktestConfig(
        strategies=["random", "stratified", *MODELS, *(OTHERS if args.more else [])],
        acquisition=AcquisitionConfig(diversity="none", kappa=1.0),
        seeds=args.seeds,
        batch=6,
        initial=12,
        max_labels=160,
        top=TARGETS,
    )
    once = base.model_copy(update={"strategies": ["random", "stratified", "one-shot"], "max_labels": 500})
    again = base.acquisition.model_copy(update={"max_orderings": 6})
    large = base.model_copy(
        update={"strategies": ["random", "stratified", *MODELS, *OTHERS], "batch": 36, "max_labels": 120}
    )
    cgformer = {"surrogate": "cgformer"}
    many = base.model_copy(update={"strategies": ["random", DEFAULT, "ei+cluster-quota"], "seeds": 120})
    few = {"strategies": ["random", DEFAULT]}
    drawn = base.acquisition.model_copy(update={"initial": "random"})
    jobs = {
        "baselines": (mean, once, "baselines, labels are means of 4 orderings"),
        "mean": (mean, base, "a label is the mean of 4 orderings"),
        "all": (of_means(replicated, 24), base, "a label is the truth, the mean of 24 orderings"),
        "one": (replicated, base.model_copy(update=few), "a label is one random ordering"),
        "again": (
            replicated,
            base.model_copy(update=few | {"acquisition": again}),
            "one ordering a label, further orderings allowed",
        ),
        "drawn": (
            of_means(replicated, 24),
            base.model_copy(update={"strategies": [DEFAULT, "ei+cluster-quota"], "acquisition": drawn}),
            "a label is the truth, first round at random",
        ),
        "many": (of_means(replicated, 24), many, "a label is the truth, 120 seeds"),
        "large": (mean, large, "a label is the mean of 4 orderings, batches of 36"),
        "cgformer": (mean, large.model_copy(update=cgformer), "the same, by an ensemble of CGformers"),
        "cgformer-baselines": (mean, once.model_copy(update=cgformer), "baselines, by an ensemble of CGformers"),
    }
    for name in args.only:
        table, config, title = jobs[name]
        run(f"nasicon-{name}", table, config, args.scratch, args.workers, f"NASICON pool, {title}")


if __name__ == "__main__":
    main()
