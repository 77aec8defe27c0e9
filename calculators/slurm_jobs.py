"""Finding a label's job in Slurm's queue again, with nothing in memory.

A job of its own is named by the label's key. An element of an array is found by the array's name and its index, which
stand in job.json in the label's folder from before the array was submitted. A squeue that fails means *unknown*,
never *no job*.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
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
    """The queue at one moment: state and id of every job that was asked for. Not `readable`: all unknown."""

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


def look(names: Iterable[str]) -> Queue:
    """Ask Slurm about all jobs of these names at once."""
    asked = ",".join(dict.fromkeys(names))
    done = slurm(["squeue", "--noheader", "--array", "--name", asked, "--format", "%j %K %i %T"])
    jobs = {}
    for line in filter(str.strip, done.stdout.splitlines() if done.returncode == 0 else ()):
        name, index, job_id, state = line.split()
        known = JobState.RUNNING if state in RUNNING else JobState.WAITING if state in WAITING else None
        if known is not None:
            jobs[name, int(index) if index.isdecimal() else None] = (known, job_id)
    return Queue(done.returncode == 0, jobs)


def candidates(key: str, folder: Path | None) -> list[Job]:
    """Where the job of a label may be: what its folder says, and the job of its own."""
    saved = saved_job(folder) if folder is not None else None
    return [*([saved] if saved is not None else []), Job(name=key)]


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
