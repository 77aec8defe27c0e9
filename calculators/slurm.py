"""Labels as Slurm jobs that outlive the driver.

`SlurmQueue.label` looks first for the result file, then for the label's job in the queue (`calculators.slurm_jobs`),
and only then submits. So nothing is submitted twice, whenever the driver was killed. `submit_together` does the same
for many labels at once, as one job array. The job computes with `label_work`, whose label.json appears by atomic
rename; killed by the time limit and submitted again, it goes on from its last band.

Written against sbatch, squeue, scontrol and scancel directly, with their parsable output formats: what was tried
instead, and what each library lacks, stands in docs/slurm-vasp.md.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calculators import registry
from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import finished, label_key
from calculators.slurm_jobs import (
    ENDINGS,
    Job,
    JobState,
    QueueWatch,
    SlurmError,
    array_name,
    candidates,
    job_name,
    record,
    saved_job,
    slurm,
)
from calculators.slurm_script import SlurmOptions, array_script, label_script
from calculators.storage import read_label, write_json, write_text

__all__ = ["Detached", "JobState", "SlurmError", "SlurmOptions", "SlurmQueue"]

#: A shared file system may show a finished job's files late (s).
GRACE_S = 10.0
#: Elements of one array; Slurm's own default limit (MaxArraySize) is 1001.
ARRAY_SIZE = 1000

#: Stage of the event that says which job computes a label, and whether it waits or runs.
QUEUED = "queue"

UNREADABLE = "the queue cannot be read (squeue fails); nothing was submitted"


class Detached(Exception):
    """The driver leaves while the job runs on; asked for again, the label is found by its key."""


class SlurmQueue:
    """Submits, finds again, follows and cancels label jobs.

    Args:
        options: what every job asks for.
        poll_s: seconds between looks at the queue while waiting, which all the labels of this driver share.
    """

    def __init__(self, options: SlurmOptions | None = None, poll_s: float = 30.0) -> None:
        self.options, self.poll_s = options or SlurmOptions(), poll_s
        self._watch = QueueWatch(poll_s)

    # -- in

    def submit_or_attach(self, work: Work, folder: str | Path) -> str:
        """Make sure that a job for this work is in the queue; returns its id ("12", or "12_3" in an array).

        Raises:
            SlurmError: sbatch refused it, or the queue cannot be read (then nothing is submitted).
        """
        return self._submit_or_attach(work, Path(folder).resolve())[1].id

    def _submit_or_attach(self, work: Work, folder: Path) -> tuple[JobState, Job]:
        key = label_key(work)
        state, job = self._find(key, folder, time.monotonic())
        if state is JobState.UNKNOWN:
            raise SlurmError(UNREADABLE)
        if job is None:
            write_json(folder / "request.json", work)
            name = job_name(key, folder)
            write_text(folder / "job.sh", label_script(self.options.of(work.calculator), name, folder))
            Job(name=name).save(folder)
            state, job = JobState.WAITING, Job(name=name, id=_submit(folder / "job.sh"))
        job.save(folder)
        return state, job

    def submit_together(
        self, works: Sequence[tuple[Work, Path]], folder: str | Path, running: Mapping[str, int] | None = None
    ) -> dict[str, str]:
        """Submit the labels that are neither done nor in the queue as job arrays, one per calculator.

        What an array consists of is written down (job.json in every label's folder, and a folder of the array's name
        in `folder`) before it is submitted: killed in between, the next call finds all of it again or none.

        Args:
            running: how many may run at once, by calculator; the others as many as Slurm lets.

        Returns:
            id of each label's job by the label's key, submitted now or found in the queue.

        Raises:
            SlurmError: as `submit_or_attach`.
        """
        asked = [(work, Path(place).resolve()) for work, place in works]
        asked = [(work, place) for work, place in asked if finished(place, label_key(work)) is None]
        if not asked:
            return {}
        queue = self._watch.now()
        if not queue.readable:
            raise SlurmError(UNREADABLE)
        found = [(*pair, queue.find(candidates(label_key(pair[0]), pair[1]))[1]) for pair in asked]
        ids = {label_key(work): job.id for work, _, job in found if job is not None}
        missing = [(work, place) for work, place, job in found if job is None]
        for calculator in dict.fromkeys(work.calculator for work, _ in missing):
            mine = [pair for pair in missing if pair[0].calculator == calculator]
            for start in range(0, len(mine), ARRAY_SIZE):
                part, limit = mine[start : start + ARRAY_SIZE], (running or {}).get(calculator, 0)
                ids |= self._submit_array(part, Path(folder).resolve(), limit)
        return ids

    def _submit_array(self, works: Sequence[tuple[Work, Path]], folder: Path, running: int) -> dict[str, str]:
        keys = [label_key(work) for work, _ in works]
        name = array_name(place for _, place in works)
        options = self.options.of(works[0][0].calculator)
        for index, (work, place) in enumerate(works):
            write_json(place / "request.json", work)
            Job(name=name, index=index).save(place)
        write_text(folder / name / "folders.txt", "".join(f"{place}\n" for _, place in works))
        write_text(folder / name / "keys.txt", "".join(f"{key}\n" for key in keys))
        write_text(folder / name / "job.sh", array_script(options, name, folder / name, len(works), running))
        array = _submit(folder / name / "job.sh")
        ids = [f"{array}_{index}" for index in range(len(works))]
        for index, (_, place) in enumerate(works):
            Job(name=name, index=index, id=ids[index]).save(place)
        return dict(zip(keys, ids, strict=True))

    # -- looking

    def look(self, key: str, folder: str | Path) -> tuple[JobState, str]:
        """State and id of the job that computes this label into this folder ("" if there is none)."""
        state, job = self._find(key, Path(folder), time.monotonic())
        return state, job.id if job is not None else ""

    def _find(self, key: str, folder: Path, since_s: float) -> tuple[JobState, Job | None]:
        return self._watch.since(since_s).find(candidates(key, folder))

    # -- out

    def collect(self, work: Work, folder: str | Path) -> Label | None:
        """The label if its job is over, with a failure of the right kind if it left none; None while it is not.

        A queue that cannot be read is no reason to give up: None.
        """
        return self._collect(work, Path(folder), time.monotonic())[0]

    def _collect(self, work: Work, folder: Path, since_s: float) -> tuple[Label | None, JobState]:
        key = label_key(work)
        label = read_label(folder, key)
        if label is not None and label.ok:
            return label, JobState.GONE
        state, _ = self._find(key, folder, since_s)
        if state is not JobState.GONE or label is not None:
            return (label if state is JobState.GONE else None), state
        job = saved_job(folder)
        ended = record(job.id if job is not None else "").get("JobState", "")
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and ended in ("COMPLETED", ""):
            time.sleep(0.5)
            if (late := read_label(folder, key)) is not None:
                return late, state
        return _without_result(work, key, folder, ended), state

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
        folder = Path(folder).resolve()
        done = finished(folder, label_key(work))
        if done is not None:
            return done
        state, job = self._submit_or_attach(work, folder)
        attached, last, label = time.monotonic(), None, None
        while label is None:
            if on_event is not None and state is not last:
                on_event({"stage": QUEUED, "state": state.value, "job": job.id})
            last = state
            if leave.wait(self.poll_s):
                raise Detached(job.id)
            label, state = self._collect(work, folder, attached)
        return label

    def cancel(self, work: Work, folder: str | Path) -> None:
        """Cancel the job of this work, if there is one."""
        _, job_id = self.look(label_key(work), folder)
        if job_id:
            slurm(["scancel", job_id])


def _submit(script: Path) -> str:
    done = slurm(["sbatch", "--parsable", str(script)])
    if done.returncode:
        raise SlurmError(" ".join(done.stderr.split()) or "sbatch failed without a word")
    return done.stdout.strip().split(";")[0]


def _without_result(work: Work, key: str, folder: Path, ended: str) -> Label:
    kind, reason = ENDINGS.get(ended, (FailureKind.TRANSIENT, f"the job ended ({ended or 'no record left'})"))
    try:
        lines = (folder / "job.out").read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    words = f": {lines[-1][-200:]}" if lines and ended not in ENDINGS else ""
    return Label(
        key=key,
        fidelity=registry.find(work.calculator).fidelity,
        failure=Failure(kind=kind, reason=reason + words, stage="job"),
        folder=str(folder),
    )


def run_job(folder: Path) -> None:
    """What the job itself does: compute the label that `request.json` asks for."""
    from calculators.pipeline import label_work

    work = Work.model_validate_json((folder / "request.json").read_text())
    label_work(work, folder, lambda event: print(event, flush=True))


if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
