"""The campaign's durable memory and its only truth.

Write-ahead: proposals are committed before a job is sent, a label in one transaction with the end of its
attempt. SQLite (write-ahead log) by default, PostgreSQL by URL; the same code and the same tests for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from agent.database import LedgerError
from agent.labels import Labels, SentJob, believable, insert_label
from agent.schema import (
    CampaignRow,
    EventRow,
    LabelRow,
    PredictionRow,
    ProposalRow,
    RoundRow,
    SynthesisRow,
    now,
)

__all__ = ["Ledger", "LedgerError", "NewProposal", "Ranked", "SentJob"]

if TYPE_CHECKING:
    from calculators.label import Label  # its validators are built when a label is read or written, not for a look


@dataclass(frozen=True)
class NewProposal:
    """What a round wants labelled, before the ledger gives it an id."""

    composition: str
    formula: str
    ordering: int
    calculator: str
    label_key: str
    reason: str
    cluster: int | None = None
    mean_eV: float | None = None
    sigma_eV: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class Ranked:
    """One line of the ranking at the target fidelity."""

    composition: str
    formula: str
    cluster: int | None
    mean_eV: float
    sigma_eV: float | None
    source: str  # "label" or "prediction"
    orderings: int


class Ledger(Labels):
    """Campaigns, rounds, proposals, attempts, labels and events behind one URL.

    Rows that are handed out are detached: plain records, valid after the session has ended.
    """

    # --- campaigns -------------------------------------------------------------------------------------

    def create_campaign(
        self, name: str, host: str, target_fidelity: str, seed: int, config: dict[str, Any]
    ) -> CampaignRow:
        row = CampaignRow(name=name, host=host, target_fidelity=target_fidelity, seed=seed, config=config)
        with self.transaction() as session:
            session.add(row)
        return row

    def campaign(self, name: str) -> CampaignRow | None:
        with self.transaction() as session:
            return session.get(CampaignRow, name)

    def known_campaign(self, name: str) -> CampaignRow:
        """A campaign that has to be there.

        Raises:
            LedgerError: it is not; the message says which are.
        """
        row = self.campaign(name)
        if row is None:
            known = ", ".join(row.name for row in self.campaigns()) or "none"
            raise LedgerError(f"the ledger has no campaign {name!r}; it knows: {known}")
        return row

    def campaigns(self) -> Sequence[CampaignRow]:
        with self.transaction() as session:
            return session.scalars(select(CampaignRow).order_by(CampaignRow.created)).all()

    def set_campaign_state(self, name: str, state: str, reason: str = "") -> None:
        ended = None if state == "running" else now()
        if state == "running":
            self._stopwatches.start(name)
        with self.transaction() as session:
            self._add_driven(session, name)
            session.execute(
                update(CampaignRow)
                .where(CampaignRow.name == name)
                .values(state=state, stop_reason=reason, ended=ended)
            )
            session.add(EventRow(campaign=name, kind="state", text=f"{state}: {reason}" if reason else state))
        if state != "running":
            self._stopwatches.stop(name)

    def set_campaign_config(self, name: str, config: dict[str, Any], text: str) -> None:
        """Replace the configuration of a campaign that is resumed with a changed one, and say so."""
        with self.transaction() as session:
            session.execute(update(CampaignRow).where(CampaignRow.name == name).values(config=config))
            session.add(EventRow(campaign=name, kind="config", text=text))

    # --- rounds and proposals --------------------------------------------------------------------------

    def begin_round(
        self,
        campaign: str,
        number: int,
        proposals: Iterable[NewProposal],
        summary: str,
        kind: str = "decision",
        who: str = "ionloop",
    ) -> None:
        """Commit a round, all its proposals and the event that says so together, before anything is sent."""
        with self.transaction() as session:
            session.add(RoundRow(campaign=campaign, number=number, summary=summary, metrics={}))
            session.flush()
            _add_proposals(session, campaign, number, proposals, first_rank=0)
            session.add(EventRow(campaign=campaign, kind=kind, text=summary, who=who, data={"round": number}))

    def extend_round(
        self, campaign: str, number: int, proposals: Iterable[NewProposal], summary: str, decision: str
    ) -> None:
        """Commit further proposals of a round that has begun, with the round's new summary, before they are sent."""
        here = (ProposalRow.campaign == campaign, ProposalRow.round == number)
        with self.transaction() as session:
            last = session.scalar(select(func.max(ProposalRow.rank)).where(*here))
            _add_proposals(session, campaign, number, proposals, first_rank=0 if last is None else last + 1)
            row = session.get_one(RoundRow, (campaign, number))
            row.summary = summary
            session.add(EventRow(campaign=campaign, kind="decision", text=decision))

    def finish_round(
        self, campaign: str, number: int, metrics: dict[str, Any], ranking: Sequence[Ranked], summary: str
    ) -> None:
        """Commit the retrained model's quality and the new ranking; the round is done."""
        with self.transaction() as session:
            session.execute(
                update(RoundRow)
                .where(RoundRow.campaign == campaign, RoundRow.number == number)
                .values(state="done", metrics=metrics, ended=now())
            )
            session.execute(delete(PredictionRow).where(PredictionRow.campaign == campaign))
            session.add_all(
                PredictionRow(campaign=campaign, rank=rank, round=number, **asdict(line))
                for rank, line in enumerate(ranking, start=1)
            )
            session.add(EventRow(campaign=campaign, kind="decision", text=summary))
            self._add_driven(session, campaign)

    def rounds(self, campaign: str) -> Sequence[RoundRow]:
        with self.transaction() as session:
            query = select(RoundRow).where(RoundRow.campaign == campaign).order_by(RoundRow.number)
            return session.scalars(query).all()

    def round(self, campaign: str, number: int) -> RoundRow | None:
        with self.transaction() as session:
            return session.get(RoundRow, (campaign, number))

    def proposals(self, campaign: str, round: int | None = None, state: str | None = None) -> Sequence[ProposalRow]:
        query = select(ProposalRow).where(ProposalRow.campaign == campaign)
        if round is not None:
            query = query.where(ProposalRow.round == round)
        if state is not None:
            query = query.where(ProposalRow.state == state)
        with self.transaction() as session:
            return session.scalars(query.order_by(ProposalRow.round, ProposalRow.rank)).all()

    def proposal(self, proposal_id: int) -> ProposalRow:
        with self.transaction() as session:
            row = session.get(ProposalRow, proposal_id)
        if row is None:
            raise LedgerError(f"the ledger has no proposal {proposal_id}")
        return row

    def link_run(self, campaign: str, round: int, prefect_run: str, proposal_id: int | None = None) -> None:
        """Remember which Prefect run shows this round, or this proposal's label."""
        with self.transaction() as session:
            if proposal_id is None:
                where = (RoundRow.campaign == campaign, RoundRow.number == round)
                session.execute(update(RoundRow).where(*where).values(prefect_run=prefect_run))
            else:
                query = update(ProposalRow).where(ProposalRow.id == proposal_id)
                session.execute(query.values(prefect_run=prefect_run))

    def ranking(self, campaign: str, limit: int | None = None) -> Sequence[PredictionRow]:
        query = select(PredictionRow).where(PredictionRow.campaign == campaign).order_by(PredictionRow.rank)
        with self.transaction() as session:
            return session.scalars(query.limit(limit) if limit else query).all()

    # --- labels by hand ----------------------------------------------------------------------------------------

    def add_by_hand(
        self, campaign: str, round: int, label: Label, composition: str, formula: str, ordering: int, who: str
    ) -> None:
        """A person's label joins a round of a campaign, with who added it, in one transaction."""
        text = f"{who}: added {label.value_eV} eV ({label.fidelity}) for {formula}"
        with self.transaction() as session:
            insert_label(session, believable(label), composition, ordering)
            last = select(func.max(ProposalRow.rank)).where(
                ProposalRow.campaign == campaign, ProposalRow.round == round
            )
            proposal = NewProposal(composition, formula, ordering, "by hand", label.key, f"added by {who}")
            rank = (session.scalar(last) or 0) + 1
            session.add(ProposalRow(campaign=campaign, round=round, rank=rank, state="labelled", **asdict(proposal)))
            session.add(EventRow(campaign=campaign, kind="add-label", who=who, text=text, data={"label": label.key}))

    def counts(self, campaign: str) -> dict[str, int]:
        """Proposals by state, e.g. {"labelled": 12, "pending": 1}."""
        query = select(ProposalRow.state, func.count()).where(ProposalRow.campaign == campaign)
        with self.transaction() as session:
            rows = session.execute(query.group_by(ProposalRow.state))
            return {state: count for state, count in rows.tuples()}

    # --- what people made of it -------------------------------------------------------------------------

    def add_synthesis_outcome(
        self, campaign: str, composition: str, formula: str, outcome: str, who: str, note: str = ""
    ) -> None:
        """Somebody has tried to make a composition; each try is a row of its own.

        Args:
            outcome: in words, such as "pure", "impurities", "no NASICON phase".
        """
        with self.transaction() as session:
            session.add(
                SynthesisRow(
                    campaign=campaign, composition=composition, formula=formula, outcome=outcome, who=who, note=note
                )
            )
            text = f"{who}: {formula} was made, with the outcome {outcome}" + (f" ({note})" if note else "")
            session.add(EventRow(campaign=campaign, kind="add-outcome", who=who, text=text))

    def synthesis_outcomes(self, campaign: str | None = None) -> Sequence[SynthesisRow]:
        """Outcomes of one campaign, or of all that share this ledger, oldest first."""
        query = select(SynthesisRow).order_by(SynthesisRow.id)
        if campaign is not None:
            query = query.where(SynthesisRow.campaign == campaign)
        with self.transaction() as session:
            return session.scalars(query).all()

    # --- events ----------------------------------------------------------------------------------------

    def log(self, campaign: str, kind: str, text: str, who: str = "ionloop", **data: Any) -> None:
        with self.transaction() as session:
            session.add(EventRow(campaign=campaign, kind=kind, text=text, who=who, data=data))

    def events(self, campaign: str, kind: str | None = None) -> Sequence[EventRow]:
        query = select(EventRow).where(EventRow.campaign == campaign).order_by(EventRow.id)
        if kind is not None:
            query = query.where(EventRow.kind == kind)
        with self.transaction() as session:
            return session.scalars(query).all()


def _add_proposals(
    session: Session, campaign: str, number: int, proposals: Iterable[NewProposal], first_rank: int
) -> None:
    """Proposals whose label is known already, from this campaign or another, are labelled there and then."""
    for rank, proposal in enumerate(proposals, start=first_rank):
        known = session.get(LabelRow, proposal.label_key)
        state = "pending" if known is None else "labelled" if known.value_eV is not None else "failed"
        session.add(ProposalRow(campaign=campaign, round=number, rank=rank, state=state, **asdict(proposal)))
