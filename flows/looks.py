"""What `status`, `history` and `rank` show: counts and columns by a few queries, not one object per proposal.

A person waits for these, also before a ledger of 10,000 labels. So they need neither NumPy nor the whole
`flows.view.CampaignView`, which draws figures; tests/flows/test_looks.py compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from math import inf
from statistics import fmean
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, ScalarSelect, Select, case, func, select

from agent.ledger import Ledger
from agent.schema import (
    AttemptRow,
    CampaignRow,
    EventRow,
    JobRow,
    LabelRow,
    PredictionRow,
    ProposalRow,
    RoundRow,
    now,
)
from flows.costs import Budget, budgets_of
from flows.wording import finite
from flows.yardsticks import Reference, mean_predictor_mae_eV, reference_of, setting


class TargetLabel(NamedTuple):
    """A value at the target fidelity and what was known of it before. Energies in eV."""

    id: int
    round: int
    composition: str
    formula: str
    cluster: int | None
    mean_eV: float | None
    value_eV: float
    converged: bool


class Running(NamedTuple):
    """A label that is being computed."""

    formula: str
    calculator: str
    started: datetime
    job: str | None  # the scheduler's, where it computes the label


class Spent(NamedTuple):
    """Attempts by one calculator that are in one state, and their wall time (s)."""

    calculator: str
    state: str
    failure_kind: str
    attempts: int
    seconds: float | None


@dataclass(frozen=True)
class Status:
    """Where a campaign stands."""

    campaign: CampaignRow
    rounds: Sequence[RoundRow]
    proposals: Mapping[tuple[int, str], int]  # by round and state
    labels: Sequence[TargetLabel]  # in the order of proposing
    attempts: Sequence[Spent]
    running: Sequence[Running]
    decisions: Sequence[EventRow]  # the last ones
    taken: datetime = field(default_factory=now)

    @classmethod
    def load(cls, ledger: Ledger, name: str, decisions: int = 4) -> Status:
        """Raises `LedgerError` for a campaign that the ledger does not know."""
        campaign, rounds = ledger.known_campaign(name), ledger.rounds(name)
        with ledger.transaction() as session:
            return cls(
                campaign=campaign,
                rounds=rounds,
                proposals={(number, state): count for number, state, count in session.execute(_states(name))},
                labels=[TargetLabel._make(row) for row in session.execute(_target_labels(campaign))],
                attempts=[Spent._make(row) for row in session.execute(_attempts(name))],
                running=[Running._make(row) for row in session.execute(_running(name))],
                decisions=session.scalars(_decisions(name, decisions)).all()[::-1],
            )

    @cached_property
    def best(self) -> list[TargetLabel]:
        """Converged target labels, lowest barrier first."""
        return sorted((label for label in self.labels if label.converged), key=lambda one: (one.value_eV, one.id))

    @cached_property
    def best_so_far_eV(self) -> list[float]:
        """The lowest converged value after each target label, from the first converged one on."""
        lowest = accumulate((label.value_eV if label.converged else inf for label in self.labels), min)
        return [value for value in lowest if value < inf]

    @property
    def target_eV(self) -> float | None:
        """The barrier below which a composition counts as found, if the configuration names one."""
        return finite(setting(self.campaign.config, "stopping", "target_eV"))

    @property
    def found(self) -> int:
        """Distinct compositions at or below the target."""
        target = -inf if self.target_eV is None else self.target_eV
        return len({label.composition for label in self.best if label.value_eV <= target})

    @property
    def reference(self) -> Reference | None:
        """What random choice would find; None where nothing tells."""
        return reference_of(self.campaign.config, self.labels, self.rounds)

    @cached_property
    def errors_eV(self) -> list[float]:
        """Of the predictions before labelling, absolute."""
        return [abs(mean - one.value_eV) for one in self.labels if (mean := finite(one.mean_eV)) is not None]

    @property
    def mae_eV(self) -> float | None:
        return fmean(self.errors_eV) if self.errors_eV else None

    @property
    def mean_predictor_mae_eV(self) -> float | None:
        """Of the mean predictor, on the same labels."""
        return mean_predictor_mae_eV([one.value_eV for one in self.labels if finite(one.mean_eV) is not None])

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What the stopping rules allow and what of it is spent, the one nearest to its end first."""
        done = sum(row.state == "done" and row.number > 0 for row in self.rounds)
        return budgets_of(self.campaign, len(self.labels), done, sum(one.seconds or 0.0 for one in self.attempts))

    @property
    def ended(self) -> int:
        """Proposals of the acquisition rounds that have ended, with or without a value."""
        return sum(count for (number, state), count in self.proposals.items() if number and state != "pending")

    @property
    def failed(self) -> int:
        """Proposals that ended without a value."""
        return sum(count for (_, state), count in self.proposals.items() if state == "failed")

    @property
    def failures_by_kind(self) -> dict[str, int]:
        """Failed attempts by kind, most frequent first; "lost" are those that a dead driver left open."""
        kinds: dict[str, int] = defaultdict(int)
        for one in self.attempts:
            if one.state in {"failed", "lost"}:
                kinds[one.failure_kind or one.state] += one.attempts
        return dict(sorted(kinds.items(), key=lambda item: -item[1]))

    @property
    def costs(self) -> dict[str, tuple[int, float]]:
        """Attempts, and their wall time (s), by calculator."""
        sums: dict[str, tuple[int, float]] = {}
        for one in self.attempts:
            attempts, seconds = sums.get(one.calculator, (0, 0.0))
            sums[one.calculator] = (attempts + one.attempts, seconds + (one.seconds or 0.0))
        return dict(sorted(sums.items()))


