"""When a campaign ends, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Rule = Literal["labels", "hours", "wall-time", "rounds", "target", "improvement", "exhausted", "circuit-breaker"]


class StoppingConfig(BaseModel):
    """When to stop; the first rule that holds wins. What is left out never stops a campaign."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_labels: int | None = Field(None, ge=1, description="Labels at the target fidelity.")
    max_rounds: int | None = Field(None, ge=1, description="Rounds.")
    max_calculator_hours: float | None = Field(
        None, gt=0, description="Hours of calculator time, all labels together."
    )
    max_wall_hours: float | None = Field(
        None, gt=0, description="Hours that a driver has been at work; pauses do not count."
    )
    target_eV: float | None = Field(None, description="A barrier at or below this (eV) has been labelled.")
    min_improvement_probability: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Stop when the largest probability of improvement over the space stays below this.",
    )
    patience: int = Field(3, ge=1, description="For how many rounds in a row it must stay below.")
    failures_in_a_row: int = Field(
        5, ge=2, description="Circuit breaker: so many labels failed in a row, all in the same way."
    )


@dataclass(frozen=True)
class Progress:
    """Where a campaign stands; all of it comes from the ledger.

    Attributes:
        labels: labels at the target fidelity so far.
        rounds: rounds completed.
        calculator_hours: calculator time so far.
        wall_hours: time that a driver has been at work on it.
        best_eV: lowest label so far.
        improvement: largest probability of improvement over the space, one entry per round, oldest first.
        candidates_left: compositions that could still be asked for.
        outcomes: kind of failure of the latest labels, oldest first; None for a label that succeeded.
    """

    labels: int = 0
    rounds: int = 0
    calculator_hours: float = 0.0
    wall_hours: float = 0.0
    best_eV: float | None = None
    improvement: Sequence[float] = field(default_factory=tuple)
    candidates_left: int | None = None
    outcomes: Sequence[str | None] = field(default_factory=tuple)


@dataclass(frozen=True)
class StopReason:
    """The rule that ended the campaign, and a sentence for people. `healthy` is False for the circuit
    breaker.
    """

    rule: Rule
    text: str

    @property
    def healthy(self) -> bool:
        return self.rule != "circuit-breaker"


def should_stop(config: StoppingConfig, progress: Progress) -> StopReason | None:
    """The first rule that holds, or None. Trouble is looked for first, then success, then the budget."""
    last = list(progress.outcomes)[-config.failures_in_a_row :]
    if len(last) == config.failures_in_a_row and None not in last and len(set(last)) == 1:
        kinds = Counter(last).most_common(1)[0]
        return StopReason(
            "circuit-breaker",
            f"the last {kinds[1]} labels all failed in the same way ({kinds[0]}): look at one before going on",
        )
    if config.target_eV is not None and progress.best_eV is not None and progress.best_eV <= config.target_eV:
        return StopReason("target", f"{progress.best_eV:.3f} eV reaches the target of {config.target_eV:.3f} eV")
    if progress.candidates_left == 0:
        return StopReason("exhausted", "every composition of the space has been asked for")
    limit = config.min_improvement_probability
    recent = list(progress.improvement)[-config.patience :]
    if limit is not None and len(recent) == config.patience and max(recent) < limit:
        return StopReason(
            "improvement",
            f"the largest probability of improvement stayed below {limit:.1%} for {config.patience} rounds",
        )
    budgets: list[tuple[Rule, float, float | None, str]] = [
        ("labels", progress.labels, config.max_labels, "labels"),
        ("rounds", progress.rounds, config.max_rounds, "rounds"),
        ("hours", progress.calculator_hours, config.max_calculator_hours, "calculator hours"),
        ("wall-time", progress.wall_hours, config.max_wall_hours, "hours of work"),
    ]
    for rule, spent, budget, unit in budgets:
        if budget is not None and spent >= budget:
            return StopReason(rule, f"the budget of {budget:g} {unit} is spent ({spent:g})")
    return None
