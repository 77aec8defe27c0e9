"""Coming back for the dear label: the same orderings again, at another fidelity.

A label that a cheaper calculator stood in for, because the dear one was down, is asked for again when it is up; so
are the best of a campaign that was labelled cheaply throughout. The new proposals are a round of their own,
committed before anything is sent: killed at any moment, `ionloop resume` finishes it like any other round. There is
no falling back in it: the stand-in is there already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.ledger import Ledger, NewProposal
from calculators.registry import UnknownCalculator, describe, find
from flows.config import Config
from flows.errors import UserError
from flows.view import Acquisition, CampaignView

#: Kind of the ledger's event that marks a round as one of these; its data holds {"round": number}.
EVENT = "relabel"


def calculator_of(config: Config, fidelity: str) -> str:
    """The calculator that gives labels of this fidelity: the campaign's own first, then any that is installed.

    Raises:
        UserError: there is none, or it cannot run here; the message says which fidelities there are, or why not.
    """
    own = dict.fromkeys([*config.label.calculators, config.pretrain.calculator])
    installed = {entry.name: entry.fidelity for entry in describe()}
    known = {name: fidelity_of(name) for name in own} | {n: f for n, f in installed.items() if n not in own}
    name = next((name for name, its in known.items() if its == fidelity), None)
    if name is None:
        raise UserError(
            f"fidelity {fidelity!r}: no calculator gives it; allowed: {', '.join(sorted({*known.values()}))}"
        )
    if (problem := find(name).unavailable()) is not None:
        raise UserError(f"calculator {name!r} cannot run here: {problem}")
    return name


def fidelity_of(calculator: str) -> str:
    """Fidelity of a calculator's labels; "" for what is none (a label that a person added)."""
    try:
        return find(calculator).fidelity
    except UnknownCalculator:
        return ""


@dataclass(frozen=True)
class Chosen:
    """An ordering to label again, and why in words."""

    acquisition: Acquisition
    reason: str


def choose(
    view: CampaignView, fidelity: str, top: int | None, refused: Callable[[Acquisition], bool]
) -> list[Chosen]:
    """The orderings to label at this fidelity: first those that wanted it and got another, then the lowest barriers.

    Args:
        top: how many in all; None takes the first kind only.
        refused: the calculator has judged this ordering `invalid`: it is never asked again.
    """
    asked = [a for a in view.acquisitions if a.round > 0]
    done = {(a.composition, a.ordering) for a in asked if a.fidelity == fidelity or a.state == "pending"}
    wanted = [
        a for a in asked if a.fidelity != fidelity and a.state != "pending" and fidelity_of(a.asked) == fidelity
    ]
    best = sorted((a for a in asked if a.value_eV is not None), key=lambda a: (a.value_eV, a.id))
    found = [Chosen(a, f"{fidelity} was asked for before, {_instead(a)}") for a in wanted]
    if top is not None:
        found += [Chosen(a, f"number {rank} by {a.fidelity}, {a.value_eV:.3f} eV") for rank, a in enumerate(best, 1)]
    unique: dict[tuple[str, int], Chosen] = {}
    for line in found:
        pair = (line.acquisition.composition, line.acquisition.ordering)
        if pair not in done and pair not in unique and not refused(line.acquisition):
            unique[pair] = line
    return list(unique.values())[:top]


def _instead(acquisition: Acquisition) -> str:
    if acquisition.value_eV is not None:
        return f"{acquisition.fidelity} stood in with {acquisition.value_eV:.3f} eV"
    failure = acquisition.failure
    return f"nothing came ({failure[0]}: {failure[1]})" if failure is not None else "nothing came"


def begin_round(
    ledger: Ledger,
    view: CampaignView,
    fidelity: str,
    calculator: str,
    top: int | None,
    key_of: Callable[[str, int], str],
    who: str,
) -> int | None:
    """Write the round ahead; returns its number, or None if there is nothing to label again.

    Args:
        key_of: key of the label that `calculator` would give for a composition and ordering.
    """

    def key(acquisition: Acquisition) -> str:
        return key_of(acquisition.composition, acquisition.ordering)

    def refused(acquisition: Acquisition) -> bool:
        known = ledger.label(key(acquisition))
        return known is not None and not known.ok

    chosen = choose(view, fidelity, top, refused)
    if not chosen:
        return None
    number = max(row.number for row in view.rounds) + 1
    proposals = [
        NewProposal(
            composition=line.acquisition.composition,
            formula=line.acquisition.formula,
            ordering=line.acquisition.ordering,
            calculator=calculator,
            label_key=key(line.acquisition),
            reason=f"relabelled: {line.reason}",
            cluster=line.acquisition.cluster,
        )
        for line in chosen
    ]
    summary = f"round {number}: {who} asked for {len(chosen)} orderings again at {fidelity}"
    ledger.begin_round(view.name, number, proposals, summary, EVENT, who)
    return number


def relabel_rounds(ledger: Ledger, campaign: str) -> frozenset[int]:
    """Rounds in which every label is of the fidelity asked for, or none."""
    return frozenset(event.data["round"] for event in ledger.events(campaign, EVENT))
