"""From a proposal to a label in the ledger: attempts, retries, the next calculator in the chain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from agent.ledger import Ledger, SentJob
from agent.schema import ProposalRow
from calculators.jobs import QUEUED, SCHEDULERS
from calculators.label import FailureKind, Label, Work
from calculators.pipeline import finished
from flows.config import LabelSection
from flows.places import Interrupted, Places
from flows.room import check_room

#: Failures that may end differently with the same input (DESIGN.md, rule 4).
RETRYABLE = frozenset({FailureKind.TRANSIENT, FailureKind.WALLTIME, FailureKind.UNCONVERGED})

#: Stage of the event that says that the next calculator in the chain takes over.
FALLBACK = "fallback"

Progress = Callable[[dict[str, Any]], None]


class Engine(Protocol):
    """Computes one piece of work under a time limit (`calculators.supervisor.WorkerPool` is one)."""

    def label(self, work: Work, folder: Path, timeout_s: float, on_event: Progress | None = None) -> Label: ...


@runtime_checkable
class Batching(Protocol):
    """An engine that may be told of many labels before it is asked for each."""

    def submit_together(self, works: Sequence[tuple[Work, Path]], folder: Path) -> dict[str, str]:
        """Submit them; returns the id of each one's job by its label's key, of those that are now in the queue.

        Trouble is no reason to stop: `label` will meet it too.
        """
        ...


@runtime_checkable
class Shown(Protocol):
    """An engine that Prefect shows by a flow run of its own."""

    def shown(self) -> AbstractContextManager[None]:
        """Inside, what it computes is shown below the flow run around."""
        ...


@dataclass(frozen=True)
class Labeller:
    """Labels proposals of one campaign. Everything that matters afterwards stands in the ledger."""

    ledger: Ledger
    engine: Engine
    config: LabelSection
    folder: Path  # <campaign>/labels
    work_of: Callable[[str, int, str], Work]  # composition key, ordering, calculator
    key_of: Callable[[Work], str]
    places: Places
    interrupted: threading.Event

    def label(self, proposal_id: int, on_event: Progress | None = None, alone: bool = False) -> str:
        """Label one proposal, or find that this was done already; returns its state, "labelled" or "failed".

        `alone`: by the calculator asked for or not at all.
        """
        proposal = self.ledger.proposal(proposal_id)
        if proposal.state != "pending":
            return proposal.state
        for calculator in [proposal.calculator] if alone else self._chain(proposal.calculator):
            if on_event is not None and calculator != proposal.calculator:
                on_event({"stage": FALLBACK, "calculator": calculator})
            work = self.work_of(proposal.composition, proposal.ordering, calculator)
            key = self.key_of(work)
            known = self.ledger.label(key)
            if known is None:
                known = self._attempts(proposal_id, work, key, on_event)
            elif known.ok:
                self.ledger.adopt_label(proposal_id, key)
            if known.ok:
                return "labelled"
        self.ledger.fail_proposal(proposal_id)
        return "failed"

    def submit_together(self, proposals: Sequence[ProposalRow]) -> list[str]:
        """Tell an engine that wants to know beforehand what these ask for; returns the ids of the jobs it sent."""
        if not isinstance(self.engine, Batching):
            return []
        works = {
            row.id: self.work_of(row.composition, row.ordering, row.calculator)
            for row in proposals
            if row.state == "pending"
        }
        keys = {number: self.key_of(work) for number, work in works.items()}
        waiting = [
            (works[number], self.folder / key) for number, key in keys.items() if self.ledger.label(key) is None
        ]
        ids = self.engine.submit_together(waiting, self.folder / "arrays")
        self.ledger.note_jobs(
            SentJob(number, ids[key], key, works[number].calculator) for number, key in keys.items() if key in ids
        )
        return list(ids.values())

    def _chain(self, asked: str) -> list[str]:
        """The calculators to try: the whole chain for the target fidelity, only itself for a cheap label."""
        return self.config.calculators if asked == self.config.calculators[0] else [asked]

    def _attempts(self, proposal_id: int, work: Work, key: str, on_event: Progress | None) -> Label:
        """Try one calculator until it answers, refuses, or has failed too often (earlier drivers' tries count)."""

        def noted(event: dict[str, Any]) -> None:
            if event.get("stage") == QUEUED:
                self.ledger.note_jobs([SentJob(proposal_id, event["job"], key, work.calculator)])
            if on_event is not None:
                on_event(event)

        folder = self.folder / key
        failed = self.ledger.count_attempts(proposal_id, key, "failed")
        if not failed and self._is_local(work.calculator):
            self._start_over(folder, key, self.ledger.count_attempts(proposal_id, key, "lost"))
        while True:
            with self.places.take(work.calculator):
                attempt = self.ledger.start_attempt(proposal_id, key, work.calculator, str(folder))
                label = self.engine.label(work, folder, self.config.timeout_min * 60.0, noted)
                if self.interrupted.is_set() and not label.ok:  # its worker was ended: no failure of the calculation
                    raise Interrupted
                if not label.ok:
                    check_room(folder)
                label = self.ledger.finish_attempt(attempt, label)
            failed += 1
            retryable = label.failure is not None and label.failure.kind in RETRYABLE
            if label.ok or not retryable or failed > self.config.retries:
                return label
            self.interrupted.wait(self.config.backoff_s * 2 ** (failed - 1))

    def _is_local(self, calculator: str) -> bool:
        """Computed by a worker of this driver, and so lost with it; a scheduler's job goes on."""
        return self.config.scheduler not in SCHEDULERS or calculator not in self.config.calculators

    @staticmethod
    def _start_over(folder: Path, key: str, lost: int) -> None:
        """Set aside what a killed driver's worker left half done.

        From its last band the label would converge too, but to other digits: other optimiser history, other path to
        the same fmax. Started over it is the label of a campaign that was never killed, for minutes of work.
        """
        if lost and folder.exists() and finished(folder, key) is None:
            folder.rename(folder.with_name(f"{folder.name}.lost-{lost}"))
