"""Acquisition functions for minimisation: how much a label of each candidate is worth. Higher is better.

`mean`, `sigma` are (n,) in eV; `best` is the lowest value known so far, in eV.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]


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


def thompson(draws: Floats, rng: np.random.Generator) -> Floats:
    """Minus the best rank that a candidate has in any draw (draws, n): the top b are the minima of the draws.

    Ties (every draw has one rank 0) go to the lower mean over the draws, and then to chance.
    """
    shuffled = rng.permutation(draws.shape[1])
    columns = draws[:, shuffled]
    ranks = np.argsort(np.argsort(columns, axis=1, kind="stable"), axis=1).min(axis=0)
    order = np.argsort(np.argsort(columns.mean(axis=0), kind="stable"))
    score = np.empty(len(shuffled))
    score[shuffled] = -(ranks + order / (len(order) + 1.0))
    return score


def _z(gain: Floats, sigma: Floats) -> Floats:
    return gain / np.where(sigma > 0, sigma, 1.0)