class Members(NamedTuple):
    """The proposals of one round, counted."""

    sent: int = 0
    labels: int = 0
    failed: int = 0
    clusters: int = 0
    lowest_eV: float | None = None  # converged, at the target fidelity


@dataclass(frozen=True)
class History:
    """The rounds of a campaign, each with its members counted."""

    campaign: CampaignRow
    rounds: Sequence[tuple[RoundRow, Members]]

    @classmethod
    def load(cls, ledger: Ledger, name: str) -> History:
        """Raises `LedgerError` for a campaign that the ledger does not know."""
        campaign, rounds = ledger.known_campaign(name), ledger.rounds(name)
        with ledger.transaction() as session:
            members = {row[0]: Members._make(row[1:]) for row in session.execute(_members(campaign))}
        return cls(campaign, [(row, members.get(row.number, Members())) for row in rounds])


@dataclass(frozen=True)
class Ranking:
    """The first lines of the newest ranking."""

    campaign: CampaignRow
    lines: Sequence[PredictionRow]
    total: int
    labelled_in: Mapping[str, int]  # the round of the last label at the target fidelity, by composition

    @classmethod
    def load(cls, ledger: Ledger, name: str, top: int = 20) -> Ranking:
        """Raises `LedgerError` for a campaign that the ledger does not know."""
        campaign = ledger.known_campaign(name)
        lines = ledger.ranking(name, top)
        p = ProposalRow
        last = (
            select(p.composition, func.max(p.round))
            .join(LabelRow, LabelRow.key == p.label_key)
            .where(p.campaign == name, p.composition.in_([line.composition for line in lines]), *_at_target(campaign))
            .group_by(p.composition)
        )
        with ledger.transaction() as session:
            total = session.scalar(select(func.count()).where(PredictionRow.campaign == name)) or 0
            return cls(campaign, lines, total, dict(session.execute(last).tuples().all()))


# --- the queries -----------------------------------------------------------------------------------------------


def _at_target(campaign: CampaignRow) -> tuple[Any, Any]:
    return LabelRow.fidelity == campaign.target_fidelity, LabelRow.value_eV.is_not(None)


def _states(name: str) -> Select[int, str, int]:
    p = ProposalRow
    return select(p.round, p.state, func.count()).where(p.campaign == name).group_by(p.round, p.state)


def _target_labels(
    campaign: CampaignRow,
) -> Select[int, int, str, str, int | None, float | None, float | None, bool]:
    p, lab = ProposalRow, LabelRow
    return (
        select(p.id, p.round, p.composition, p.formula, p.cluster, p.mean_eV, lab.value_eV, lab.converged)
        .join(lab, lab.key == p.label_key)
        .where(p.campaign == campaign.name, *_at_target(campaign))
        .order_by(p.round, p.rank)
    )


def _attempts(name: str) -> Select[str, str, str, int, float | None]:
    a = AttemptRow
    groups = (a.calculator, a.state, a.failure_kind)
    return (
        select(*groups, func.count(), func.sum(a.seconds))
        .join(ProposalRow, ProposalRow.id == a.proposal)
        .where(ProposalRow.campaign == name)
        .group_by(*groups)
    )


def newest_job(*of: ColumnElement[bool]) -> ScalarSelect[str | None]:
    """The id of the last job that was sent for this proposal, if one was."""
    return select(JobRow.id).where(*of).order_by(JobRow.noted.desc()).limit(1).scalar_subquery()


def _running(name: str) -> Select[str, str, datetime, str | None]:
    job = newest_job(JobRow.proposal == AttemptRow.proposal, JobRow.label_key == AttemptRow.label_key)
    return (
        select(ProposalRow.formula, AttemptRow.calculator, AttemptRow.started, job)
        .join(ProposalRow, ProposalRow.id == AttemptRow.proposal)
        .where(ProposalRow.campaign == name, AttemptRow.state == "running")
        .order_by(AttemptRow.id)
    )


def _decisions(name: str, last: int) -> Select[EventRow]:
    where = (EventRow.campaign == name, EventRow.kind == "decision")
    return select(EventRow).where(*where).order_by(EventRow.id.desc()).limit(last)


def _members(campaign: CampaignRow) -> Select[int, int, int, int, int, Any]:
    p, lab = ProposalRow, LabelRow
    found = case((lab.converged & (lab.fidelity == campaign.target_fidelity), lab.value_eV))
    return (
        select(
            *(p.round, func.count(), func.count(lab.value_eV), func.count(case((p.state == "failed", 1)))),
            *(func.count(p.cluster.distinct()), func.min(found)),
        )
        .outerjoin(lab, lab.key == p.label_key)
        .where(p.campaign == campaign.name)
        .group_by(p.round)
    )
