"""Streaming: as soon as a label lands the next proposal goes out, and the model is retrained beside it.

A round is one retraining: it begins with the first proposal after the last one closed, and closes when
`loop.retrain_after` target labels are new. Rounds close in order, and what a model learned from is written down
before it is trained (`LESSONS`). So every decision follows from what the ledger holds at that moment, before and
after a kill: the newest model that is done, the labels, what is pending, the seed. What does not repeat from run to
run is the order in which labels land and the moment at which a training ends, for they depend on the machines.

One thread decides; labels and training run in others and only put news into a queue.
"""

from __future__ import annotations

import queue
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from agent.ledger import NewProposal
from agent.schema import ProposalRow
from agent.stopping import StopReason
from flows.campaign import Campaign
from flows.labelling import FALLBACK
from flows.learning import LESSONS
from flows.proposing import PRETRAINING
from flows.stage import crew, elsewhere


def play_streaming(campaign: Campaign) -> StopReason:
    """Go on from what the ledger holds until a stopping rule holds and all that was sent out has come back."""
    with campaign.crew(campaign.places.total + len(campaign.config.calculators)) as labels, crew(1) as trainer:
        return _Stream(campaign, labels, trainer).play()


class _Stream:
    """The state of the stream in this process; all of it can be had from the ledger again."""

    def __init__(self, campaign: Campaign, labels: ThreadPoolExecutor, trainer: ThreadPoolExecutor) -> None:
        self.campaign, self.ledger, self.name = campaign, campaign.ledger, campaign.name
        self.config = campaign.config
        self.labels, self.trainer = labels, trainer
        self.news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.flying: dict[int, tuple[ProposalRow, Future[None]]] = {}
        self.fallen_back: set[int] = set()  # no longer in a place of the target's calculator
        self.training: Future[None] | None = None
        self.stop: StopReason | None = None

    def play(self) -> StopReason:
        if self.config.cheap_labels and self.ledger.round(self.name, PRETRAINING) is None:
            self.campaign.propose_pretraining()
        self._send(self.ledger.proposals(self.name, state="pending"))
        while True:
            self._gather()
            self._train_if_due()
            if self.stop is None:
                self.stop = self.campaign.should_stop()
            if self.stop is None:
                self._propose()
            if self.stop is not None and not self.flying and self.training is None:
                return self.stop
            self.news.get()

    # --- news ------------------------------------------------------------------------------------------

    def _tell(self, _future: Any = None) -> None:
        self.news.put(None)

    def _gather(self) -> None:
        """Take note of what has ended; an error in a thread is raised here."""
        for proposal_id, (_, label) in list(self.flying.items()):
            if label.done():
                del self.flying[proposal_id]
                self.fallen_back.discard(proposal_id)
                label.result()
        if self.training is not None and self.training.done():
            training, self.training = self.training, None
            training.result()

    # --- label -----------------------------------------------------------------------------------------

    def _send(self, proposals: Any) -> None:
        for proposal in proposals:

            def on_event(event: dict[str, Any], proposal_id: int = proposal.id) -> None:
                if event.get("stage") == FALLBACK:
                    self.fallen_back.add(proposal_id)
                    self._tell()

            label = self.campaign.start_label(self.labels, proposal, on_event)
            self.flying[proposal.id] = proposal, label
            label.add_done_callback(self._tell)

    # --- propose ---------------------------------------------------------------------------------------

    def _propose(self) -> None:
        """Fill the free places of the target's calculator, as far as the budget allows."""
        if not self._model_is_fresh():
            return
        size = min(self._free_places(), self._left())
        rows = self._choose(size) if size > 0 else []
        if rows:
            sent = self._commit(rows)
            self._send(sent)
            if len(sent) < len(rows):  # labelled already: their places are free still
                self._tell()

    def _model_is_fresh(self) -> bool:
        """With `pretrain_first` the model comes before the first dear proposal; later it is one round behind at
        most."""
        row = self.ledger.round(self.name, PRETRAINING)
        untrained = row is not None and row.state != "done" and self.config.loop.pretrain_first
        behind = self.training is not None and len(self._new_targets()) >= self._retrain_after
        return not untrained and not behind

    def _free_places(self) -> int:
        """Places of the target's calculator, as long as those that fell back find room in the chain."""
        limits, chain, asked = self.campaign.places.limits, self.config.label.calculators, self._flying_targets()
        return min(limits[chain[0]] - len(asked - self.fallen_back), sum(limits[name] for name in chain) - len(asked))

    def _left(self) -> int:
        """How many more may be asked for, if all that are flying give a label."""
        stopping, new = self.config.stopping, len(self._new_targets())
        flying, left = len(self._flying_targets()), []
        if stopping.max_labels is not None:
            left.append(stopping.max_labels - len(self.campaign.proposer.asked().labelled) - flying)
        if stopping.max_rounds is not None:
            closed = sum(number != PRETRAINING for number in self._closed())
            left.append((stopping.max_rounds - closed) * self._retrain_after - new - flying)
        return min(left, default=self.campaign.places.total)

    def _choose(self, size: int) -> list[NewProposal]:
        """The next proposals by the newest model that is done, at most `size`."""
        number = self._open_round()
        done = [row.number for row in self.ledger.rounds(self.name) if row.state == "done"]
        model = self.campaign.learner.after(done[-1]) if done else None
        place = len(self.ledger.proposals(self.name, number))
        window = max(0, self.config.campaign.batch - size)
        proposer = self.campaign.proposer
        return proposer.acquisition_rows(proposer.choose(model, size, (number, place), recent=window))

    def _commit(self, rows: list[NewProposal]) -> list[ProposalRow]:
        """Write proposals down before they are sent; what is labelled already does not come back."""
        number, campaign = self._open_round(), self.campaign
        before = self.ledger.proposals(self.name, number)
        summary, decision = campaign.decision(number, [*before, *rows]), campaign.decision(number, rows, before)
        if self.ledger.round(self.name, number) is None:
            self.ledger.begin_round(self.name, number, rows, summary)
        else:
            self.ledger.extend_round(self.name, number, rows, summary, decision)
        campaign.say(f"{decision}; {len(self.flying) + len(rows)} at work")
        known = {p.id for p in before}
        return [p for p in self.ledger.proposals(self.name, number, "pending") if p.id not in known]

    # --- retrain ---------------------------------------------------------------------------------------

    def _train_if_due(self) -> None:
        """Close a round when enough is new, or what is left when nothing else will come; train in the background."""
        if self.training is not None:
            return
        closed = self._closed()
        unfinished = [n for n in closed if (row := self.ledger.round(self.name, n)) and row.state != "done"]
        if unfinished:  # killed in training: the same lessons again
            return self._train(unfinished[0])
        if self._pretraining_is_open():
            if not self._flying_in(PRETRAINING):
                self._close(PRETRAINING)
            return None
        new = len(self._new_targets())
        last = self.stop is not None and not self.flying
        if new >= self._retrain_after or (last and new):
            self._close(self._open_round())
        return None

    def _close(self, number: int) -> None:
        """Write down what the model is going to learn from, then train."""
        lessons = self._new_labels()
        if self.ledger.round(self.name, number) is None:
            self.ledger.begin_round(self.name, number, [], self.campaign.decision(number, []))
        text = f"round {number}: closed with {len(lessons)} new labels"
        self.ledger.log(self.name, LESSONS, text, round=number, proposals=lessons)
        self._train(number)

    def _train(self, number: int) -> None:
        body = partial(self._learn, number)
        self.training = elsewhere(self.trainer, self.campaign.flow, f"round {number}", body, "round")
        self.training.add_done_callback(self._tell)

    def _learn(self, number: int) -> None:
        self.campaign.link_round(number)
        self.campaign.learn(number)

    # --- what the ledger says --------------------------------------------------------------------------

    @property
    def _retrain_after(self) -> int:
        return self.config.loop.retrain_after or self.config.campaign.batch

    def _closed(self) -> list[int]:
        """Rounds whose lessons are written down, oldest first."""
        return [int(event.data["round"]) for event in self.ledger.events(self.name, LESSONS)]

    def _open_round(self) -> int:
        """The round that proposals join."""
        return max([PRETRAINING, *self._closed()]) + 1

    def _pretraining_is_open(self) -> bool:
        return self.ledger.round(self.name, PRETRAINING) is not None and PRETRAINING not in self._closed()

    def _new_labels(self) -> list[int]:
        """Proposals whose labels no model has learned from, of either fidelity."""
        learned = {i for event in self.ledger.events(self.name, LESSONS) for i in event.data["proposals"]}
        return [one.proposal for one in self.ledger.known(self.name) if one.proposal not in learned]

    def _new_targets(self) -> set[int]:
        labelled = {one.proposal for one in self.ledger.known(self.name, self.campaign.proposer.target)}
        return labelled & set(self._new_labels())

    def _flying_targets(self) -> set[int]:
        return {i for i, (p, _) in self.flying.items() if p.round != PRETRAINING}

    def _flying_in(self, number: int) -> bool:
        return any(p.round == number for p, _ in self.flying.values())
