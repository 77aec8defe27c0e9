"""Which compositions to label next, and why: `propose` is what a campaign calls each round.

It drives modAL's `ActiveLearner` with a strategy of `agent.strategies`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent import diversity
from agent.acquisition_config import MODEL_FREE, AcquisitionConfig
from agent.composition import Composition
from agent.learner import CandidatePool, CompositionEstimator, Surrogate
from agent.standing import Candidates, Standing
from agent.strategies import QueryStrategy

Floats = NDArray[np.float64]

#: A campaign that has not asked for anything.
NOTHING_ASKED = Standing()


@dataclass(frozen=True)
class Proposal:
    """One composition to be labelled and why.

    Attributes:
        index: its place in the pool.
        composition: what it is.
        ordering: which ordering of it is to be computed.
        mean_eV, sigma_eV: what the model predicts; NaN before there is a model.
        score: the strategy's, higher is better (eV for greedy, lcb, ei; a probability for pi; a rank for
            top-k and thompson).
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


def propose(
    surrogate: Surrogate | None,
    pool: CandidatePool,
    config: AcquisitionConfig,
    batch: int,
    standing: Standing = NOTHING_ASKED,
    rng: np.random.Generator | None = None,
) -> list[Proposal]:
    """The next batch, best first.

    Args:
        surrogate: the trained model; None before the first labels, which makes the strategy `config.initial`.
        pool: what may be asked for.
        config: how to choose.
        batch: how many proposals; fewer come back if fewer candidates are left, none if none is.
        standing: what was asked for so far.
        rng: source of every random choice; the same generator gives the same batch.

    Raises:
        ValueError: batch below 1, a label that is not finite, or an index outside the pool.
    """
    from modAL.models import ActiveLearner  # it imports torch: seconds that nobody else should wait for

    if batch < 1:
        raise ValueError(f"batch is {batch}; it must be at least 1")
    standing.check(pool)
    rng = rng or np.random.default_rng(0)
    candidates = Candidates.of(pool, standing, config.max_orderings if standing.progress >= config.repeat_from else 1)
    batch = min(batch, len(candidates))
    if batch == 0:
        return []
    if surrogate is None and config.strategy not in MODEL_FREE:
        config = config.model_copy(update={"strategy": config.initial})
    learner = ActiveLearner(
        estimator=None if surrogate is None else CompositionEstimator(surrogate),
        query_strategy=QueryStrategy(config, pool, candidates, standing, rng),
    )
    chosen, _, metrics = learner.query(pool.rows[candidates.index], n_instances=batch, return_metrics=True)
    words = _Words(config, pool, candidates, standing, metrics)
    return [words.proposal(int(position)) for position in chosen]


class _Words:
    """Puts positions among the candidates into proposals, one after the other, with their reasons."""

    def __init__(
        self,
        config: AcquisitionConfig,
        pool: CandidatePool,
        candidates: Candidates,
        standing: Standing,
        metrics: dict[str, Floats],
    ) -> None:
        self.config, self.pool, self.candidates, self.metrics = config, pool, candidates, metrics
        self.pins = set(standing.pinned)
        self.seen = set(pool.clusters[standing.asked].tolist())  # clusters with a label, now or soon
        best_first = diversity.best_first(metrics["score"], np.random.default_rng(0))
        self.ranks = np.empty(len(candidates), dtype=np.int64)
        self.ranks[best_first] = np.arange(1, len(candidates) + 1)

    def proposal(self, position: int) -> Proposal:
        index = int(self.candidates.index[position])
        cluster = int(self.pool.clusters[index])
        mean, sigma, score = (float(self.metrics[name][position]) for name in ("mean", "sigma", "score"))
        rank, ordering = int(self.ranks[position]), int(self.candidates.ordering[position])
        if index in self.pins:
            words = "pinned by a person"
        elif self.candidates.replicates[position]:
            gain = 1000 * float(self.metrics["gain"][position]) if "gain" in self.metrics else np.nan
            words = (
                f"ordering {ordering + 1} of a labelled composition: one more label is worth {gain:.2g} meV "
                f"(knowledge gradient), more than a new composition; so far {mean:.3f} ± {sigma:.3f} eV"
            )
        else:
            words = _reason(self.config, mean, sigma, score, rank, len(self.ranks))
        if cluster not in self.seen:
            words += f"; first label in cluster {cluster}"
        self.seen.add(cluster)
        return Proposal(index, self.pool.compositions[index], ordering, mean, sigma, score, rank, cluster, words)


def _reason(config: AcquisitionConfig, mean: float, sigma: float, score: float, rank: int, of: int) -> str:
    if config.strategy == "random":
        return "drawn at random"
    if config.strategy == "stratified":
        return "its cluster is the one most short of labels for its size"
    if config.strategy == "maximin":
        return "farthest from all that is labelled or asked for"
    predicted = f"predicted {mean:.3f} ± {sigma:.3f} eV, rank {rank} of {of:,}"
    said = {
        "greedy": "lowest predicted barrier",
        "max-sigma": "largest uncertainty",
        "lcb": f"low confidence bound {-score:.3f} eV",
        "hybrid": f"low confidence bound {-score:.3f} eV",
        "ei": f"expected improvement {1000 * score:.1f} meV",
        "pi": f"probability of improvement {score:.0%}",
        "top-k": f"large expected improvement of the {config.wanted} best",
        "thompson": "among the lowest of a random ensemble member",
    }[config.strategy]
    spread = "" if config.diversity == "none" or rank == 1 else f"; kept apart by {config.diversity}"
    return f"{said} ({predicted}){spread}"
