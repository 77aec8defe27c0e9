"""Acquisition functions for minimisation: how much a label of each candidate is worth. Higher is better.

`mean`, `sigma` are (n,) in eV; `best` is the lowest value known so far, in eV.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def greedy(mean: Floats) -> Floats:
    """The lowest predicted mean first."""
    return -mean


def lower_confidence_bound(mean: Floats, sigma: Floats, kappa: float) -> Floats:
    """-(mean - kappa sigma) (Srinivas et al., ICML 2010), eV."""
    return kappa * sigma - mean


def expected_improvement(mean: Floats, sigma: Floats, best: float, xi: float = 0.0) -> Floats:
    """E[max(best - xi - y, 0)] for y ~ N(mean, sigma²) (Jones et al., J. Glob. Optim. 13, 455 (1998)), eV."""
    gain = best - xi - mean
    z = _z(gain, sigma)
    return np.asarray(np.where(sigma > 0, gain * norm.cdf(z) + sigma * norm.pdf(z), np.maximum(gain, 0.0)))


def probability_of_improvement(mean: Floats, sigma: Floats, best: float, xi: float = 0.0) -> Floats:
    """P(y < best - xi) for y ~ N(mean, sigma²)."""
    gain = best - xi - mean
    return np.asarray(np.where(sigma > 0, norm.cdf(_z(gain, sigma)), (gain > 0).astype(float)))


def top_k(mean: Floats, sigma: Floats, known: Floats, ranks: Ints, rng: np.random.Generator) -> Floats:
    """For who wants the k lowest, and not the lowest alone: expected improvement, every place over another bar.

    What is lower than the r-th lowest value known takes a place among the r best, so that the expected improvement
    over it is that of their sum. Over the lowest it explores, over the k-th it collects what is all but sure.

    Args:
        known: values (eV) found so far, at least one; as long as there are fewer than r, the worst is the bar.
        ranks: (places,) r of every place in the batch (`ranks_of_places`); 1 is expected improvement.
        rng: for ties.

    Returns:
        (n,) minus the best rank that a candidate has over any of the bars.
    """
    bars = np.sort(known)[np.minimum(ranks, len(known)) - 1]
    return _in_turn(-np.array([expected_improvement(mean, sigma, float(bar)) for bar in bars]), rng)


def ranks_of_places(k: int, batch: int, first: int, places: int) -> Ints:
    """(places,) whose r-th lowest value each place of a batch is to be lower than, rising: of k/b, 2k/b, ..., k.

    Args:
        k: how many are wanted.
        batch: places of a whole batch, b.
        first: how many places were filled before, in all; where proposals are made one by one they go round.
        places: how many are to be filled now.
    """
    place = 1 + (first + np.arange(places)) % batch
    return np.sort(np.ceil(k * place / batch).astype(np.int64))


def thompson(draws: Floats, rng: np.random.Generator) -> Floats:
    """Minus the best rank that a candidate has in any draw (draws, n): the top b are the minima of the draws."""
    return _in_turn(draws, rng)


def _in_turn(rows: Floats, rng: np.random.Generator) -> Floats:
    """(n,) minus the best rank that each column has in any row (m, n), lowest first.

    Ties (every row has one rank 0) go to the lower mean over the rows, and then to chance.
    """
    shuffled = rng.permutation(rows.shape[1])
    columns = rows[:, shuffled]
    ranks = np.argsort(np.argsort(columns, axis=1, kind="stable"), axis=1).min(axis=0)
    order = np.argsort(np.argsort(columns.mean(axis=0), kind="stable"))
    score = np.empty(len(shuffled))
    score[shuffled] = -(ranks + order / (len(order) + 1.0))
    return score


def _z(gain: Floats, sigma: Floats) -> Floats:
    return gain / np.where(sigma > 0, sigma, 1.0)
