"""What a campaign has in a scheduler's queue, also while nobody drives it: to be named, and to be cancelled."""

from __future__ import annotations

from dataclasses import dataclass

from agent.ledger import Ledger
from calculators.job_queue import candidates, look
from calculators.schedulers import SCHEDULERS, Scheduler, SchedulerError
from flows.config import Config


@dataclass(frozen=True)
class Job:
    """A scheduler job of a label that has not ended."""

    key: str  # the label's
    id: str
    state: str  # waiting, running
    calculator: str
    formula: str

    def __str__(self) -> str:
        return f"{self.id} ({self.state}): {self.formula}, {self.calculator}"


def queued_jobs(config: Config, ledger: Ledger) -> list[Job]:
    """Jobs of pending labels that the queue knows; none where the campaign sends none.

    Raises:
        SchedulerError: the queue cannot be read, so nobody knows.
    """
    asked = _pending(config, ledger)
    if not asked:
        return []
    folder = config.folder / "labels"
    queue = look(Scheduler(config.label.scheduler))
    if queue.trouble:
        raise SchedulerError(queue.trouble)
    found = {key: queue.find(candidates(key, folder / key)) for key in asked}
    return [Job(key, job.id, state.value, *asked[key]) for key, (state, job) in found.items() if job is not None]


def cancel_jobs(config: Config, ledger: Ledger) -> list[Job]:
    """Cancel them all; returns those that were there."""
    jobs = queued_jobs(config, ledger)
    if jobs:
        Scheduler(config.label.scheduler).cancel([job.id for job in jobs])
    return jobs


def describe(config: Config, ledger: Ledger) -> str:
    """One line for people: how many jobs are in the queue and which; "" if there is none."""
    try:
        jobs = queued_jobs(config, ledger)
    except SchedulerError as error:
        last = {job.proposal: job.id for job in ledger.jobs(config.campaign.name, "pending")}
        known = f": {', '.join(last.values())} by the ledger" if last else ""
        return f"the queue cannot be read ({error}); jobs may be in it{known}"
    if not jobs:
        return ""
    return f"{len(jobs)} in the queue: " + "; ".join(map(str, jobs[:8])) + (" ..." if len(jobs) > 8 else "")


def _pending(config: Config, ledger: Ledger) -> dict[str, tuple[str, str]]:
    """Calculator and formula by label key, for all that a pending proposal may have in the queue.

    That is what it asked for, which may wait in a job array without an attempt, and what fallbacks have begun.
    """
    if config.label.scheduler not in SCHEDULERS:
        return {}
    rows = {row.id: row for row in ledger.proposals(config.campaign.name, state="pending")}
    asked = {row.label_key: (row.calculator, row.formula) for row in rows.values()}
    for attempt in ledger.attempts(config.campaign.name):
        if attempt.state in ("running", "lost") and attempt.proposal in rows:
            asked[attempt.label_key] = (attempt.calculator, rows[attempt.proposal].formula)
    return {key: (name, formula) for key, (name, formula) in asked.items() if name in config.label.calculators}
