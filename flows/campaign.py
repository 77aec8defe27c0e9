"""One campaign in memory: what the loops (`flows.rounds`, `flows.streaming`) are made of.

Everything it needs to go on stands in the ledger before it is acted on, so that a campaign that was killed at any
moment and run again goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.ledger import Ledger, NewProposal
from agent.schema import ProposalRow
from agent.stopping import Progress, StopReason, should_stop
from calculators.pipeline import label_key
from calculators.registry import find
from flows import decisions
from flows.candidates import Candidates
from flows.config import Config
from flows.interruption import Interruption
from flows.labelling import FALLBACK, Engine, Labeller, Shown
from flows.learning import Learner
from flows.places import Places
from flows.progress import Reporter, stage_note
from flows.proposing import PRETRAINING, Proposer
from flows.relabel import relabel_rounds
from flows.retraining import Retrainer
from flows.stage import Stage, crew, current_run_id, elsewhere, tell
from flows.view import CampaignView
from flows.wording import plural

Progressed = Callable[[dict[str, Any]], None]

#: More bars than this on one terminal help nobody.
MOST_BARS = 16


@dataclass
class Campaign:
    """The parts of one campaign and what its loops do with them. Rebuilt from configuration and ledger."""

    config: Config
    candidates: Candidates
    ledger: Ledger
    engine: Engine
    reporter: Reporter
    stage: Stage
    interruption: Interruption

    def __post_init__(self) -> None:
        config, folder = self.config, self.config.folder
        self.name = config.campaign.name
        interrupted = self.interruption.event
        self.places = Places(config.places, interrupted)
        self.proposer = Proposer(config, self.candidates, self.ledger)
        retrainer = Retrainer(config.model, self.candidates, config.campaign.seed, folder / "models")
        streaming = config.loop.mode == "streaming"
        self.learner = Learner(self.proposer, retrainer, self.ledger, self.reporter, streaming, interrupted)
        self.labeller = Labeller(
            *(self.ledger, self.engine, config.label, folder / "labels"),
            work_of=self.proposer.work,
            key_of=label_key,
            places=self.places,
            interrupted=interrupted,
        )

    def run(self, loop: Callable[[Campaign], StopReason]) -> StopReason:
        """Play a loop until a stopping rule holds, which is returned; the ledger has it too."""
        self.ledger.close_lost_attempts(self.name)
        self.ledger.set_campaign_state(self.name, "running")
        reasons: list[StopReason] = []
        self.flow(self.name, lambda: reasons.append(loop(self)), "campaign")
        reason = reasons[-1]
        self.ledger.set_campaign_state(self.name, "finished" if reason.healthy else "stopped", reason.text)
        return reason

    # --- what loops do ---------------------------------------------------------------------------------

    def flow(self, name: str, body: Callable[[], None], kind: str) -> None:
        """Play a part on the stage, with a person's Ctrl-C in mind."""

        def heeding() -> None:
            with self.interruption.heeded():
                body()

        self.stage.flow(name, heeding, kind)

    def view(self) -> CampaignView:
        return CampaignView.load(self.ledger, self.name, self.config.folder)

    def link_round(self, number: int) -> None:
        """Remember which Prefect run shows this round."""
        self.ledger.link_run(self.name, number, current_run_id())

    def propose_pretraining(self) -> None:
        """Commit round 0: what the cheap calculator is to label."""
        proposals = self.proposer.pretraining_set()
        rows = self.proposer.rows(proposals, self.config.pretrain.calculator)
        summary = self.decision(PRETRAINING, rows)
        self.ledger.begin_round(self.name, PRETRAINING, rows, summary)
        self.say(summary)

    def decision(
        self, number: int, proposals: Sequence[NewProposal | ProposalRow], already: Sequence[ProposalRow] = ()
    ) -> str:
        """What a round proposes, in words; `already` is what it proposed before."""
        before = [*(p for p in self.ledger.proposals(self.name) if PRETRAINING < p.round < number), *already]
        cheap, target = self.proposer.cheap, self.proposer.target
        text = decisions.proposed(number, proposals, before, self.config, cheap, target)
        return text + self.proposer.synthesizable()

    def submit_together(self, proposals: Sequence[ProposalRow]) -> None:
        """Hand all that a scheduler may do at once to the scheduler at once; `start_label` then waits for each.

        The proposals stand in the ledger already, so a driver killed from here on finds the jobs again by their keys.
        """
        if jobs := self.labeller.submit_together(proposals):
            arrays = dict.fromkeys(job.split("_")[0] for job in jobs)
            self.say(f"{plural(len(jobs), 'label')} in the queue: job {', '.join(arrays)}")

    @contextmanager
    def crew(self, size: int) -> Iterator[ThreadPoolExecutor]:
        """Threads that label, with what computes for them shown under the flow run around."""
        with self.engine.shown() if isinstance(self.engine, Shown) else nullcontext(), crew(size) as threads:
            yield threads

    def start_label(
        self, threads: ThreadPoolExecutor, proposal: ProposalRow, on_event: Progressed | None = None
    ) -> Future[None]:
        """Label one proposal in another thread, as a task of the flow run around."""
        cluster = [] if proposal.cluster is None else [f"cluster {proposal.cluster}"]
        tags = (f"round {proposal.round}", find(proposal.calculator).fidelity, *cluster, f"ledger id {proposal.id}")
        body = partial(self._label, proposal, on_event)
        return elsewhere(threads, self.stage.step, "label", self._title(proposal), body, tags)

    def _label(self, proposal: ProposalRow, on_event: Progressed | None) -> None:
        """Label one proposal and say what came of it."""
        self.ledger.link_run(self.name, proposal.round, current_run_id(), proposal.id)
        tell(f"{proposal.formula} by {proposal.calculator}, because: {proposal.reason}; {self._where(proposal)}")
        with (
            self.reporter.bar(f"  {self._title(proposal)}")
            if self.places.total <= MOST_BARS
            else nullcontext() as bar
        ):

            def progressed(event: dict[str, Any]) -> None:
                if event.get("stage") == FALLBACK:
                    tell(f"{proposal.formula}: goes on with {event['calculator']}")
                if bar is not None:
                    bar.update(stage_note(event))
                if on_event is not None:
                    on_event(event)

            alone = proposal.round in relabel_rounds(self.ledger, self.name)
            self.labeller.label(proposal.id, progressed, alone)
        row = self.ledger.proposal(proposal.id)
        text = decisions.outcome(row, self.ledger.label(row.label_key), self.ledger.attempts(self.name, row.id))
        self.say(text, self._where(row))

    def learn(self, number: int) -> None:
        """Retrain after a round and show what it has brought."""
        self.stage.step("retrain", f"retrain after round {number}", lambda: self.say(self.learner.learn(number)))
        self.stage.publish(self.view(), number)

    def should_stop(self) -> StopReason | None:
        return should_stop(self.config.stopping, self._progress())

    def _progress(self) -> Progress:
        row = self.ledger.campaign(self.name)
        rounds = self.ledger.rounds(self.name)
        asked = self.proposer.asked()
        attempts = self.ledger.attempts(self.name)
        seconds = sum(a.seconds or 0.0 for a in attempts)
        ended = [a for a in attempts if a.state in ("succeeded", "failed")]
        return Progress(
            labels=len(asked.labelled),
            rounds=sum(r.state == "done" and r.number != PRETRAINING for r in rounds),
            calculator_hours=seconds / 3600,
            wall_hours=0.0 if row is None else row.driven_s / 3600,
            best_eV=min((o.value_eV for o in asked.labelled), default=None),
            improvement=[r.metrics["improvement"] for r in rounds if "improvement" in r.metrics],
            candidates_left=int(self.proposer.pool().allowed.sum()) - len(asked.orderings),
            outcomes=[a.failure_kind or None for a in ended],
        )

    # --- words -----------------------------------------------------------------------------------------

    def _where(self, proposal: ProposalRow) -> str:
        folder = self.config.folder / "labels" / proposal.label_key
        return f"ledger id {proposal.id}, composition {proposal.composition}, folder {folder}"

    def _title(self, proposal: ProposalRow) -> str:
        """The name of a label's run: "NEB Na3Zr1Sn0.25Si2PO12: chgnet"."""
        verb = "NEB" if find(proposal.calculator).fidelity.endswith("-neb") else "label"
        return f"{verb} {proposal.formula}: {proposal.calculator}"

    def say(self, text: str, details: str = "") -> None:
        """One line for the terminal; the run's log in Prefect gets the details too."""
        self.reporter.say(text)
        tell(f"{text.strip()}; {details}" if details else text)
