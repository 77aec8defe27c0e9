"""Batch rounds: propose a batch, label all of it, retrain, until a stopping rule holds.

Killed at any moment and run again, the campaign makes the same proposals and ends in the same labels as one that was
never interrupted: every round follows from the labels of the rounds before and from the campaign's seed.
"""

from __future__ import annotations

import itertools
from functools import partial

from agent.schema import RoundRow
from agent.stopping import StopReason
from flows.campaign import Campaign
from flows.proposing import PRETRAINING


def play_rounds(campaign: Campaign) -> StopReason:
    """Go on with the first round that is not done."""
    config, ledger = campaign.config, campaign.ledger
    with campaign.reporter.bar("rounds", total=config.stopping.max_rounds) as bar:
        for number in itertools.count(PRETRAINING if config.cheap_labels else 1):
            known = ledger.round(campaign.name, number)
            bar.update(f"round {number}", completed=max(0, number - 1))
            if known is not None and known.state == "done":
                continue
            if known is None and (stop := campaign.should_stop()) is not None:
                return stop
            campaign.flow(f"round {number}", partial(_round, campaign, number, known), "round")
    raise AssertionError("rounds are counted without end")


def play_one(campaign: Campaign, number: int) -> None:
    """Play one round that the ledger holds already, outside the loop (`flows.relabel`)."""
    ledger = campaign.ledger
    ledger.close_lost_attempts(campaign.name)
    ledger.set_campaign_state(campaign.name, "running")
    body = partial(_round, campaign, number, ledger.round(campaign.name, number))
    campaign.flow(campaign.name, lambda: campaign.flow(f"round {number}", body, "round"), "campaign")


def _round(campaign: Campaign, number: int, known: RoundRow | None) -> None:
    """Propose (unless that is in the ledger already), label what is pending, retrain."""
    if known is None:
        _propose(campaign, number)
    campaign.link_round(number)
    _label(campaign, number)
    campaign.learn(number)


def _propose(campaign: Campaign, number: int) -> None:
    if number == PRETRAINING:
        return campaign.propose_pretraining()
    model = campaign.learner.after(number - 1)
    proposals = campaign.proposer.choose(model, _batch(campaign), (number,))
    rows = campaign.proposer.acquisition_rows(proposals)
    summary = campaign.decision(number, rows)
    campaign.ledger.begin_round(campaign.name, number, rows, summary)
    campaign.say(summary)
    return None


def _batch(campaign: Campaign) -> int:
    """The batch, cut to what the budget of labels still allows."""
    batch, budget = campaign.config.campaign.batch, campaign.config.stopping.max_labels
    return batch if budget is None else max(1, min(batch, budget - len(campaign.proposer.asked().labelled)))


def _label(campaign: Campaign, number: int) -> None:
    pending = campaign.ledger.proposals(campaign.name, number, "pending")
    campaign.submit_together(pending)
    with (
        campaign.reporter.bar(f"labels of round {number}", total=len(pending)) as total,
        campaign.crew(campaign.places.total) as threads,
    ):
        for label in [campaign.start_label(threads, proposal) for proposal in pending]:
            label.result()
            total.advance()
