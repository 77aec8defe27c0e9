"""The ledger's tables. Text, numbers and JSON only; times are UTC.

A change here raises `SCHEMA_VERSION` and adds a step to `agent.migrations`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 3


def now() -> datetime:
    """UTC without a zone: what SQLite and PostgreSQL both keep unchanged."""
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, datetime: DateTime}  # noqa: RUF012 (SQLAlchemy's own idiom)


class Meta(Base):
    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class CampaignRow(Base):
    """One campaign; `config` is the whole configuration it was started with."""

    __tablename__ = "campaigns"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    host: Mapped[str] = mapped_column(String(64))
    target_fidelity: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int]
    config: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), default="running")  # running, paused, finished, stopped
    stop_reason: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[datetime] = mapped_column(default=now)
    ended: Mapped[datetime | None]
    driven_s: Mapped[float] = mapped_column(default=0.0)  # time that a driver was at work, by the monotonic clock


class RoundRow(Base):
    """One round. Round 0 labels the cheap fidelity for pre-training; rounds 1, 2, ... are acquisition."""

    __tablename__ = "rounds"

    campaign: Mapped[str] = mapped_column(ForeignKey("campaigns.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16), default="proposed")  # proposed, done
    summary: Mapped[str] = mapped_column(Text, default="")  # one line for people
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)  # model quality after retraining
    prefect_run: Mapped[str] = mapped_column(String(64), default="")
    started: Mapped[datetime] = mapped_column(default=now)
    ended: Mapped[datetime | None]


class ProposalRow(Base):
    """One acquisition: what was chosen, what the model thought of it, and why."""

    __tablename__ = "proposals"
    __table_args__ = (
        UniqueConstraint("campaign", "round", "rank"),
        Index("ix_proposals_label", "label_key"),
        Index("ix_proposals_composition", "campaign", "composition"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    campaign: Mapped[str] = mapped_column(ForeignKey("campaigns.name"))
    round: Mapped[int]
    rank: Mapped[int]
    composition: Mapped[str] = mapped_column(String(256))  # Composition.key
    formula: Mapped[str] = mapped_column(String(256))
    ordering: Mapped[int]
    calculator: Mapped[str] = mapped_column(String(128))  # the one asked for; a fallback shows in the label
    label_key: Mapped[str] = mapped_column(String(64))
    cluster: Mapped[int | None]
    mean_eV: Mapped[float | None]
    sigma_eV: Mapped[float | None]
    score: Mapped[float | None]
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default="pending")  # pending, labelled, failed
    prefect_run: Mapped[str] = mapped_column(String(64), default="")
    created: Mapped[datetime] = mapped_column(default=now)


class AttemptRow(Base):
    """One try at one label by one calculator, ended or not."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_proposal", "proposal"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    proposal: Mapped[int] = mapped_column(ForeignKey("proposals.id"))
    label_key: Mapped[str] = mapped_column(String(64))
    calculator: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16), default="running")  # running, succeeded, failed, lost
    failure_kind: Mapped[str] = mapped_column(String(16), default="")
    failure_reason: Mapped[str] = mapped_column(Text, default="")
    folder: Mapped[str] = mapped_column(Text, default="")
    started: Mapped[datetime] = mapped_column(default=now)
    ended: Mapped[datetime | None]
    seconds: Mapped[float | None]  # by the monotonic clock; None while it runs, or if it was lost


class JobRow(Base):
    """A scheduler's job that computes a label for a proposal; there from the moment at which its id is known."""

    __tablename__ = "jobs"

    proposal: Mapped[int] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # the scheduler's, such as 12, or 12_3 in an array
    label_key: Mapped[str] = mapped_column(String(64))
    calculator: Mapped[str] = mapped_column(String(128))
    noted: Mapped[datetime] = mapped_column(default=now)  # when it was submitted, or found in the queue again


class LabelRow(Base):
    """A content-addressed result: a value, or an `invalid` verdict that makes a second try pointless."""

    __tablename__ = "labels"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    composition: Mapped[str] = mapped_column(String(256), index=True)
    ordering: Mapped[int]
    fidelity: Mapped[str] = mapped_column(String(64), index=True)
    value_eV: Mapped[float | None]
    converged: Mapped[bool]
    data: Mapped[dict[str, Any]]  # the whole calculators.label.Label
    created: Mapped[datetime] = mapped_column(default=now)


class PredictionRow(Base):
    """The newest ranking of a campaign: best compositions at the target fidelity."""

    __tablename__ = "predictions"

    campaign: Mapped[str] = mapped_column(ForeignKey("campaigns.name"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    round: Mapped[int]
    composition: Mapped[str] = mapped_column(String(256))
    formula: Mapped[str] = mapped_column(String(256))
    cluster: Mapped[int | None]
    mean_eV: Mapped[float]
    sigma_eV: Mapped[float | None]  # None where nothing tells how far a value may be off
    source: Mapped[str] = mapped_column(String(16))  # label, prediction
    orderings: Mapped[int]  # how many orderings stand behind the value


class SynthesisRow(Base):
    """One try at making a composition: what came of it, and who says so."""

    __tablename__ = "synthesis_outcomes"
    __table_args__ = (Index("ix_synthesis_outcomes", "campaign", "composition"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    campaign: Mapped[str] = mapped_column(ForeignKey("campaigns.name"))
    composition: Mapped[str] = mapped_column(String(256))  # Composition.key
    formula: Mapped[str] = mapped_column(String(256))
    outcome: Mapped[str] = mapped_column(Text)
    who: Mapped[str] = mapped_column(String(128))
    time: Mapped[datetime] = mapped_column(default=now)
    note: Mapped[str] = mapped_column(Text, default="")


class EventRow(Base):
    """One decision or deed, in words, with who did it."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_campaign", "campaign", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    campaign: Mapped[str] = mapped_column(String(128))
    time: Mapped[datetime] = mapped_column(default=now)
    who: Mapped[str] = mapped_column(String(128), default="ionloop")
    kind: Mapped[str] = mapped_column(String(32))  # decision, exclude, pin, add-label, stop, ...
    text: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
