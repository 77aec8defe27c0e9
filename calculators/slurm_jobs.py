"""Finding a label's job in Slurm's queue again, with nothing in memory.

A job of its own is named by the label's key and folder: two campaigns may ask for the same label, and each needs its
own result. An element of an array is found by the array's name and its index, which stand in job.json in the label's
folder from before the array was submitted. A squeue that fails means *unknown*, never *no job*.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path

from pydantic import BaseModel, ValidationError

from calculators.label import FailureKind
from calculators.storage import write_json

JOB_FILE = "job.json"
#: Ids per call of scancel: a command line has its limits.
AT_ONCE = 100


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    GONE = "gone"  # Slurm answers, and has no such job in its queue
    UNKNOWN = "unknown"  # Slurm does not answer: draw no conclusion


RUNNING = frozenset({"RUNNING", "COMPLETING"})
WAITING = frozenset({"PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED", "RESIZING", "STOPPED"})

#: How Slurm says that a job ended without a result, and what that means for the label.
ENDINGS = {
    "TIMEOUT": (FailureKind.WALLTIME, "the job ran out of its time limit; resubmitted it goes on"),
    "DEADLINE": (FailureKind.WALLTIME, "the job ran into its deadline"),
    "CANCELLED": (FailureKind.TRANSIENT, "the job was cancelled from outside"),
    "NODE_FAIL": (FailureKind.TRANSIENT, "the node failed"),
    "BOOT_FAIL": (FailureKind.TRANSIENT, "the node failed to start"),
    "PREEMPTED": (FailureKind.TRANSIENT, "the job was preempted"),
    "OUT_OF_MEMORY": (FailureKind.TRANSIENT, "the job ran out of memory: raise memory_GB"),
}


class SlurmError(RuntimeError):
    """sbatch refused a job, or there is no Slurm; the message says which."""


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
    """The queue at one moment: state and id of each of our jobs, by name and index. Not `readable`: all unknown."""

    readable: bool
    jobs: dict[tuple[str, int | None], tuple[JobState, str]]

    def find(self, candidates: Iterable[Job]) -> tuple[JobState, Job | None]:
        """The first of these jobs that is there, with its id."""
        if not self.readable:
            return JobState.UNKNOWN, None
        for job in candidates:
            if (found := self.jobs.get((job.name, job.index))) is not None:
                return found[0], job.model_copy(update={"id": found[1]})
        return JobState.GONE, None


def look() -> Queue:
    """Ask Slurm about all jobs of this user at once."""
    user = str(os.getuid())
    done = slurm(["squeue", "--noheader", "--array", "--user", user, "--format", "%i %K %T %j"])
    jobs: dict[tuple[str, int | None], tuple[JobState, str]] = {}
    for line in filter(str.strip, done.stdout.splitlines() if done.returncode == 0 else ()):
        job_id, index, state, name = line.split(maxsplit=3)
        known = JobState.RUNNING if state in RUNNING else JobState.WAITING if state in WAITING else None
        place = name, int(index) if index.isdecimal() else None
        if state == "COMPLETING":  # an ended job does not hide the one that was submitted after it
            jobs.setdefault(place, (JobState.RUNNING, job_id))
        elif known is not None:
            jobs[place] = (known, job_id)
    return Queue(done.returncode == 0, jobs)


class QueueWatch:
    """The queue as all the waiting labels of a driver see it: one squeue at a time, shared by whoever asks.

    Args:
        every_s: how old (s) a look may be that is handed out again.
    """

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._lock = threading.Lock()
        self._begun, self._queue = -inf, Queue(False, {})

    def since(self, moment_s: float) -> Queue:
        """A look that was begun after this moment (`time.monotonic`): what was submitted before it is in it.

        Of many that ask at the same time one looks, the next one looks for all the others.
        """
        with self._lock:
            begun = time.monotonic()
            if self._begun < moment_s or begun - self._begun >= self.every_s:
                self._queue, self._begun = look(), begun
            return self._queue

    def now(self) -> Queue:
        return self.since(time.monotonic())


def job_name(key: str, folder: Path) -> str:
    """The name of the job that computes this label into this folder."""
    return f"{key}-{_digest([folder])[:8]}"


def array_name(folders: Iterable[Path]) -> str:
    """The name of the array that computes the labels of these folders."""
    return f"array-{_digest(folders)[:24]}"


def _digest(folders: Iterable[Path]) -> str:
    return hashlib.sha256("\n".join(str(folder.resolve()) for folder in folders).encode()).hexdigest()


def candidates(key: str, folder: Path) -> list[Job]:
    """Where the job of a label may be: what its folder says, and the job of its own."""
    saved = saved_job(folder)
    return [*([saved] if saved is not None else []), Job(name=job_name(key, folder))]


def cancel(job_ids: list[str]) -> None:
    """Cancel jobs by id.

    Raises:
        SlurmError: scancel refused.
    """
    for start in range(0, len(job_ids), AT_ONCE):
        done = slurm(["scancel", *job_ids[start : start + AT_ONCE]])
        if done.returncode:
            raise SlurmError(" ".join(done.stderr.split()) or "scancel failed without a word")


def record(job_id: str) -> dict[str, str]:
    """What Slurm remembers of a job (it forgets after minutes)."""
    if not job_id:
        return {}
    done = slurm(["scontrol", "--oneliner", "show", "job", job_id])
    lines = done.stdout.strip().splitlines() if done.returncode == 0 else []
    return dict(word.split("=", 1) for word in lines[0].split() if "=" in word) if lines else {}


def slurm(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands; one that does not answer counts as failed.

    Raises:
        SlurmError: the command is not there.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine: is Slurm installed and in PATH?") from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer within 60 s")
