"""Figures of merit of a discovery campaign over a table whose truth is known. Pure functions of orders of
labelling.

Definitions (Rohr et al., Chem. Sci. 11, 2696 (2020); Liang et al., npj Comput. Mater. 7, 188 (2021)), with N
candidates, M targets among them, n labels:

    Top%(n) = targets found by n / M                          random expectation n / N (hypergeometric mean)
    AF(t)   = n_random(t) / n_strategy(t), n where the mean Top% reaches t; n_random(t) = t N
    EF(n)   = Top%_strategy(n) / Top%_random(n)
    P(at least one target by n | random) = 1 - C(N - M, n) / C(N, n)
    deALM(n) = 2 (share of the candidates still open that label n beats) - 1; 1 best, 0 random, -1 worst

deALM, the decision efficiency, is that of CAMD (Toyota Research Institute, `GenericATFAnalyzer.get_de_alm`): the
quality of every single decision, whatever the targets are. CAMD ranks a choice against what its round leaves open
plus itself, as rank / count; here it is ranked against all that was open before it, others of its batch included, and
the share is one of the others, so that a random choice has exactly 0 and the worst exactly -1.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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
        efficiency: (seeds, n) deALM of every label; NaN where it decided nothing new.
        n_candidates, n_targets: N and M.
    """

    top_fraction: Floats
    best_value: Floats
    efficiency: Floats
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
        efficiency = np.array([decision_efficiency(order, sign * truth) for order in orders])
        return cls(found, best, efficiency, len(truth), int(targets.sum()))

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
        """(seeds, n) EF(n); its mean over the seeds is that of the mean curve."""
        return np.asarray(self.top_fraction / (self.n / self.n_candidates))

    def first_hit(self) -> Floats:
        """(seeds,) the label that found the first target; inf where none was found."""
        hit = self.top_fraction > 0
        return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, np.inf)

    def regret(self, optimum: float) -> Floats:
        """(seeds, n) simple regret: how far the best value found is from the best there is, in the table's unit."""
        return np.asarray(np.abs(self.best_value - optimum))

    def decisions(self, start: int) -> Floats:
        """(seeds,) mean deALM of the labels after the first `start`; NaN if there are none."""
        return _mean(self.efficiency[:, start:], axis=1)

    def efficiency_by_round(self, start: int, batch: int) -> tuple[Floats, Floats]:
        """Labels at the middle of every round after the first, and the mean deALM of its decisions."""
        begins = np.arange(start, self.efficiency.shape[1], batch)
        ends = np.minimum(begins + batch, self.efficiency.shape[1])
        means = [
            float(_mean(self.efficiency[:, i:j].reshape(1, -1), axis=1)[0]) for i, j in zip(begins, ends, strict=True)
        ]
        return (begins + ends + 1) / 2, np.array(means)

    def below_random(self) -> int:
        """Number of n at which the strategy is worse than random labelling beyond noise (one-sided, 97.5 %).

        The targets found by all seeds together are compared with what as many random campaigns would find.
        """
        seeds = len(self.top_fraction)
        found = self.top_fraction.sum(axis=0) * self.n_targets
        share, size = self.n_targets / self.n_candidates, self.n_candidates
        mean = self.n * share  # of the hypergeometric distribution, as is its variance
        variance = mean * (1 - share) * (size - self.n) / max(1, size - 1)
        return int((found < seeds * mean - 1.96 * np.sqrt(seeds * variance) - 1e-9).sum())


def decision_efficiency(order: Ints, cost: Floats) -> Floats:
    """deALM of every label (n,); NaN for a further label of the same candidate and where one candidate was left.

    Args:
        order: (n,) candidates in the order of labelling.
        cost: (N,) truth with the sign that makes low good; of equal ones half count as beaten.
    """
    still_open = sorted(cost.tolist())
    seen: set[int] = set()
    found = np.full(len(order), np.nan)
    for place, candidate in enumerate(order.tolist()):
        if candidate in seen:
            continue
        seen.add(candidate)
        value = float(cost[candidate])
        better, not_worse = bisect_left(still_open, value), bisect_right(still_open, value)
        others = len(still_open) - 1
        if others:
            found[place] = 1 - (better + not_worse - 1) / others
        del still_open[better]
    return found


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


def _mean(values: Floats, axis: int) -> Floats:
    """Mean of what is not NaN; NaN without a warning where everything is."""
    known = np.isfinite(values)
    counted = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(total, counted, out=np.full(np.shape(counted), np.nan), where=counted > 0)


def _first(curve: Floats, share: float) -> float:
    reached = curve >= share - 1e-9
    return float(reached.argmax() + 1) if reached.any() else float("nan")
