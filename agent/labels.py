"""Attempts and the labels that they end in: the part of the ledger that every calculation writes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, defer

from agent.database import insert_unless_known
from agent.schema import AttemptRow, JobRow, LabelRow, ProposalRow, now
from agent.store import Store

if TYPE_CHECKING:
    from calculators.label import Label  # its validators are built when a label is read or written, not for a look


class Known(NamedTuple):
    """A proposal that has a value."""

    proposal: int
    composition: str
    ordering: int
    value_eV: float


@dataclass(frozen=True)
class SentJob:
    """A scheduler's job that computes a label for a proposal."""

    proposal: int
    id: str
    label_key: str
    calculator: str


class Labels(Store):
    """A label is content-addressed: the same work, whoever proposed it, has one label."""

    def start_attempt(self, proposal_id: int, label_key: str, calculator: str, folder: str) -> int:
        with self.transaction() as session:
            row = AttemptRow(proposal=proposal_id, label_key=label_key, calculator=calculator, folder=folder)
            session.add(row)
            session.flush()
            attempt = row.id
        self._stopwatches.start(attempt)
        return attempt

    def finish_attempt(self, attempt_id: int, label: Label) -> Label:
        """End an attempt together with what it found, in one transaction.

        A value labels the proposal; a failure leaves it pending, for the next attempt or `fail_proposal`.

        Returns:
            the label as recorded: a value that is no finite number has become an `invalid` failure.
        """
        from calculators.label import FailureKind

        label = believable(label)
        with self.transaction() as session:
            attempt = session.get_one(AttemptRow, attempt_id)
            proposal = session.get_one(ProposalRow, attempt.proposal)
            attempt.ended = now()
            attempt.seconds = self._stopwatches.stop(attempt_id)
            attempt.folder = label.folder or attempt.folder
            attempt.state = "succeeded" if label.ok else "failed"
            if label.failure is not None:
                attempt.failure_kind = label.failure.kind.value
                attempt.failure_reason = label.failure.reason
            verdict = label.ok or (label.failure is not None and label.failure.kind is FailureKind.INVALID)
            if verdict:
                insert_label(session, label, proposal.composition, proposal.ordering)
            if label.ok:
                proposal.state = "labelled"
                proposal.label_key = label.key  # a fallback's label has its own key
            session.flush()
            self._add_driven(session, proposal.campaign)  # last: its row is the one that every label wants
        return label

    def note_jobs(self, jobs: Iterable[SentJob]) -> None:
        """Remember what a scheduler calls its jobs; what is known already stays as it is."""
        rows = [asdict(job) for job in jobs]
        if not rows:
            return
        with self.transaction() as session:
            insert = insert_unless_known(session.get_bind().dialect.name)
            session.execute(insert(JobRow).on_conflict_do_nothing(index_elements=["proposal", "id"]), rows)

    def jobs(self, campaign: str, state: str | None = None) -> Sequence[JobRow]:
        """Jobs of a campaign's proposals, or of those in one state, in the order in which they became known."""
        query = select(JobRow).join(ProposalRow, ProposalRow.id == JobRow.proposal)
        query = query.where(ProposalRow.campaign == campaign)
        if state is not None:
            query = query.where(ProposalRow.state == state)
        with self.transaction() as session:
            return session.scalars(query.order_by(JobRow.noted, JobRow.proposal)).all()

    def fail_proposal(self, proposal_id: int) -> None:
        """No calculator of the chain gave a value, and none will be asked again."""
        with self.transaction() as session:
            session.get_one(ProposalRow, proposal_id).state = "failed"

    def count_attempts(self, proposal_id: int, label_key: str, state: str) -> int:
        """How many attempts at this work for this proposal are in a state: "failed", or "lost" with their driver."""
        query = select(func.count()).where(
            AttemptRow.proposal == proposal_id, AttemptRow.label_key == label_key, AttemptRow.state == state
        )
        with self.transaction() as session:
            return session.scalar(query) or 0

    def adopt_label(self, proposal_id: int, key: str) -> None:
        """The proposal's work is already paid for (another campaign, an earlier round): take that label."""
        with self.transaction() as session:
            label = session.get_one(LabelRow, key)
            proposal = session.get_one(ProposalRow, proposal_id)
            proposal.label_key = key
            proposal.state = "labelled" if label.value_eV is not None else "failed"

    def add_label(self, label: Label, composition: str, ordering: int) -> None:
        """Add a label that no proposal asked for (by hand, or imported)."""
        with self.transaction() as session:
            insert_label(session, believable(label), composition, ordering)

    def label(self, key: str) -> Label | None:
        from calculators.label import Label

        with self.transaction() as session:
            row = session.get(LabelRow, key)
        return None if row is None else Label.model_validate(row.data)

    def labels(self, campaign: str, fidelity: str | None = None) -> list[tuple[ProposalRow, LabelRow]]:
        """Every proposal of a campaign that has a value, with its label, in the order of proposing.

        The labels come without their `data` (paths, provenance), most of what a ledger holds; `label` has it.
        """
        query = _with_value(select(ProposalRow, LabelRow).options(defer(LabelRow.data)), campaign, fidelity)
        with self.transaction() as session:
            return [(proposal, label) for proposal, label in session.execute(query)]

    def known(self, campaign: str, fidelity: str | None = None) -> list[Known]:
        """What `labels` knows, as few numbers: for who asks whenever a label lands."""
        columns = (ProposalRow.id, ProposalRow.composition, ProposalRow.ordering, LabelRow.value_eV)
        with self.transaction() as session:
            return [Known._make(row) for row in session.execute(_with_value(select(*columns), campaign, fidelity))]

    def attempts(self, campaign: str, proposal_id: int | None = None) -> Sequence[AttemptRow]:
        query = (
            select(AttemptRow)
            .join(ProposalRow, ProposalRow.id == AttemptRow.proposal)
            .where(ProposalRow.campaign == campaign)
            .order_by(AttemptRow.id)
        )
        if proposal_id is not None:
            query = query.where(AttemptRow.proposal == proposal_id)
        with self.transaction() as session:
            return session.scalars(query).all()

    def close_lost_attempts(self, campaign: str) -> int:
        """Mark attempts that a dead driver left open; returns how many. Only the one driver may call this."""
        mine = select(ProposalRow.id).where(ProposalRow.campaign == campaign)
        with self.transaction() as session:
            query = update(AttemptRow).where(AttemptRow.state == "running", AttemptRow.proposal.in_(mine))
            result = session.execute(query.values(state="lost", ended=now()))
            return int(result.rowcount)  # type: ignore[attr-defined]


