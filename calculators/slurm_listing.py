"""All of a user's jobs at once: what is in Slurm's queue, and how to empty it of what is no longer wanted."""

from __future__ import annotations

import subprocess

from calculators.slurm import JobState, SlurmError

#: How Slurm calls what is in its queue; anything else is over.
STATES = dict.fromkeys(("RUNNING", "COMPLETING"), JobState.RUNNING) | dict.fromkeys(
    ("PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED", "RESIZING", "STOPPED"), JobState.WAITING
)
#: Ids per call of scancel: a command line has its limits.
AT_ONCE = 100


def jobs() -> dict[str, tuple[str, str]]:
    """This user's jobs in the queue: id and state ("waiting", "running") by name.

    Raises:
        SlurmError: the queue cannot be read.
    """
    lines = _slurm("squeue", "--noheader", "--me", "--format", "%j %i %T").splitlines()
    listed = [line.split()[:3] for line in lines]
    return {name: (job_id, STATES[state].value) for name, job_id, state in listed if state in STATES}


def cancel(job_ids: list[str]) -> None:
    """Cancel jobs by id.

    Raises:
        SlurmError: scancel refused.
    """
    for start in range(0, len(job_ids), AT_ONCE):
        _slurm("scancel", *job_ids[start : start + AT_ONCE])


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine: is Slurm installed and in PATH?") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within 60 s") from None
    if done.returncode:
        raise SlurmError(" ".join(done.stderr.split()) or f"{command[0]} failed without a word")
    return done.stdout
