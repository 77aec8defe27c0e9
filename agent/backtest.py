"""The campaign's own loop against a table of known labels: which strategy finds the best candidates with
fewest labels.

Only the labeller differs from a live campaign: `propose` chooses, the table answers. Runs (one strategy, one
seed) are independent, go through worker processes, and leave one file each, so that a back-test that was
killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator
from threadpoolctl import threadpool_limits

from agent.acquisition import propose
from agent.acquisition_config import MODEL_FREE, AcquisitionConfig
from agent.clusters import ClusterConfig, cluster
from agent.composition import Composition
from agent.learner import CandidatePool, Observation, Surrogate
from agent.metrics import Curves
from agent.standing import Standing
from agent.surrogates import GaussianProcess, make_surrogate
from agent.table import Table

Ints = NDArray[np.int64]
#: Makes a surrogate over a table's rows: row id = candidate * replicates + replicate. The built-in ones know
#: candidates only.
SurrogateFactory = Callable[[Table, int], Surrogate]
#: Called with runs done and runs in all.
ProgressCallback = Callable[[int, int], None]

#: Strategies that are no acquisition: the paper's one shot, and labelling in the order of the cheap fidelity.
SPECIAL = ("one-shot", "cheap-order")
#: Share of every cluster that the CGformer paper labels before it fits (238 of 826).
ONE_SHOT_SHARE = 0.3


class BacktestConfig(BaseModel):
    """What is compared, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategies: list[str] = Field(
        default=[
            *("random", "stratified", "one-shot", "greedy", "max-sigma", "lcb", "hybrid"),
            *("ei", "pi", "thompson", "top-k", "top-k+cluster-quota"),
        ],
        min_length=1,
        description="Names such as 'lcb', or with a diversity rule: 'ei+lcmd', 'lcb+kmeans', 'lcb+cluster-quota'. "
        "Also one-shot (30 % of every cluster, one fit, then by predicted mean) and cheap-order.",
    )
    acquisition: AcquisitionConfig = Field(
        default_factory=lambda: AcquisitionConfig(diversity="none"),
        description="Everything about the strategies that their names do not say; what is wanted are the targets.",
    )
    seeds: int = Field(50, ge=1, description="Runs per strategy.")
    batch: int = Field(8, ge=1, description="Labels per round.")
    initial: int = Field(16, ge=1, description="Labels of the first round; they count.")
    initial_by: Literal["cheap", "cheap-drawn"] | None = Field(
        None,
        description="How a strategy with a model chooses them where the table has a cheap fidelity. cheap: the best "
        "ones by what it says; cheap-drawn, if left out: at random from twice as many, so that seeds differ. Without "
        "a cheap fidelity: as acquisition.initial says.",
    )
    max_labels: int | None = Field(None, ge=1, description="Stop here; all candidates if left out.")
    top: float = Field(0.05, gt=0, description="Targets: a share of the candidates below 1, else their number.")
    surrogate: Literal["gp", "rf", "cgformer"] = Field(
        "gp", description="gp or rf; cgformer (tables of compositions or structures) comes as a factory from outside."
    )
    clusters: int = Field(20, ge=1, description="Groups of the clustering that cluster rules use.")
    seed: int = Field(0, ge=0, description="Seed that all runs derive theirs from.")

    @field_validator("strategies")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in SPECIAL:
                _acquisition(name, AcquisitionConfig())
        if len(set(names)) != len(names):
            raise ValueError("strategies: one is listed twice")
        return names if "random" in names else ["random", *names]  # nothing is shown without it


@dataclass(frozen=True)
class Backtest:
    """The outcome: `orders[strategy]` is (seeds, n), candidates in the order of their first label."""

    config: BacktestConfig
    table: Table
    targets: NDArray[np.bool_]
    orders: dict[str, Ints]

    def curves(self, strategy: str) -> Curves:
        return Curves.of(self.orders[strategy], self.table.truth, self.targets, self.table.sign)