def _with_value(query: Any, campaign: str, fidelity: str | None) -> Any:
    """Proposals of a campaign that have a value, in the order of proposing."""
    query = query.join(LabelRow, LabelRow.key == ProposalRow.label_key)
    query = query.where(ProposalRow.campaign == campaign, LabelRow.value_eV.is_not(None))
    if fidelity is not None:
        query = query.where(LabelRow.fidelity == fidelity)
    return query.order_by(ProposalRow.round, ProposalRow.rank)


def believable(label: Label) -> Label:
    """The label itself, or, where a calculator returned NaN or infinity for a barrier, that verdict."""
    if label.value_eV is None or math.isfinite(label.value_eV):
        return label
    from calculators.label import Failure, FailureKind

    failure = Failure(kind=FailureKind.INVALID, reason=f"the barrier came out as {label.value_eV}")
    return label.model_copy(update={"value_eV": None, "converged": False, "failure": failure})


def insert_label(session: Session, label: Label, composition: str, ordering: int) -> None:
    """Insert a label unless its key is known: whoever finishes the same work second changes nothing."""
    insert = insert_unless_known(session.get_bind().dialect.name)
    values = {
        "key": label.key,
        "composition": composition,
        "ordering": ordering,
        "fidelity": label.fidelity,
        "value_eV": label.value_eV,
        "converged": label.converged,
        "data": _json(label.model_dump(mode="json")),
    }
    session.execute(insert(LabelRow).values(values).on_conflict_do_nothing(index_elements=["key"]))


def _json(value: Any) -> Any:
    """JSON knows no NaN (PostgreSQL refuses it): as text it is kept, and read back as the number it was."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _json(part) for key, part in value.items()}
    return [_json(part) for part in value] if isinstance(value, list) else value
