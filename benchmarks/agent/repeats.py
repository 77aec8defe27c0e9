"""When are further orderings worth their labels? `python -m benchmarks.agent.repeats`.

The NASICON pool; a label is one ordering, the truth the mean of 24. Three rules (`max_orderings`, `repeat_from`).
For each: what share of the 18 best is labelled at the end, how many of the 18 lowest posterior means are among the 18
best, how far the truth of the lowest posterior mean is above the lowest truth, how many compositions were labelled.

Prints means over the seeds with their standard errors and writes benchmarks/data/repeats.csv.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
import pandas as pd
from rich.progress import track

from agent import replicates
from agent.acquisition_config import AcquisitionConfig
from agent.backtest import BacktestConfig, run_one
from agent.clusters import ClusterConfig, cluster
from agent.surrogates import make_surrogate
from agent.table import Table
from benchmarks.agent.nasicon_backtest import DEFAULT, ROOT, TARGETS, load

RULES = {"none": (1, 1.0), "in the last 30 % of the budget": (24, 0.7), "from the start": (24, 0.0)}


def judged(table: Table, order: list[int], seed: int) -> dict[str, float]:
    """What a campaign that asked for these labels knows at its end."""
    labels: dict[int, list[float]] = defaultdict(list)
    for candidate in order:  # orderings of one candidate are asked for in their own order
        labels[candidate].append(float(table.values[candidate][len(labels[candidate])]))
    asked = np.array([c for c, own in labels.items() for _ in own])[:, None]
    model = make_surrogate("gp", table.features, seed).fit(asked, np.concatenate(list(labels.values())))
    every = np.arange(len(table))
    mean, sigma = model.predict(every[:, None], return_std=True)
    mean, _ = replicates.posterior(np.asarray(mean), np.asarray(sigma), every, labels, replicates.scatter_eV(labels))
    targets, named = table.targets(TARGETS), np.argsort(mean)
    return {
        "share of the 18 best labelled": float(targets[list(labels)].sum() / TARGETS),
        "of the 18 named, among the 18 best": float(targets[named[:TARGETS]].mean()),
        "regret of the one named, meV": float(1000 * (table.truth[named[0]] - table.truth.min())),
        "compositions labelled": float(len(labels)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--strategy", default=DEFAULT)
    args = parser.parse_args()
    table = load()
    groups = cluster(table.features, ClusterConfig(groups=20)).labels
    rows = []
    for rule, (most, start) in RULES.items():
        acquisition = AcquisitionConfig(diversity="none", max_orderings=most, repeat_from=start)
        config = BacktestConfig(acquisition=acquisition, batch=6, initial=12, max_labels=160, top=TARGETS)
        for seed in track(range(args.seeds), rule):
            order = run_one(table, config, groups, args.strategy, seed, None)
            rows.append({"further orderings": rule, "seed": seed, **judged(table, order, seed)})
    frame = pd.DataFrame(rows)
    frame.round(4).to_csv(ROOT / "benchmarks" / "data" / "repeats.csv", index=False)
    grouped = frame.drop(columns="seed").groupby("further orderings", sort=False)
    for name, part in (("mean", grouped.mean()), ("standard error", grouped.sem())):
        print(name, part.round(3).to_string(), sep="\n")


if __name__ == "__main__":
    main()
