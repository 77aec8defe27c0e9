"""Waiting for a database server that is restarted, for weeks without anyone watching."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agent.database import LedgerLost
from agent.ledger import Ledger

Result = TypeVar("Result")

#: So long a database server may be away (s).
PATIENCE_S = 1800.0


def patiently(run: Callable[[], Result], ledger: Ledger, say: Callable[[str], None]) -> Result:
    """Run a campaign; if its database server goes away, wait for it and run the campaign on.

    That is no other way than resuming after a kill: the ledger says where to go on, and labels whose end could not
    be written down are found in their folders.

    Raises:
        LedgerLost: the server stayed away.
    """
    while True:
        try:
            return run()
        except LedgerLost as lost:
            say(f"{lost}; waiting up to {PATIENCE_S / 60:g} minutes for the database")
            ledger.wait(PATIENCE_S)
            say("the database answers again; going on")
