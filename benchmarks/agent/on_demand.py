"""Do cheap labels on demand pay? `python -m benchmarks.agent.on_demand`.

The 559 literature barriers (`benchmarks.agent.barriers_dft`): the dear label is DFT's, the cheap one MACE's, ln E.
The campaign's own parts: the process learns the cheap labels first and the dear ones on top, `propose` chooses by the
default rule, `Fidelities.cheap_first` says which of the chosen get the cheap label first. A cheap label costs a tenth
of a dear.

    none          no cheap label at all; the first round is a maximin design
    at first      40 at random before the first round, which goes by what they teach
    on demand     the same 40, then one for a chosen candidate where that promises more per cost
    all           every candidate's, before the first round, which goes by them and their neighbours

Prints what was spent, in dear labels, until 50 and 80 % of the 28 lowest barriers were found (mean over the seeds in
which that happened within the budget), and writes benchmarks/data/on_demand.csv.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from rich.progress import track
from threadpoolctl import threadpool_limits

from agent.acquisition import Proposal, propose
from agent.acquisition_config import AcquisitionConfig
from agent.clusters import ClusterConfig, cluster
from agent.composition import Composition
from agent.fidelity import Fidelity
from agent.learner import CandidatePool, Observation
from agent.standing import Standing
from agent.surrogates import GaussianProcess
from agent.table import Table
from benchmarks.agent.barriers_dft import BATCH, ROOT, TARGETS, load, tables
from flows.fidelities import Fidelities, partial_correlation

RULES = ("none", "at first", "on demand", "all")
FIRST, PRETRAINED = 10, 40


class Campaign:
    """One campaign over the table; `found` holds what was spent and the share found after every dear label."""

    def __init__(self, table: Table, rule: str, cost: float, seed: int):
        assert table.cheap is not None
        self.table, self.cheap, self.rule, self.cost = table, table.cheap[:, 0], rule, cost
        self.rng = np.random.default_rng([7, seed])
        groups = cluster(table.features, ClusterConfig(groups=20)).labels
        names = [Composition("table", ((key, 1),), ((key, 0),), 0) for key in table.ids]
        self.pool = CandidatePool(names, np.arange(len(table))[:, None], groups, features=table.features)
        self.config = AcquisitionConfig(wanted=TARGETS)
        known_for_all = (table.cheap, table.around) if rule == "all" else (None, None)
        self.model = GaussianProcess(table.features, seed, *known_for_all)
        many = {"none": 0, "all": len(table)}.get(rule, PRETRAINED)
        self.known = set(self.rng.permutation(len(table))[:many].tolist())
        self.spent = many * cost
        self.learned_from = 0
        self.labelled: list[Observation] = []
        self.predicted: list[float] = []
        self.found: list[tuple[float, float]] = []

    def run(self, budget: float) -> list[tuple[float, float]]:
        self.dear(self.first(), [float("nan")] * FIRST)
        while self.spent < budget:
            self.learn_cheap()
            asked = np.array([[o.composition] for o in self.labelled])
            self.model.fit(asked, np.array([o.value_eV for o in self.labelled]))
            standing = Standing(self.labelled, progress=self.spent / budget)
            proposals = propose(self.model, self.pool, self.config, BATCH, standing, self.rng)
            first = self.fidelities().cheap_first(proposals) if self.rule == "on demand" else [""] * len(proposals)
            for proposal, reason in zip(proposals, first, strict=True):
                if reason:
                    self.known.add(proposal.index)
                    self.spent += self.cost
            self.dear(*self.split(proposals, first))
        return self.found

    def first(self) -> list[int]:
        """As a back-test starts: at random from twice as many as the cheap labels call low."""
        if self.rule == "none":
            return [p.index for p in propose(None, self.pool, self.config, FIRST, rng=self.rng)]
        self.learn_cheap()
        lowest = np.argsort(self.model.prior_mean(), kind="stable")[: 2 * FIRST]
        return [int(i) for i in self.rng.permutation(lowest)[:FIRST]]

    def learn_cheap(self) -> None:
        """Anew where there are new cheap labels; those of all candidates are known by themselves."""
        if self.rule != "all" and len(self.known) > self.learned_from:
            rows = sorted(self.known)
            self.model.pretrain(np.array(rows)[:, None], self.cheap[rows])
            self.learned_from = len(rows)

    @staticmethod
    def split(proposals: list[Proposal], first: list[str]) -> tuple[list[int], list[float]]:
        now = [p for p, reason in zip(proposals, first, strict=True) if not reason]
        return [p.index for p in now], [p.mean_eV for p in now]

    def dear(self, candidates: list[int], means: list[float]) -> None:
        targets = self.table.targets(TARGETS)
        for candidate, mean in zip(candidates, means, strict=True):
            self.labelled.append(Observation(candidate, 0, float(self.table.truth[candidate])))
            self.predicted.append(mean)
            self.spent += 1.0
            share = targets[[o.composition for o in self.labelled]].sum() / TARGETS
            self.found.append((self.spent, float(share)))

    def fidelities(self) -> Fidelities:
        pairs = [
            (self.cheap[o.composition], o.value_eV, mean)
            for o, mean in zip(self.labelled, self.predicted, strict=True)
            if o.composition in self.known and np.isfinite(mean)
        ]
        correlation = partial_correlation(np.array(pairs, dtype=float).reshape(-1, 3))
        return Fidelities(
            cheap=Fidelity("mace", self.cost, correlation),
            dear=Fidelity("dft", 1.0),
            known=frozenset((self.pool.compositions[i].key, 0) for i in self.known),
            best_eV=min(o.value_eV for o in self.labelled),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=float, default=160.0, help="in dear labels")
    parser.add_argument("--cost", type=float, nargs="*", default=[0.1], help="of a cheap label, in dear ones")
    args = parser.parse_args()
    table = tables(load())["with"]
    rows = []
    for cost in args.cost:
        for rule in RULES:
            for seed in track(range(args.seeds), f"{rule}, {cost:g}"):
                with threadpool_limits(1):
                    campaign = Campaign(table, rule, cost, seed)
                    found = campaign.run(args.budget)
                row = {"cost": cost, "rule": rule, "seed": seed, "cheap labels": len(campaign.known)}
                for share in (0.5, 0.8):
                    row[f"spent to {share:.0%}"] = next((spent for spent, s in found if s >= share), np.nan)
                row["found"] = next((s for spent, s in reversed(found) if spent <= args.budget), 0.0)
                rows.append(row)
    frame = pd.DataFrame(rows)
    frame.round(4).to_csv(ROOT / "benchmarks" / "data" / "on_demand.csv", index=False)
    grouped = frame.drop(columns="seed").groupby(["cost", "rule"], sort=False)
    for name, part in (("mean", grouped.mean()), ("standard error", grouped.sem()), ("seeds", grouped.count())):
        print(name, part.round(2).to_string(), sep="\n")


if __name__ == "__main__":
    main()