def run_backtest(
    table: Table,
    config: BacktestConfig,
    folder: Path,
    factory: SurrogateFactory | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Backtest:
    """All strategies with all seeds; what `folder` already holds of the very same back-test is not run again.

    Args:
        table: the oracle.
        config: what to compare.
        folder: where the runs' files go (`folder/runs`).
        factory: makes the surrogate in place of `config.surrogate`; must be picklable for several workers.
        workers: processes; all cores if left out, 1 runs in this process.
        progress: called after every run.

    Raises:
        ValueError: the table is too small for the configuration, or lacks a cheap fidelity that a strategy
            needs.
    """
    targets = table.targets(config.top)
    if config.initial > len(table):
        raise ValueError(f"initial is {config.initial}, but the table has {len(table)} candidates")
    if factory is None and config.surrogate == "cgformer":
        raise ValueError("surrogate cgformer: the agent holds no network; use `ionloop backtest` or pass a factory")
    if table.cheap is None and (config.initial_by or "cheap-order" in config.strategies):
        raise ValueError("cheap-order needs the column of a cheap fidelity")
    groups = cluster(table.features, ClusterConfig(groups=config.clusters)).labels
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    tag = _fingerprint(table, config, factory)
    jobs = [(s, i) for i in range(config.seeds) for s in config.strategies]
    files = {job: runs / f"{job[0]}-{job[1]:03d}-{tag}.json" for job in jobs}
    missing = [job for job in jobs if not files[job].exists()]
    done = len(jobs) - len(missing)
    if progress:
        progress(done, len(jobs))
    for job, order in _run_all(table, config, groups, factory, missing, workers):
        _write(files[job], order)
        done += 1
        if progress:
            progress(done, len(jobs))
    orders = {
        s: np.array([json.loads(files[s, i].read_text()) for i in range(config.seeds)], dtype=np.int64)
        for s in config.strategies
    }
    return Backtest(config, table, targets, orders)


def run_one(
    table: Table, config: BacktestConfig, groups: Ints, strategy: str, seed: int, factory: SurrogateFactory | None
) -> list[int]:
    """One campaign over the table: candidates in the order of their first label."""
    limit = min(config.max_labels or len(table), len(table))
    if strategy == "cheap-order":
        return [int(i) for i in np.argsort(table.cheap_cost, kind="stable")[:limit]]
    rng = np.random.default_rng([config.seed, seed])
    with threadpool_limits(1):
        if strategy == "one-shot":
            return _one_shot(table, config, groups, seed, factory, rng, limit)
        return _campaign(_Oracle.of(table, groups, factory is not None), config, strategy, seed, factory, rng, limit)


@dataclass
class _Oracle:
    """A table dressed as a campaign's pool: candidates, their replicates as orderings, and the answers."""

    table: Table
    pool: CandidatePool

    @classmethod
    def of(cls, table: Table, groups: Ints, by_ordering: bool) -> Self:
        names = [Composition("table", ((identity, 1),), ((identity, 0),), 0) for identity in table.ids]
        if by_ordering:
            return cls(table, CandidatePool.of(names, groups, table.replicates, features=table.features))
        rows = np.repeat(np.arange(len(table))[:, None], table.replicates, axis=1)
        return cls(table, CandidatePool(names, rows, groups, features=table.features))

    def label(self, candidate: int, ordering: int) -> Observation:
        """The answer as a value to be minimised. Without replicates worth telling apart it is the candidate's
        mean.
        """
        values = self.table.values[candidate]
        value = values[ordering] if self.table.replicates > 1 else values.mean()
        return Observation(candidate, ordering, float(self.table.sign * value))

    def surrogate(self, config: BacktestConfig, seed: int, factory: SurrogateFactory | None) -> Surrogate:
        table = self.table
        if factory is not None:
            return factory(table, seed)
        assert config.surrogate != "cgformer"  # run_backtest has seen to it
        if table.cheap is None or table.around is None:
            return make_surrogate(config.surrogate, table.features, seed)
        cheap, around = table.sign * table.cheap, table.sign * table.around
        return make_surrogate(config.surrogate, table.features, seed, cheap, around)

    def fit(self, surrogate: Surrogate, labelled: list[Observation]) -> None:
        rows = np.array([[self.pool.rows[o.composition, o.ordering]] for o in labelled])
        surrogate.fit(rows, np.array([o.value_eV for o in labelled]))


def _campaign(
    oracle: _Oracle,
    config: BacktestConfig,
    strategy: str,
    seed: int,
    factory: SurrogateFactory | None,
    rng: np.random.Generator,
    limit: int,
) -> list[int]:
    wanted = int(oracle.table.targets(config.top).sum())
    acquisition = _acquisition(strategy, config.acquisition.model_copy(update={"wanted": wanted}))
    surrogate = None if acquisition.strategy in MODEL_FREE else oracle.surrogate(config, seed, factory)
    labelled = [oracle.label(i, 0) for i in _initial(oracle, config, acquisition, surrogate, rng)[:limit]]
    order = [o.composition for o in labelled]
    # A label of another ordering costs a label too: the order holds its candidate again, and finds nothing
    # new.
    while len(order) < limit:
        if surrogate is not None:
            oracle.fit(surrogate, labelled)
        batch = min(config.batch, limit - len(order))
        standing = Standing(labelled, progress=len(order) / limit)
        chosen = propose(surrogate, oracle.pool, acquisition, batch, standing, rng)
        if not chosen:
            break
        labelled += [oracle.label(p.index, p.ordering) for p in chosen]
        order += [p.index for p in chosen]
    return order


def _one_shot(
    table: Table,
    config: BacktestConfig,
    groups: Ints,
    seed: int,
    factory: SurrogateFactory | None,
    rng: np.random.Generator,
    limit: int,
) -> list[int]:
    """The paper's way: label 30 % of every cluster, fit once, then go by the predicted mean."""
    oracle = _Oracle.of(table, groups, factory is not None)
    stratified = AcquisitionConfig(strategy="stratified")
    first = propose(None, oracle.pool, stratified, max(2, round(ONE_SHOT_SHARE * len(table))), rng=rng)
    labelled = [oracle.label(p.index, 0) for p in first]
    if len(labelled) < limit:
        surrogate = oracle.surrogate(config, seed, factory)
        oracle.fit(surrogate, labelled)
        greedy = AcquisitionConfig(strategy="greedy", diversity="none")
        rest = propose(surrogate, oracle.pool, greedy, limit - len(labelled), Standing(labelled), rng)
        return [o.composition for o in labelled] + [p.index for p in rest]
    return [o.composition for o in labelled][:limit]


def _initial(
    oracle: _Oracle,
    config: BacktestConfig,
    acquisition: AcquisitionConfig,
    surrogate: Surrogate | None,
    rng: np.random.Generator,
) -> list[int]:
    if oracle.table.cheap is None or surrogate is None:
        return [p.index for p in propose(None, oracle.pool, acquisition, config.initial, rng=rng)]
    before = surrogate.prior_mean() if isinstance(surrogate, GaussianProcess) else oracle.table.cheap_cost
    order = np.argsort(before, kind="stable")
    if config.initial_by != "cheap":
        order = rng.permutation(order[: 2 * config.initial])
    return [int(i) for i in order[: config.initial]]


def _acquisition(name: str, base: AcquisitionConfig) -> AcquisitionConfig:
    """ "ei+lcmd" -> strategy ei with diversity lcmd, everything else from `base`."""
    strategy, _, rule = name.partition("+")
    options = base.model_dump() | {"strategy": strategy} | ({"diversity": rule} if rule else {})
    try:
        return AcquisitionConfig.model_validate(options)
    except ValueError as error:
        raise ValueError(
            f"strategies: {name!r} is not known; write e.g. 'lcb' or 'ei+lcmd' (or {', '.join(SPECIAL)})"
        ) from error


def _run_all(
    table: Table,
    config: BacktestConfig,
    groups: Ints,
    factory: SurrogateFactory | None,
    jobs: list[tuple[str, int]],
    workers: int | None,
) -> Iterator[tuple[tuple[str, int], list[int]]]:
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield job, run_one(table, config, groups, *job, factory)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run_one, table, config, groups, *job, factory): job for job in jobs}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _fingerprint(table: Table, config: BacktestConfig, factory: SurrogateFactory | None) -> str:
    """What a run's result depends on, beside its strategy and seed."""
    digest = hashlib.sha256()
    settings = config.model_dump(exclude={"strategies", "seeds", "top"})
    digest.update(json.dumps(settings, sort_keys=True).encode())
    digest.update(getattr(factory, "__qualname__", repr(factory)).encode())
    digest.update(f"{table.ids}{table.direction}".encode())
    for array in (table.features, *table.values, table.cheap if table.cheap is not None else np.empty(0)):
        digest.update(np.ascontiguousarray(array).round(9).tobytes())
    return digest.hexdigest()[:10]


def _write(path: Path, order: list[int]) -> None:
    """Atomically: a run that was cut short leaves no file that looks like a result."""
    scratch = path.with_suffix(f".{os.getpid()}.part")
    scratch.write_text(json.dumps(order))
    scratch.replace(path)
