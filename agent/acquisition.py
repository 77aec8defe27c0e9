"""Which compositions to label next: modAL query strategies, composable from configuration.

`propose` is what a campaign calls each round. It drives modAL's `ActiveLearner` with a strategy of modAL's
own signature, `(learner, X, n_instances) -> (indices, metrics)`, where a row of X holds the row ids of one
composition's orderings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agent import diversity, replicates, scores
from agent.composition import Composition
from agent.learner import CandidatePool, CompositionEstimator, Observation, Surrogate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strategy = Literal["random", "stratified", "greedy", "max-sigma", "lcb", "ei", "pi", "thompson", "hybrid"]
Diversity = Literal["none", "cluster-quota", "kmeans", "lcmd"]
QueryStrategy = Callable[..., tuple[Ints, dict[str, Floats]]]

#: Strategies that need no trained model.
MODEL_FREE = ("random", "stratified")


class AcquisitionConfig(BaseModel):
    """How the next batch is chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Strategy = Field(
        "lcb",
        description="random; stratified (the CGformer paper's: in proportion to the clusters); greedy (lowest mean); "
        "max-sigma (largest uncertainty); lcb (lower confidence bound); ei (expected improvement); pi (probability "
        "of improvement); thompson (one ensemble member per place); hybrid (lcb from exploring to exploiting).",
    )
    diversity: Diversity = Field(
        "cluster-quota",
        description="none; cluster-quota (no cluster takes more than its share); kmeans (one of each group of the "
        "top beta x batch); lcmd (largest cluster, maximum distance). Ignored by random and stratified.",
    )
    initial: Literal["random", "stratified"] = Field(
        "stratified", description="How the first batch is chosen, while nothing is labelled."
    )
    kappa: float = Field(1.0, ge=0, description="Weight of sigma in lcb; where hybrid starts from.")
    kappa_end: float = Field(0.0, ge=0, description="Where hybrid ends.")
    xi_eV: float = Field(0.0, ge=0, description="Smallest improvement (eV) that counts, in ei and pi.")
    beta: float = Field(5.0, ge=1, description="kmeans and lcmd choose from the top beta x batch.")
    cluster_share: float = Field(0.5, gt=0, le=1, description="Largest share of a batch for one cluster.")
    unseen_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Largest share of a batch that goes first to clusters without any label.",
    )
    max_orderings: int = Field(
        1,
        ge=1,
        description="Label up to so many orderings of one composition where one more is worth more (knowledge "
        "gradient) than the new composition in whose place it would come.",
    )
    repeat_from: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of the budget after which further orderings may be asked for: first find, then confirm.",
    )


@dataclass(frozen=True)
class Proposal:
    """One composition to be labelled and why.

    Attributes:
        index: its place in the pool.
        composition: what it is.
        ordering: which ordering of it is to be computed.
        mean_eV, sigma_eV: what the model predicts; NaN before there is a model.
        score: the strategy's, higher is better (eV for greedy, lcb, ei; a probability for pi; a rank for
            thompson).
        rank: by score among all candidates, 1 is the best.
        cluster: its cluster.
        reason: in words.
    """

    index: int
    composition: Composition
    ordering: int
    mean_eV: float
    sigma_eV: float
    score: float
    rank: int
    cluster: int
    reason: str


@dataclass(frozen=True)
class _Candidates:
    """The part of the pool that may be asked for: a composition each, with the ordering that would be
    computed.
    """

    index: Ints
    ordering: Ints
    replicates: Ints  # orderings already labelled


@dataclass(frozen=True)
class _Known:
    """What is labelled or pending: compositions by index, one entry each, and the labels by composition."""

    index: Ints
    values: dict[int, list[float]]


