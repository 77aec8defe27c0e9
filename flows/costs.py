"""What a campaign has spent: time by calculator, and its share of each limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.acquisitions import Attempt


@dataclass(frozen=True)
class Cost:
    """What one calculator has cost so far. Times are wall time in s."""

    calculator: str
    attempts: int
    succeeded: int
    failed: int
    lost: int
    running: int
    seconds: float
    median_s: float | None
    force_calls: int


@dataclass(frozen=True)
class Budget:
    """One limit of the stopping rules."""

    unit: str
    spent: float
    limit: float

    @property
    def share(self) -> float:
        return min(1.0, self.spent / self.limit)

    def __str__(self) -> str:
        """Such as "12 of 48 labels", "1.5 of 24 calculator hours"."""
        spent = f"{self.spent:,.1f}" if isinstance(self.spent, float) else f"{self.spent:,}"
        return f"{spent} of {self.limit:,g} {self.unit}"


def cost_of(name: str, attempts: Sequence[Attempt], force_calls: int) -> Cost:
    """What the attempts of one calculator add up to."""
    states = Counter(attempt.state for attempt in attempts)
    times = [attempt.seconds for attempt in attempts if attempt.seconds is not None]
    return Cost(
        calculator=name,
        attempts=len(attempts),
        succeeded=states["succeeded"],
        failed=states["failed"],
        lost=states["lost"],
        running=states["running"],
        seconds=float(sum(times)),
        median_s=float(np.median(times)) if times else None,
        force_calls=force_calls,
    )
