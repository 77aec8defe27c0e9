"""Figures of merit of a discovery campaign over a table whose truth is known. Pure functions of orders of
labelling.

Definitions (Rohr et al., Chem. Sci. 11, 2696 (2020); Liang et al., npj Comput. Mater. 7, 188 (2021)), with N
candidates, M targets among them, n labels:

    Top%(n) = targets found by n / M                          random expectation n / N (hypergeometric mean)
    AF(t)   = n_random(t) / n_strategy(t), n where the mean Top% reaches t; n_random(t) = t N
    EF(n)   = Top%_strategy(n) / Top%_random(n)
    P(at least one target by n | random) = 1 - C(N - M, n) / C(N, n)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Curves:
    """What a strategy did over several seeds. Column n - 1 stands for n labels.

    Attributes:
        top_fraction: (seeds, n) share of the targets found.
        best_value: (seeds, n) best truth among what is labelled, in the table's unit.
        n_candidates, n_targets: N and M.
    """

    top_fraction: Floats
    best_value: Floats
    n_candidates: int
    n_targets: int

    @classmethod
    def of(cls, orders: Ints, truth: Floats, targets: NDArray[np.bool_], sign: int) -> Curves:
        """From (seeds, n) indices in the order of labelling; sign +1 if low is good.

        A candidate that is labelled again costs a label and finds nothing new.
        """
        new = np.zeros(orders.shape, dtype=bool)
        for seed, order in enumerate(orders):
            new[seed, np.unique(order, return_index=True)[1]] = True
        found = np.cumsum(targets[orders] & new, axis=1) / targets.sum()
        best = sign * np.minimum.accumulate(sign * truth[orders], axis=1)
        return cls(found, best, len(truth), int(targets.sum()))

    @property
    def n(self) -> Ints:
        return np.arange(1, self.top_fraction.shape[1] + 1)

    def labels_to(self, share: float) -> float:
        """Smallest n at which the mean Top% over the seeds reaches `share`; NaN if it never does."""
        return _first(self.top_fraction.mean(axis=0), share)

    def acceleration(self, share: float) -> float:
        """AF at `share` of the targets; NaN if the strategy never gets there."""
        return share * self.n_candidates / self.labels_to(share)

    def acceleration_band(self, share: float, draws: int = 400) -> tuple[float, float]:
        """5th and 95th percentile of AF over bootstrap samples of the seeds."""
        rng = np.random.default_rng(0)
        seeds = len(self.top_fraction)
        values = [
            share * self.n_candidates / _first(self.top_fraction[rng.integers(seeds, size=seeds)].mean(axis=0), share)
            for _ in range(draws)
        ]
        if np.isnan(values).all():
            return np.nan, np.nan
        return float(np.nanpercentile(values, 5)), float(np.nanpercentile(values, 95))

    def enhancement(self) -> Floats:
        """EF(n) of the mean curve, (n,)."""
        return np.asarray(self.top_fraction.mean(axis=0) / (self.n / self.n_candidates))

    def first_hit_median(self) -> float:
        """Median over the seeds of the label that found the first target; inf where none was found."""
        hit = self.top_fraction > 0
        first = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, np.inf)
        return float(np.median(first))

    def below_random(self) -> int:
        """Number of n at which the strategy is worse than random labelling beyond noise (one-sided, 97.5 %).

        The targets found by all seeds together are compared with what as many random campaigns would find.
        """
        seeds = len(self.top_fraction)
        found = self.top_fraction.sum(axis=0) * self.n_targets
        chance = hypergeom(self.n_candidates, self.n_targets, self.n)
        return int((found < seeds * chance.mean() - 1.96 * np.sqrt(seeds * chance.var()) - 1e-9).sum())


def random_expectation(n: Ints, n_candidates: int) -> Floats:
    """Mean Top%(n) of random labelling, exactly."""
    return n / n_candidates


def random_band(n: Ints, n_candidates: int, n_targets: int) -> tuple[Floats, Floats]:
    """5th and 95th percentile of Top%(n) of one random campaign (hypergeometric)."""
    low, high = (hypergeom.ppf(q, n_candidates, n_targets, n) / n_targets for q in (0.05, 0.95))
    return low, high


def random_any(n: Ints, n_candidates: int, n_targets: int) -> Floats:
    """P(at least one target by n) of random labelling: 1 - C(N - M, n) / C(N, n)."""
    return np.asarray(1 - hypergeom.pmf(0, n_candidates, n_targets, n))


def _first(curve: Floats, share: float) -> float:
    reached = curve >= share - 1e-9
    return float(reached.argmax() + 1) if reached.any() else float("nan")