def propose(
    surrogate: Surrogate | None,
    pool: CandidatePool,
    config: AcquisitionConfig,
    batch: int,
    labelled: Sequence[Observation],
    pending: Sequence[tuple[int, int]] = (),
    rng: np.random.Generator | None = None,
    progress: float = 0.0,
    pinned: Sequence[int] = (),
    recent: Sequence[int] = (),
) -> list[Proposal]:
    """The next batch, best first.

    Args:
        surrogate: the trained model; None before the first labels, which makes it `config.initial`.
        pool: what may be asked for.
        config: how to choose.
        batch: how many proposals; fewer come back if fewer candidates are left, none if none is.
        labelled: labels so far.
        pending: (composition, ordering) asked for and not yet answered, or failed and not to be asked for
            again.
        rng: source of every random choice; the same generator gives the same batch.
        progress: how much of the budget is spent, 0 to 1 (for hybrid).
        pinned: compositions (index) that a person wants next; they come first if they are still candidates.
        recent: compositions (index) out of `labelled` and `pending` that count as part of this batch: where
            proposals are made one by one, diversity is that of the last few and the new one together.

    Raises:
        ValueError: batch below 1, a label that is not finite, or an index outside the pool.
    """
    from modAL.models import ActiveLearner  # it imports torch: seconds that nobody else should wait for

    _check(pool, batch, labelled, pending, pinned)
    rng = rng or np.random.default_rng(0)
    candidates = _candidates(pool, config if progress >= config.repeat_from else _once(config), labelled, pending)
    known = _known(labelled, pending)
    pins = [i for i in dict.fromkeys(pinned) if i in set(candidates.index.tolist())][:batch]
    batch = min(batch, len(candidates.index))
    if batch == 0:
        return []
    if surrogate is None and config.strategy not in MODEL_FREE:
        config = config.model_copy(update={"strategy": config.initial})
    strategy = query_strategy(config, pool, candidates, known, rng, progress, pins, recent)
    estimator = None if surrogate is None else CompositionEstimator(surrogate)
    learner = ActiveLearner(estimator=estimator, query_strategy=strategy)
    chosen, _, metrics = learner.query(pool.rows[candidates.index], n_instances=batch, return_metrics=True)
    ranks = np.empty(len(candidates.index), dtype=np.int64)
    ranks[diversity.best_first(metrics["score"], np.random.default_rng(0))] = np.arange(1, len(ranks) + 1)
    seen = {int(c) for c in pool.clusters[known.index]}
    proposals = []
    for position in chosen:
        proposal = _proposal(pool, config, candidates, int(position), metrics, ranks, seen, set(pins))
        seen.add(proposal.cluster)
        proposals.append(proposal)
    return proposals


def query_strategy(
    config: AcquisitionConfig,
    pool: CandidatePool,
    candidates: _Candidates,
    known: _Known,
    rng: np.random.Generator,
    progress: float = 0.0,
    pins: Sequence[int] = (),
    recent: Sequence[int] = (),
) -> QueryStrategy:
    """A modAL query strategy: `(learner, X, n_instances) -> (indices, {"score", "mean", "sigma"})`."""

    def strategy(learner: Any, X: Ints, n_instances: int = 1) -> tuple[Ints, dict[str, Floats]]:
        estimator: CompositionEstimator | None = learner.estimator
        clusters = pool.clusters[candidates.index]
        if config.strategy in MODEL_FREE or estimator is None:
            if config.strategy == "stratified":
                order = _stratified(pool, candidates, known, n_instances, rng)
            else:
                order = rng.permutation(len(X))
            score = np.zeros(len(X))
            score[order] = np.arange(len(order), 0, -1)
            mean, sigma = _predict(estimator, X)
            chosen = _with_pins(order, candidates.index, pins, n_instances)
            return chosen, {"score": score, "mean": mean, "sigma": sigma}
        mean, sigma = _predict(estimator, X)
        scatter = replicates.scatter_eV(known.values)
        mean, sigma = replicates.posterior(mean, sigma, candidates.index, known.values, scatter)
        gain = replicates.knowledge_gradient(mean, sigma, scatter)
        again = candidates.replicates > 0
        best = _best(estimator, pool, known, mean)
        score = _score(config, estimator, X, mean, sigma, best, n_instances, rng, progress)
        order = diversity.best_first(score, rng)
        order = np.concatenate(
            [order[~again[order]], order[again[order]]]
        )  # further orderings come by their own rule
        if config.diversity == "none":
            chosen = order[:n_instances]
        elif config.diversity == "cluster-quota":
            share, unseen = config.cluster_share, config.unseen_share
            asked, with_us = pool.clusters[known.index], pool.clusters[list(recent)]
            chosen = diversity.cluster_quota(order, clusters, n_instances, share, asked, unseen, with_us)
        else:
            embedded = estimator.embed(X)
            beta = config.beta * (1 + len(recent) / n_instances)  # as wide as the whole batch's would be
            if config.diversity == "kmeans":
                taken = _embed(estimator, pool.rows[list(recent)], embedded.shape[1])
                chosen = diversity.kmeans_of_top(order, embedded, n_instances, beta, rng, taken)
            else:
                seen = _embed(estimator, pool.rows[known.index], embedded.shape[1])
                chosen = diversity.lcmd_of_top(order, embedded, n_instances, beta, seen)
        chosen = replicates.exchanged(chosen, gain, again)
        chosen = _with_pins(chosen, candidates.index, pins, n_instances)
        return chosen, {"score": score, "mean": mean, "sigma": sigma, "gain": gain}

    return strategy


