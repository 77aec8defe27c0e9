"""Query strategies of modAL's own signature: which candidates to take, by their scores and by a rule of diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import diversity, replicates, scores
from agent.acquisition_config import MODEL_FREE, AcquisitionConfig
from agent.learner import CandidatePool, CompositionEstimator
from agent.standing import Candidates, Standing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Choice = tuple[Ints, dict[str, Floats]]


@dataclass(frozen=True)
class QueryStrategy:
    """`(learner, X, n_instances) -> (positions in X, {"score", "mean", "sigma"})`, as modAL's ActiveLearner calls it.

    A row of X holds the row ids of one candidate's orderings. The metrics are arrays over all candidates; `mean` and
    `sigma` (eV) are NaN without a model, `gain` (eV) is there with one.
    """

    config: AcquisitionConfig
    pool: CandidatePool
    candidates: Candidates
    standing: Standing
    rng: np.random.Generator

    def __call__(self, learner: Any, X: Ints, n_instances: int = 1) -> Choice:
        estimator: CompositionEstimator | None = learner.estimator
        if estimator is None or self.config.strategy in MODEL_FREE:
            chosen, metrics = self._without_model(estimator, X, n_instances)
        else:
            chosen, metrics = self._by_model(estimator, X, n_instances)
        return self._pins_first(chosen, n_instances), metrics

    def _without_model(self, estimator: CompositionEstimator | None, X: Ints, n_instances: int) -> Choice:
        if self.config.strategy == "stratified":
            order = self._stratified(n_instances)
        elif self.config.strategy == "maximin":
            order = self._maximin(n_instances)
        else:
            order = self.rng.permutation(len(X))
        score = np.zeros(len(X))
        score[order] = np.arange(len(order), 0, -1)
        mean, sigma = _predict(estimator, X)
        return order[:n_instances], {"score": score, "mean": mean, "sigma": sigma}

    def _by_model(self, estimator: CompositionEstimator, X: Ints, n_instances: int) -> Choice:
        mean, sigma = _predict(estimator, X)
        values = self.standing.values_eV
        scatter = replicates.scatter_eV(values)
        mean, sigma = replicates.posterior(mean, sigma, self.candidates.index, values, scatter)
        score = self._score(estimator, X, mean, sigma, n_instances)
        order = diversity.best_first(score, self.rng)
        again = self.candidates.replicates > 0
        order = np.concatenate([order[~again[order]], order[again[order]]])  # further orderings have their own rule
        gain = replicates.knowledge_gradient(mean, sigma, scatter)
        chosen = replicates.exchanged(self._diverse(estimator, X, order, n_instances), gain, again)
        return chosen, {"score": score, "mean": mean, "sigma": sigma, "gain": gain}

    def _score(
        self, estimator: CompositionEstimator, X: Ints, mean: Floats, sigma: Floats, n_instances: int
    ) -> Floats:
        """(n,) higher is better."""
        config = self.config
        match config.strategy:
            case "greedy":
                return scores.greedy(mean)
            case "max-sigma":
                return sigma
            case "lcb":
                return scores.lower_confidence_bound(mean, sigma, config.kappa)
            case "hybrid":
                spent = min(max(self.standing.progress, 0.0), 1.0)
                kappa = config.kappa + (config.kappa_end - config.kappa) * spent
                return scores.lower_confidence_bound(mean, sigma, kappa)
            case "ei":
                best = float(self._known_eV(estimator, mean).min())
                return scores.expected_improvement(mean, sigma, best, config.xi_eV)
            case "pi":
                best = float(self._known_eV(estimator, mean).min())
                return scores.probability_of_improvement(mean, sigma, best, config.xi_eV)
            case "top-k":
                known = self._known_eV(estimator, mean)
                whole, before = n_instances + len(self.standing.recent), len(self.standing.asked)
                ranks = scores.ranks_of_places(config.wanted, whole, before, n_instances)
                return scores.top_k(mean, sigma, known, ranks, self.rng)
        members = estimator.predict_members(X)
        draws = members[self.rng.choice(len(members), n_instances, replace=n_instances > len(members))]
        return scores.thompson(draws, self.rng)

    def _known_eV(self, estimator: CompositionEstimator, mean: Floats) -> Floats:
        """What has been found: the model's means at labelled compositions, which noise does not flatter."""
        labelled = np.array(sorted(self.standing.values_eV), dtype=np.int64)
        return np.asarray(estimator.predict(self.pool.rows[labelled])) if len(labelled) else mean

    def _diverse(self, estimator: CompositionEstimator, X: Ints, order: Ints, n_instances: int) -> Ints:
        """The batch out of candidates in the order of their scores."""
        config, asked, recent = self.config, self.standing.asked, list(self.standing.recent)
        if config.diversity == "none":
            return order[:n_instances]
        if config.diversity == "cluster-quota":
            clusters = self.pool.clusters
            share, unseen = config.cluster_share, config.unseen_share
            here = clusters[self.candidates.index]
            return diversity.cluster_quota(order, here, n_instances, share, clusters[asked], unseen, clusters[recent])
        embedded = estimator.embed(X)
        beta = config.beta * (1 + len(recent) / n_instances)  # as wide as the whole batch's would be
        if config.diversity == "kmeans":
            taken = self._embed(estimator, recent, embedded.shape[1])
            return diversity.kmeans_of_top(order, embedded, n_instances, beta, self.rng, taken)
        seen = self._embed(estimator, asked, embedded.shape[1])
        return diversity.lcmd_of_top(order, embedded, n_instances, beta, seen)

    def _embed(self, estimator: CompositionEstimator, compositions: Sequence[int] | Ints, width: int) -> Floats:
        rows = self.pool.rows[compositions]
        return estimator.embed(rows) if len(rows) else np.empty((0, width))

    def _stratified(self, batch: int) -> Ints:
        """Such that every cluster has its share of the labels at any time (the paper takes 30 % of each)."""
        pool, here = self.pool, self.pool.clusters[self.candidates.index]
        groups = int(pool.clusters.max()) + 1
        share = np.bincount(pool.clusters[pool.allowed], minlength=groups) / max(1, pool.allowed.sum())
        have = np.bincount(pool.clusters[self.standing.asked], minlength=groups).astype(float)
        queues = [self.rng.permutation(np.flatnonzero(here == g)).tolist() for g in range(groups)]
        order: list[int] = []
        jitter = self.rng.random(groups) * 1e-6
        while len(order) < min(batch, len(here)):
            deficit = share * (have.sum() + 1) - have + jitter
            deficit[[not queue for queue in queues]] = -np.inf
            group = int(deficit.argmax())
            order.append(queues[group].pop())
            have[group] += 1
        return np.array(order, dtype=np.int64)

    def _maximin(self, batch: int) -> Ints:
        features = self.pool.features
        if features is None:
            raise ValueError("maximin measures distances between pool.features, which this pool does not have")
        return diversity.farthest_first(
            features[self.candidates.index], batch, features[self.standing.asked], self.rng
        )

    def _pins_first(self, chosen: Ints, batch: int) -> Ints:
        """What a person has pinned, as far as it is a candidate still, then the others."""
        index = self.candidates.index
        pins = dict.fromkeys(pin for pin in self.standing.pinned if pin in index)
        first = np.array([int(np.flatnonzero(index == pin)[0]) for pin in pins], dtype=np.int64)
        return np.concatenate([first, chosen[~np.isin(chosen, first)]])[:batch]


def _predict(estimator: CompositionEstimator | None, X: Ints) -> tuple[Floats, Floats]:
    """Mean and sigma (n,), eV; NaN without a model."""
    if estimator is None:
        return np.full(len(X), np.nan), np.full(len(X), np.nan)
    mean, sigma = estimator.predict(X, return_std=True)
    return np.asarray(mean), np.asarray(sigma)
