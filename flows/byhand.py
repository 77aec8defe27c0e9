"""What a person brings: labels found elsewhere."""

from __future__ import annotations

import hashlib

from agent.ledger import Ledger, LedgerError
from calculators.label import Label


def add_label(
    ledger: Ledger,
    campaign: str,
    composition: str,
    formula: str,
    ordering: int,
    value_eV: float,
    source: str,
    who: str,
) -> None:
    """A barrier at the target fidelity, part of the campaign's newest round; its provenance names source and person.

    Raises:
        LedgerError: no such campaign, or none of its rounds has begun.
    """
    row, rounds = ledger.campaign(campaign), ledger.rounds(campaign)
    if row is None or not rounds:
        raise LedgerError(
            f"campaign {campaign}: nothing has been proposed yet, so there is nothing to add a label to"
        )
    content = f"by hand|{composition}|{ordering}|{row.target_fidelity}|{value_eV}|{source}"
    label = Label(
        key=hashlib.sha256(content.encode()).hexdigest()[:32],
        fidelity=row.target_fidelity,
        value_eV=value_eV,
        converged=True,
        provenance={"source": source, "added_by": who},
    )
    ledger.add_by_hand(campaign, rounds[-1].number, label, composition, formula, ordering, who)