def _score(
    config: AcquisitionConfig,
    estimator: CompositionEstimator,
    X: Ints,
    mean: Floats,
    sigma: Floats,
    best: float,
    n_instances: int,
    rng: np.random.Generator,
    progress: float,
) -> Floats:
    if config.strategy == "greedy":
        return scores.greedy(mean)
    if config.strategy == "max-sigma":
        return sigma
    if config.strategy == "lcb":
        return scores.lower_confidence_bound(mean, sigma, config.kappa)
    if config.strategy == "hybrid":
        kappa = config.kappa + (config.kappa_end - config.kappa) * min(max(progress, 0.0), 1.0)
        return scores.lower_confidence_bound(mean, sigma, kappa)
    if config.strategy == "ei":
        return scores.expected_improvement(mean, sigma, best, config.xi_eV)
    if config.strategy == "pi":
        return scores.probability_of_improvement(mean, sigma, best, config.xi_eV)
    members = estimator.predict_members(X)
    draws = members[rng.choice(len(members), n_instances, replace=n_instances > len(members))]
    return scores.thompson(draws, rng)


def _predict(estimator: CompositionEstimator | None, X: Ints) -> tuple[Floats, Floats]:
    if estimator is None:
        return np.full(len(X), np.nan), np.full(len(X), np.nan)
    mean, sigma = estimator.predict(X, return_std=True)
    return np.asarray(mean), np.asarray(sigma)


def _embed(estimator: CompositionEstimator, rows: Ints, width: int) -> Floats:
    return estimator.embed(rows) if len(rows) else np.empty((0, width))


def _best(estimator: CompositionEstimator, pool: CandidatePool, known: _Known, mean: Floats) -> float:
    """The lowest value known, eV: of the model's mean at labelled compositions, which noise does not
    flatter.
    """
    labelled = np.array(sorted(known.values), dtype=np.int64)
    if len(labelled) == 0:
        return float(mean.min())
    return float(np.asarray(estimator.predict(pool.rows[labelled])).min())


def _stratified(
    pool: CandidatePool, candidates: _Candidates, known: _Known, batch: int, rng: np.random.Generator
) -> Ints:
    """Positions such that every cluster has its share of the labels at any time (the paper takes 30 % of
    each).
    """
    groups = int(pool.clusters.max()) + 1
    share = np.bincount(pool.clusters[pool.allowed], minlength=groups) / max(1, pool.allowed.sum())
    have = np.bincount(pool.clusters[known.index], minlength=groups).astype(float)
    queues = [rng.permutation(np.flatnonzero(pool.clusters[candidates.index] == g)).tolist() for g in range(groups)]
    order: list[int] = []
    jitter = rng.random(groups) * 1e-6
    while len(order) < min(batch, len(candidates.index)):
        deficit = share * (have.sum() + 1) - have + jitter
        deficit[[not queue for queue in queues]] = -np.inf
        group = int(deficit.argmax())
        order.append(queues[group].pop())
        have[group] += 1
    return np.array(order, dtype=np.int64)


def _with_pins(chosen: Ints, index: Ints, pins: Sequence[int], batch: int) -> Ints:
    if not pins:
        return chosen[:batch]
    first = np.array([int(np.flatnonzero(index == pin)[0]) for pin in pins], dtype=np.int64)
    return np.concatenate([first, chosen[~np.isin(chosen, first)]])[:batch]


def _once(config: AcquisitionConfig) -> AcquisitionConfig:
    return config.model_copy(update={"max_orderings": 1})


