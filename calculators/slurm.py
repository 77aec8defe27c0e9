"""Labels as Slurm jobs that outlive the driver.

A job is named by its label's key, and that name is all that has to be known to find it again: `SlurmQueue.label`
looks first for the result file, then for a job of that name, and only then submits. So nothing is submitted twice,
whenever the driver was killed. The job computes with `label_work`, whose label.json appears by atomic rename.

Written against sbatch, squeue, scontrol and scancel directly, with their parsable output formats: PSI/J pins packages
this project needs newer, submitit pickles. A squeue that fails means *unknown*, never *no job*.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from calculators import registry
from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import finished, label_key
from calculators.storage import read_label, write_json, write_text

#: A shared file system may show a finished job's files late (s).
GRACE_S = 10.0


class SlurmOptions(BaseModel):
    """What a job asks for. `extra` are further sbatch options, `setup` shell lines before the computation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_minutes: int = Field(24 * 60, ge=1, description="Wall-time limit of a job, minutes.")
    memory_GB: float = Field(8.0, gt=0, description="Memory of a job, GB.")
    cores: int = Field(1, ge=1, description="CPU cores of a job.")
    partition: str = Field("", description="Partition; the cluster's default if empty.")
    account: str = Field("", description="Account to charge; the user's default if empty.")
    extra: list[str] = Field(default_factory=list, description="Further sbatch options, e.g. ['--nodes=2'].")
    setup: list[str] = Field(default_factory=list, description="Shell lines before the computation (modules, ...).")


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    GONE = "gone"  # Slurm answers, and has no job of this name in its queue
    UNKNOWN = "unknown"  # Slurm does not answer: draw no conclusion


class Detached(Exception):
    """The driver leaves while the job runs on; asked for again, the label is found by its key."""


class SlurmError(RuntimeError):
    """sbatch refused a job; the message is its own."""


#: How Slurm says that a job ended without a result, and what that means for the label.
ENDINGS = {
    "TIMEOUT": (
        FailureKind.WALLTIME,
        "the job ran out of its time limit; resubmitted it goes on",
    ),
    "DEADLINE": (FailureKind.WALLTIME, "the job ran into its deadline"),
    "CANCELLED": (FailureKind.TRANSIENT, "the job was cancelled from outside"),
    "NODE_FAIL": (FailureKind.TRANSIENT, "the node failed"),
    "BOOT_FAIL": (FailureKind.TRANSIENT, "the node failed to start"),
    "PREEMPTED": (FailureKind.TRANSIENT, "the job was preempted"),
    "OUT_OF_MEMORY": (FailureKind.TRANSIENT, "the job ran out of memory: raise memory_GB"),
}


