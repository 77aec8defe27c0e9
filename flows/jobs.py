"""What a campaign has in a scheduler's queue, also while nobody drives it: to be named, and to be cancelled."""

from __future__ import annotations

from dataclasses import dataclass

from agent.ledger import Ledger
from agent.schema import AttemptRow
from calculators import slurm_listing
from calculators.slurm import SlurmError
from flows.config import Config


@dataclass(frozen=True)
class Job:
    """A scheduler job of a label that has not ended."""

    key: str  # the label's, which is the job's name
    id: str
    state: str  # waiting, running
    calculator: str
    formula: str

    def __str__(self) -> str:
        return f"{self.id} ({self.state}): {self.formula}, {self.calculator}"


def queued_jobs(config: Config, ledger: Ledger) -> list[Job]:
    """Jobs of unfinished labels that the queue knows; none where the campaign sends none.

    Raises:
        SlurmError: the queue cannot be read, so nobody knows.
    """
    attempts = _unfinished(config, ledger)
    if not attempts:
        return []
    names = {p.id: p.formula for p in ledger.proposals(config.campaign.name, state="pending")}
    found = slurm_listing.jobs()
    return [
        Job(a.label_key, *found[a.label_key], a.calculator, names[a.proposal])
        for a in attempts
        if a.label_key in found and a.proposal in names
    ]


def cancel_jobs(config: Config, ledger: Ledger) -> list[Job]:
    """Cancel them all; returns those that were there."""
    jobs = queued_jobs(config, ledger)
    slurm_listing.cancel([job.id for job in jobs])
    return jobs


def describe(config: Config, ledger: Ledger) -> str:
    """One line for people: how many jobs are in the queue and which; "" if there is none."""
    try:
        jobs = queued_jobs(config, ledger)
    except SlurmError as error:
        return f"the queue cannot be read ({error}); jobs may be in it"
    if not jobs:
        return ""
    return f"{len(jobs)} in the queue: " + "; ".join(map(str, jobs[:8])) + (" ..." if len(jobs) > 8 else "")


def _unfinished(config: Config, ledger: Ledger) -> list[AttemptRow]:
    """The last attempt of each label that was begun as a job and has no end in the ledger."""
    if config.label.scheduler != "slurm":
        return []
    open_ones = [a for a in ledger.attempts(config.campaign.name) if a.state in ("running", "lost")]
    return list({a.label_key: a for a in open_ones if a.calculator in config.label.calculators}.values())