def _candidates(
    pool: CandidatePool,
    config: AcquisitionConfig,
    labelled: Sequence[Observation],
    pending: Sequence[tuple[int, int]],
) -> _Candidates:
    """New compositions, and labelled ones of which another ordering may be asked for."""
    asked: dict[int, set[int]] = {}
    for observation in labelled:
        asked.setdefault(observation.composition, set()).add(observation.ordering)
    waiting = {composition for composition, _ in pending}
    for composition, waited_for in pending:
        asked.setdefault(composition, set()).add(waited_for)
    free = pool.allowed.copy()
    free[list(asked)] = False
    index = np.flatnonzero(free)
    ordering = np.zeros(len(index), dtype=np.int64)
    replicates = np.zeros(len(index), dtype=np.int64)
    again = []
    for composition, orderings in sorted(asked.items()):
        limit = min(config.max_orderings, pool.rows.shape[1])
        unasked = [k for k in range(limit) if k not in orderings]
        if unasked and composition not in waiting and pool.allowed[composition]:
            again.append((composition, unasked[0], len(orderings)))
    if again:
        extra = np.array(again, dtype=np.int64)
        index = np.concatenate([index, extra[:, 0]])
        ordering = np.concatenate([ordering, extra[:, 1]])
        replicates = np.concatenate([replicates, extra[:, 2]])
    return _Candidates(index, ordering, replicates)


def _known(labelled: Sequence[Observation], pending: Sequence[tuple[int, int]]) -> _Known:
    values: dict[int, list[float]] = {}
    for observation in labelled:
        values.setdefault(observation.composition, []).append(observation.value_eV)
    index = sorted(set(values) | {composition for composition, _ in pending})
    return _Known(np.array(index, dtype=np.int64), values)


def _proposal(
    pool: CandidatePool,
    config: AcquisitionConfig,
    candidates: _Candidates,
    position: int,
    metrics: dict[str, Floats],
    ranks: Ints,
    seen: set[int],
    pins: set[int],
) -> Proposal:
    index = int(candidates.index[position])
    cluster = int(pool.clusters[index])
    mean, sigma = float(metrics["mean"][position]), float(metrics["sigma"][position])
    score, rank = float(metrics["score"][position]), int(ranks[position])
    words = _reason(config, mean, sigma, score, rank, len(ranks))
    if index in pins:
        words = "pinned by a person"
    elif candidates.replicates[position]:
        gain = 1000 * float(metrics["gain"][position]) if "gain" in metrics else np.nan
        words = (
            f"ordering {int(candidates.ordering[position]) + 1} of a labelled composition: one more label is worth "
            f"{gain:.2g} meV (knowledge gradient), more than a new composition; so far {mean:.3f} ± {sigma:.3f} eV"
        )
    if cluster not in seen:
        words += f"; first label in cluster {cluster}"
    ordering = int(candidates.ordering[position])
    return Proposal(index, pool.compositions[index], ordering, mean, sigma, score, rank, cluster, words)


def _reason(config: AcquisitionConfig, mean: float, sigma: float, score: float, rank: int, of: int) -> str:
    if config.strategy == "random":
        return "drawn at random"
    if config.strategy == "stratified":
        return "its cluster is the one most short of labels for its size"
    predicted = f"predicted {mean:.3f} ± {sigma:.3f} eV, rank {rank} of {of:,}"
    said = {
        "greedy": "lowest predicted barrier",
        "max-sigma": "largest uncertainty",
        "lcb": f"low confidence bound {-score:.3f} eV",
        "hybrid": f"low confidence bound {-score:.3f} eV",
        "ei": f"expected improvement {1000 * score:.1f} meV",
        "pi": f"probability of improvement {score:.0%}",
        "thompson": "among the lowest of a random ensemble member",
    }[config.strategy]
    spread = "" if config.diversity == "none" or rank == 1 else f"; kept apart by {config.diversity}"
    return f"{said} ({predicted}){spread}"


def _check(
    pool: CandidatePool,
    batch: int,
    labelled: Sequence[Observation],
    pending: Sequence[tuple[int, int]],
    pinned: Sequence[int],
) -> None:
    if batch < 1:
        raise ValueError(f"batch is {batch}; it must be at least 1")
    for observation in labelled:
        if not np.isfinite(observation.value_eV):
            raise ValueError(f"the label of composition {observation.composition} is not finite")
    used = [o.composition for o in labelled] + [c for c, _ in pending] + list(pinned)
    if used and not 0 <= min(used) <= max(used) < len(pool):
        raise ValueError(f"composition index {max(used)} is outside the pool of {len(pool)}")
