"""The database behind a ledger as its parts use it: transactions, patience with a server, time of work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from agent.database import LedgerLost, ledger_error, open_database
from agent.schema import CampaignRow
from agent.stopwatch import Stopwatches


class Store:
    """One database. Rows that are handed out are detached: plain records, valid after the session has ended."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._session = sessionmaker(engine, expire_on_commit=False)
        self._stopwatches = Stopwatches()

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """Open or create. `url` is an SQLAlchemy URL or the path of an SQLite file.

        Raises:
            LedgerError: unreachable, not a ledger, or written by a newer ionloop. An older one is migrated, and a
                copy of an SQLite file stays beside it.
        """
        return cls(open_database(url))

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """All or nothing; a full disk or a lost server becomes a `LedgerError` and leaves nothing half-written."""
        try:
            with self._session.begin() as session:
                yield session
        except (IntegrityError, ProgrammingError, DataError):
            raise  # a mistake of the caller, not of the database
        except DBAPIError as error:
            raise ledger_error(error) from error

    def wait(self, patience_s: float, pause_s: float = 1.0) -> None:
        """Return as soon as the database answers (again).

        Raises:
            LedgerLost: it did not for `patience_s`.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                with self.transaction() as session:
                    session.execute(select(1))
                return
            except LedgerLost:
                if time.monotonic() > deadline:
                    raise
            time.sleep(pause_s)

    def _add_driven(self, session: Session, campaign: str) -> None:
        """Add to the campaign's time of work what has passed since the last time, if this process drives it."""
        if seconds := self._stopwatches.lap(campaign):
            query = update(CampaignRow).where(CampaignRow.name == campaign)
            session.execute(query.values(driven_s=CampaignRow.driven_s + seconds))