class SlurmQueue:
    """Submits, finds again, follows and cancels label jobs.

    Args:
        options: what every job asks for.
        poll_s: seconds between looks at the queue while waiting.
    """

    def __init__(self, options: SlurmOptions | None = None, poll_s: float = 30.0) -> None:
        self.options, self.poll_s = options or SlurmOptions(), poll_s

    def submit_or_attach(self, work: Work, folder: str | Path) -> str:
        """Make sure that a job for this work is in the queue; returns its id.

        Raises:
            SlurmError: sbatch refused it, or the queue cannot be read (then nothing is submitted).
        """
        key, folder = label_key(work), Path(folder).resolve()
        state, job_id = self.look(key)
        if state is JobState.UNKNOWN:
            raise SlurmError("the queue cannot be read (squeue fails); nothing was submitted")
        if job_id:
            return job_id
        write_json(folder / "request.json", work)
        write_text(folder / "job.sh", self.script(key, folder))
        done = _slurm(["sbatch", "--parsable", str(folder / "job.sh")])
        if done.returncode:
            raise SlurmError(" ".join(done.stderr.split()) or "sbatch failed without a word")
        job_id = done.stdout.strip().split(";")[0]
        write_text(folder / "job.id", job_id + "\n")
        return job_id

    def script(self, key: str, folder: Path) -> str:
        """The batch script of one label."""
        options = self.options
        asked = [
            f"--job-name={key}",
            f"--time={options.time_minutes}",
            f"--mem={round(1024 * options.memory_GB)}M",
            f"--cpus-per-task={options.cores}",
            f"--output={folder / 'job.out'}",
            "--open-mode=append",
            *([f"--partition={options.partition}"] if options.partition else []),
            *([f"--account={options.account}"] if options.account else []),
            *options.extra,
        ]
        path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
        return "\n".join(
            [
                "#!/bin/sh",
                *(f"#SBATCH {option}" for option in asked),
                f"export OMP_NUM_THREADS={options.cores} PYTHONPATH={shlex.quote(path.rstrip(os.pathsep))}",
                *options.setup,
                f"exec {shlex.quote(sys.executable)} -m calculators.slurm {shlex.quote(str(folder))}",
                "",
            ]
        )

    def look(self, key: str) -> tuple[JobState, str]:
        """State and id of the job of this name ("" if there is none)."""
        done = _slurm(["squeue", "--noheader", "--name", key, "--format", "%i %T"])
        if done.returncode:
            return JobState.UNKNOWN, ""
        for line in done.stdout.splitlines():
            job_id, state = line.split()[:2]
            if state in ("RUNNING", "COMPLETING"):
                return JobState.RUNNING, job_id
            if state in ("PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED", "RESIZING", "STOPPED"):
                return JobState.WAITING, job_id
        return JobState.GONE, ""

    def collect(self, work: Work, folder: str | Path) -> Label | None:
        """The label if its job is over, with a failure of the right kind if it left none; None while it is not.

        A queue that cannot be read is no reason to give up: None.
        """
        key, folder = label_key(work), Path(folder)
        label = read_label(folder, key)
        state, _ = self.look(key)
        if label is not None and (label.ok or state is JobState.GONE):
            return label
        if state is not JobState.GONE:
            return None
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and self._ended_well(folder):
            time.sleep(0.5)
            if (late := read_label(folder, key)) is not None:
                return late
        return self._without_result(work, key, folder)

    def _job_record(self, folder: Path) -> dict[str, str]:
        """What Slurm remembers of the folder's last job (it forgets after minutes)."""
        try:
            job_id = (folder / "job.id").read_text().strip()
        except FileNotFoundError:
            return {}
        done = _slurm(["scontrol", "--oneliner", "show", "job", job_id])
        return dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)

    def _ended_well(self, folder: Path) -> bool:
        return self._job_record(folder).get("JobState", "COMPLETED") == "COMPLETED"

    def _without_result(self, work: Work, key: str, folder: Path) -> Label:
        state = self._job_record(folder).get("JobState", "")
        kind, reason = ENDINGS.get(state, (FailureKind.TRANSIENT, f"the job ended ({state or 'no record left'})"))
        try:
            lines = (folder / "job.out").read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            lines = []
        words = f": {lines[-1][-200:]}" if lines and state not in ENDINGS else ""
        return Label(
            key=key,
            fidelity=registry.find(work.calculator).fidelity,
            failure=Failure(kind=kind, reason=reason + words, stage="job"),
            folder=str(folder),
        )

    def label(
        self,
        work: Work,
        folder: str | Path,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        leave: threading.Event | None = None,
    ) -> Label:
        """Submit or attach, and wait for the label. The driver may be killed and call this again at any time.

        `on_event` gets {"stage": "queue", "state": "waiting", "job": "123"} whenever that changes.

        Raises:
            Detached: `leave` was set; the job runs on.
        """
        leave = leave or threading.Event()
        done = finished(Path(folder), label_key(work))
        if done is not None:
            return done
        job_id, last = self.submit_or_attach(work, folder), None
        while (label := self.collect(work, folder)) is None:
            state, _ = self.look(label_key(work))
            if on_event is not None and state is not last:
                on_event({"stage": "queue", "state": state.value, "job": job_id})
            last = state
            if leave.wait(self.poll_s):
                raise Detached(job_id)
        return label

    def cancel(self, work: Work) -> None:
        """Cancel the job of this work, if there is one."""
        _slurm(["scancel", "--name", label_key(work)])


def _slurm(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine: is Slurm installed and in PATH?") from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer within 60 s")


def run_job(folder: Path) -> None:
    """What the job itself does: compute the label that `request.json` asks for."""
    from calculators.pipeline import label_work

    work = Work.model_validate_json((folder / "request.json").read_text())
    label_work(work, folder, lambda event: print(event, flush=True))


if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
