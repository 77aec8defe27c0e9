"""Which dopants pay: the barrier with and without an element, and of every pair of elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.view import CampaignView, amounts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """Mean barrier of the compositions that hold an element, minus that of those without it."""

    element: str
    difference_eV: float
    error_eV: float | None  # Welch's standard error; None with fewer than two on either side
    count: int


@dataclass(frozen=True)
class Dopants:
    """`mean_eV[i, j]` is the mean barrier of the compositions with both elements, NaN where there are none."""

    source: str
    elements: tuple[str, ...]  # from most to least helpful
    effects: tuple[Effect, ...]  # same order
    mean_eV: Floats
    counts: NDArray[np.int64]


def from_labels(view: CampaignView) -> Dopants | None:
    """What the converged labels say. They were chosen, not drawn at random: a hint and not a proof."""
    return analyse([(a.composition, a.value_eV) for a in view.best if a.value_eV is not None], "labels")


def from_ranking(view: CampaignView) -> Dopants | None:
    """What the newest ranking says: labels where there are some, else the model."""
    return analyse([(row.composition, row.mean_eV) for row in view.ranking], "ranking")


def analyse(barriers: Sequence[tuple[str, float]], source: str) -> Dopants | None:
    """Effects and pairs of (composition key, E_b in eV); None if fewer than two compositions or elements differ."""
    contents = [frozenset(amounts(composition)) for composition, _ in barriers]
    values = np.array([value for _, value in barriers], dtype=float)
    everywhere = frozenset.intersection(*contents) if contents else frozenset()
    elements = sorted(frozenset.union(*contents) - everywhere) if contents else []
    if len(values) < 2 or not elements:
        return None
    holds = np.array([[element in content for element in elements] for content in contents])
    effects = [_effect(element, values[holds[:, i]], values[~holds[:, i]]) for i, element in enumerate(elements)]
    order = sorted(range(len(elements)), key=lambda i: effects[i].difference_eV)
    holds = holds[:, order].astype(float)
    counts = holds.T @ holds
    with np.errstate(invalid="ignore"):
        mean = (holds * values[:, None]).T @ holds / np.where(counts > 0, counts, np.nan)
    return Dopants(
        source=source,
        elements=tuple(elements[i] for i in order),
        effects=tuple(effects[i] for i in order),
        mean_eV=mean,
        counts=counts.astype(np.int64),
    )


def _effect(element: str, with_it: Floats, without: Floats) -> Effect:
    error = None
    if len(with_it) > 1 and len(without) > 1:
        error = float(np.sqrt(with_it.var(ddof=1) / len(with_it) + without.var(ddof=1) / len(without)))
    return Effect(element, float(with_it.mean() - without.mean()), error, len(with_it))
