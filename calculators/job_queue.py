"""Finding a label's job in a scheduler's queue again, with nothing in memory.

A job of its own is named by the label's key and folder: two campaigns may ask for the same label, and each needs its
own result. An element of an array is found by the array's name and its index, which stand in job.json in the label's
folder from before the array was submitted. A queue that cannot be read means *unknown*, never *no job*.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path

from pydantic import BaseModel, ValidationError
from qtoolkit.core.data_objects import QJob, QState

from calculators.schedulers import NoAnswer, Scheduler
from calculators.storage import write_json

JOB_FILE = "job.json"


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    STUCK = "stuck"  # in the queue, but it will never run (SGE's error state)
    GONE = "gone"  # the scheduler answers, and has no such job in its queue
    UNKNOWN = "unknown"  # it does not answer: draw no conclusion


_WAITING = (QState.QUEUED, QState.QUEUED_HELD, QState.REQUEUED, QState.REQUEUED_HELD, QState.SUSPENDED)


class Job(BaseModel):
    """How a label's job is found: its name, its place in an array if it has one, and its id once that is known."""

    name: str
    index: int | None = None
    id: str = ""

    def save(self, folder: Path) -> None:
        write_json(folder / JOB_FILE, self)


def saved_job(folder: Path) -> Job | None:
    """The label's job that was last prepared or submitted, or None."""
    try:
        return Job.model_validate_json((folder / JOB_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


@dataclass(frozen=True)
class Queue:
    """The queue at one moment: state and id of each of our jobs, by name and index; in `trouble` all are unknown."""

    jobs: dict[tuple[str, int | None], tuple[JobState, str]]
    trouble: str = ""

    def find(self, candidates: Iterable[Job]) -> tuple[JobState, Job | None]:
        """The first of these jobs that is there, with its id."""
        if self.trouble:
            return JobState.UNKNOWN, None
        for job in candidates:
            if (found := self.jobs.get((job.name, job.index))) is not None:
                return found[0], job.model_copy(update={"id": found[1]})
        return JobState.GONE, None


def look(scheduler: Scheduler) -> Queue:
    """Ask for all jobs of this user at once.

    Raises:
        SchedulerError: there is no such scheduler on this machine.
    """
    try:
        listed = scheduler.jobs()
    except NoAnswer as error:
        return Queue({}, str(error))
    jobs: dict[tuple[str, int | None], tuple[JobState, str]] = {}
    for job in listed:
        index = str(job.job_id).partition("_")[2]
        place = str(job.name), int(index) if index.isdecimal() else None
        state = _state(job, scheduler)
        if str(getattr(job.sub_state, "name", "")) == "COMPLETING":  # it does not hide the one submitted after it
            jobs.setdefault(place, (JobState.RUNNING, str(job.job_id)))
        elif state is not None:
            jobs[place] = (state, str(job.job_id))
    return Queue(jobs)


def _state(job: QJob, scheduler: Scheduler) -> JobState | None:
    if job.state is QState.RUNNING:
        return JobState.RUNNING
    if job.state in _WAITING:
        return JobState.WAITING
    return JobState.STUCK if scheduler.name == "sge" and job.state is QState.FAILED else None


class QueueWatch:
    """The queue as all the waiting labels of a driver see it: one look at a time, shared by whoever asks.

    Args:
        every_s: how old (s) a look may be that is handed out again.
    """

    def __init__(self, scheduler: Scheduler, every_s: float) -> None:
        self.scheduler, self.every_s = scheduler, every_s
        self._lock = threading.Lock()
        self._begun, self._queue = -inf, Queue({}, "nobody has looked")

    def since(self, moment_s: float) -> Queue:
        """A look that was begun after this moment (`time.monotonic`): what was submitted before it is in it.

        Of many that ask at the same time one looks, the next one looks for all the others.
        """
        with self._lock:
            begun = time.monotonic()
            if self._begun < moment_s or begun - self._begun >= self.every_s:
                self._queue, self._begun = look(self.scheduler), begun
            return self._queue

    def now(self) -> Queue:
        return self.since(time.monotonic())


def job_name(key: str, folder: Path) -> str:
    """The name of the job that computes this label into this folder. PBS and SGE want a letter in front."""
    return f"label-{key}-{_digest([folder])[:8]}"


def array_name(folders: Iterable[Path]) -> str:
    """The name of the array that computes the labels of these folders."""
    return f"array-{_digest(folders)[:24]}"


def _digest(folders: Iterable[Path]) -> str:
    return hashlib.sha256("\n".join(str(folder.resolve()) for folder in folders).encode()).hexdigest()


def candidates(key: str, folder: Path) -> list[Job]:
    """Where the job of a label may be: what its folder says, and the job of its own."""
    saved = saved_job(folder)
    return [*([saved] if saved is not None else []), Job(name=job_name(key, folder))]
