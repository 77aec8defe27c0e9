"""What a campaign has spent: time by calculator, and its share of each limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from agent.schema import CampaignRow
from flows.wording import finite
from flows.yardsticks import setting

if TYPE_CHECKING:
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
        median_s=float(median(times)) if times else None,
        force_calls=force_calls,
    )


def budgets_of(campaign: CampaignRow, labels: int, rounds: int, seconds: float) -> tuple[Budget, ...]:
    """What the stopping rules allow and what of it is spent, the one nearest to its end first.

    Args:
        labels: target labels so far.
        rounds: rounds of acquisition that are done.
        seconds: time of all attempts (s).
    """
    spent = {
        "max_labels": ("labels", labels),
        "max_rounds": ("rounds", rounds),
        "max_calculator_hours": ("calculator hours", seconds / 3600),
        "max_wall_hours": ("hours", campaign.driven_s / 3600),
    }
    limits = {key: finite(setting(campaign.config, "stopping", key)) for key in spent}
    known = [Budget(*spent[key], limit) for key, limit in limits.items() if limit]
    return tuple(sorted(known, key=lambda budget: -budget.share))
