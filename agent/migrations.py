"""From any older ledger to today's tables, one step per version, all of them in one transaction.

The steps are plain functions here and use Alembic's operations, which know how SQLite and PostgreSQL alter tables.
The rest of Alembic (an `env.py`, a folder of revisions, a version table of its own) would be a second truth beside
the ledger's `meta.schema_version`: a ledger has one line of versions and nobody goes back.

A step says what its version was at the time: it may not use `agent.schema`, which moves on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from agent.database import ONE_BUILDER
from agent.schema import SCHEMA_VERSION

META = sa.table("meta", sa.column("key"), sa.column("value"))


def migrate(engine: sa.Engine) -> None:
    """Bring an older ledger up to date; a copy of an SQLite file is kept beside it first.

    All or nothing: killed at any moment, the ledger is the old one or the new one. Of two processes that open the
    same old ledger, one migrates and the other finds it done.
    """
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(ONE_BUILDER[engine.dialect.name])
        version = int(connection.scalars(sa.select(META.c.value).where(META.c.key == "schema_version")).one())
        if version < SCHEMA_VERSION:
            if engine.dialect.name == "sqlite" and engine.url.database:
                keep_copy(Path(engine.url.database), version)
            steps = Operations(MigrationContext.configure(connection))
            for number in range(version + 1, SCHEMA_VERSION + 1):
                STEPS[number](steps, connection)
            newest = sa.update(META).where(META.c.key == "schema_version").values(value=str(SCHEMA_VERSION))
            connection.execute(newest)


def keep_copy(path: Path, version: int) -> Path:
    """Copy ledger.sqlite to ledger.sqlite.v1, whole, with what stands in its write-ahead log."""
    copy = path.with_name(f"{path.name}.v{version}")
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)
    return part.replace(copy)


def to_2(steps: Operations, connection: sa.Connection) -> None:
    """Synthesis outcomes; durations by the monotonic clock, estimated from the wall clock for what is past."""
    steps.create_table(
        "synthesis_outcomes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("campaign", sa.String(128), sa.ForeignKey("campaigns.name"), nullable=False),
        sa.Column("composition", sa.String(256), nullable=False),
        sa.Column("formula", sa.String(256), nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("time", sa.DateTime, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    steps.create_index("ix_synthesis_outcomes", "synthesis_outcomes", ["campaign", "composition"])
    steps.add_column("attempts", sa.Column("seconds", sa.Double))
    steps.add_column("campaigns", sa.Column("driven_s", sa.Double, nullable=False, server_default="0"))

    attempts = _table("attempts", "id", "state", "seconds", times=("started", "ended"))
    ended = sa.select(attempts.c.id, attempts.c.started, attempts.c.ended).where(
        attempts.c.state.in_(("succeeded", "failed")), attempts.c.ended.is_not(None)
    )
    for one, started, end in connection.execute(ended).all():
        seconds = max(0.0, (end - started).total_seconds())
        connection.execute(sa.update(attempts).where(attempts.c.id == one).values(seconds=seconds))

    campaigns = _table("campaigns", "name", "driven_s", times=("created",))
    events = _table("events", "campaign", times=("time",))
    last = sa.select(sa.func.max(events.c.time)).where(events.c.campaign == campaigns.c.name).scalar_subquery()
    for name, created, latest in connection.execute(sa.select(campaigns.c.name, campaigns.c.created, last)).all():
        driven = max(0.0, (latest - created).total_seconds()) if latest else 0.0
        connection.execute(sa.update(campaigns).where(campaigns.c.name == name).values(driven_s=driven))


def to_3(steps: Operations, connection: sa.Connection) -> None:
    """Ids of schedulers' jobs. Of what was submitted before, a driver finds them by name."""
    steps.create_table(
        "jobs",
        sa.Column("proposal", sa.Integer, sa.ForeignKey("proposals.id"), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("label_key", sa.String(64), nullable=False),
        sa.Column("calculator", sa.String(128), nullable=False),
        sa.Column("noted", sa.DateTime, nullable=False),
    )


def _table(name: str, *columns: str, times: tuple[str, ...]) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns), *(sa.column(one, sa.DateTime) for one in times))


#: By the version that a step leads to.
STEPS: dict[int, Callable[[Operations, sa.Connection], None]] = {2: to_2, 3: to_3}
