"""What a campaign has asked for and what became of it: proposals, labels and attempts, joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from agent.ledger import Ledger
from agent.schema import AttemptRow, JobRow, LabelRow, ProposalRow
from calculators.label import Label
from flows.looks import newest_job
from flows.wording import finite


@dataclass(frozen=True)
class Attempt:
    """One try at one label, as the ledger has it. `seconds` is None while it runs or if it was lost."""

    id: int
    proposal: int
    calculator: str
    state: str
    failure_kind: str
    failure_reason: str
    folder: str
    started: datetime
    ended: datetime | None
    seconds: float | None  # by the monotonic clock


@dataclass(frozen=True)
class Acquisition:
    """A proposed composition joined with its label (if any) and its attempts. Energies in eV."""

    id: int
    round: int
    rank: int
    composition: str
    formula: str
    ordering: int
    asked: str  # the calculator that was asked for
    cluster: int | None
    mean_eV: float | None
    sigma_eV: float | None
    score: float | None
    reason: str
    state: str
    label_key: str
    prefect_run: str
    created: datetime
    job: str  # the id of the last one that a scheduler was sent for it, such as 12 or 12_3; "" without one
    fidelity: str | None
    value_eV: float | None
    converged: bool
    force_calls: int
    label_folder: str
    invalid_reason: str
    attempts: tuple[Attempt, ...] = ()

    @property
    def calculator(self) -> str:
        """The calculator that gave the label, or the one asked for while there is none."""
        done = [attempt.calculator for attempt in self.attempts if attempt.state == "succeeded"]
        return done[-1] if done else self.asked

    @property
    def fallback(self) -> bool:
        """The value comes from another calculator than the one asked for."""
        return self.calculator != self.asked

    @property
    def failure(self) -> tuple[str, str] | None:
        """(kind, reason) of a proposal that ended without a value."""
        if self.value_eV is not None:
            return None
        for attempt in reversed(self.attempts):
            if attempt.failure_kind:
                return attempt.failure_kind, attempt.failure_reason
        return ("invalid", self.invalid_reason) if self.invalid_reason else None

    @property
    def seconds(self) -> float:
        """Wall time of all its attempts, s."""
        return sum(attempt.seconds or 0.0 for attempt in self.attempts)

    @property
    def error_eV(self) -> float | None:
        """Prediction before labelling minus label, eV."""
        if self.mean_eV is None or self.value_eV is None:
            return None
        return self.mean_eV - self.value_eV


def read_acquisitions(ledger: Ledger, campaign: str) -> list[Acquisition]:
    """All proposals of a campaign with what became of them, in the order of proposing.

    Columns, not objects: the stored label is only searched for the three facts that a line needs.
    """
    p, lab = ProposalRow, LabelRow
    query = (
        select(
            *(p.id, p.round, p.rank, p.composition, p.formula, p.ordering, p.calculator.label("asked"), p.cluster),
            *(p.mean_eV, p.sigma_eV, p.score, p.reason, p.state, p.label_key, p.prefect_run, p.created),
            newest_job(JobRow.proposal == p.id).label("job"),
            *(lab.fidelity, lab.value_eV, lab.converged),
            lab.data["force_calls"].as_integer().label("force_calls"),
            lab.data["folder"].as_string().label("label_folder"),
            lab.data[("failure", "reason")].as_string().label("invalid_reason"),
        )
        .outerjoin(lab, lab.key == p.label_key)
        .where(p.campaign == campaign)
        .order_by(p.round, p.rank)
    )
    with ledger.transaction() as session:
        rows = session.execute(query).mappings().all()
    attempts = _attempts(ledger, campaign)
    return [_acquisition(row, attempts.get(row["id"], [])) for row in rows]


def _acquisition(row: Mapping[Any, Any], attempts: Sequence[Attempt]) -> Acquisition:
    facts = dict(row)
    for key in ("mean_eV", "sigma_eV", "score", "value_eV"):
        facts[key] = finite(facts[key])
    facts["converged"] = bool(facts["converged"])
    facts["force_calls"] = facts["force_calls"] or 0
    for key in ("job", "label_folder", "invalid_reason"):
        facts[key] = facts[key] or ""
    return Acquisition(**facts, attempts=tuple(attempts))


def _attempts(ledger: Ledger, campaign: str) -> dict[int, list[Attempt]]:
    a = AttemptRow
    query = (
        select(
            *(
                a.id,
                a.proposal,
                a.calculator,
                a.state,
                a.failure_kind,
                a.failure_reason,
                a.folder,
                a.started,
                a.ended,
                a.seconds,
            )
        )
        .join(ProposalRow, ProposalRow.id == a.proposal)
        .where(ProposalRow.campaign == campaign)
        .order_by(a.id)
    )
    groups: dict[int, list[Attempt]] = defaultdict(list)
    with ledger.transaction() as session:
        for row in session.execute(query):
            groups[row.proposal].append(Attempt(*tuple(row)))
    return groups


def read_labels(ledger: Ledger, keys: Sequence[str]) -> dict[str, Label]:
    """Labels by key, whole, with their paths."""
    with ledger.transaction() as session:
        rows = session.execute(select(LabelRow.key, LabelRow.data).where(LabelRow.key.in_(keys))).tuples().all()
    found = {key: Label.model_validate(data) for key, data in rows}
    return {key: found[key] for key in keys if key in found}
