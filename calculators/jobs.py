"""Labels as a scheduler's jobs that outlive the driver: Slurm, PBS, Grid Engine.

`JobQueue.label` looks first for the result file, then for the label's job in the queue (`calculators.job_queue`), and
only then submits. So nothing is submitted twice, whenever the driver was killed. `submit_together` does the same for
many labels at once, as one job array. The job computes with `label_work`, whose label.json appears by atomic rename;
out of time and submitted again, it goes on from its last band.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calculators import registry
from calculators.job_queue import Job, JobState, Queue, QueueWatch, array_name, candidates, job_name, saved_job
from calculators.job_run import OUT_OF_TIME, prepare
from calculators.job_script import JobOptions, array_script, label_script
from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import finished, label_key
from calculators.schedulers import SCHEDULERS, Scheduler, SchedulerError
from calculators.storage import read_label, write_text

__all__ = ["SCHEDULERS", "Detached", "JobOptions", "JobQueue", "JobState", "SchedulerError"]

#: A shared file system may show a finished job's files late (s).
GRACE_S = 10.0
#: Elements of one array; Slurm's own default limit (MaxArraySize) is 1001.
ARRAY_SIZE = 1000

#: Stage of the event that says which job computes a label, and whether it waits or runs.
QUEUED = "queue"

#: How a scheduler says that a job ended without a result, and what that means for the label.
ENDINGS = {
    "TIMEOUT": (FailureKind.WALLTIME, "the job ran out of its time limit; resubmitted it goes on"),
    "DEADLINE": (FailureKind.WALLTIME, "the job ran into its deadline"),
    "CANCELLED": (FailureKind.TRANSIENT, "the job was cancelled from outside"),
    "NODE_FAIL": (FailureKind.TRANSIENT, "the node failed"),
    "BOOT_FAIL": (FailureKind.TRANSIENT, "the node failed to start"),
    "PREEMPTED": (FailureKind.TRANSIENT, "the job was preempted"),
    "OUT_OF_MEMORY": (FailureKind.TRANSIENT, "the job ran out of memory: raise memory_GB"),
    JobState.STUCK: (FailureKind.TRANSIENT, "the scheduler could not start the job (error state); it was deleted"),
}


class Detached(Exception):
    """The driver leaves while the job runs on; asked for again, the label is found by its key."""


class JobQueue:
    """Submits, finds again, follows and cancels label jobs.

    Args:
        scheduler: "slurm", "pbs" or "sge".
        options: what every job asks for.
        poll_s: seconds between looks at the queue while waiting, which all the labels of this driver share.
    """

    def __init__(self, scheduler: str = "slurm", options: JobOptions | None = None, poll_s: float = 30.0) -> None:
        self.scheduler, self.options, self.poll_s = Scheduler(scheduler), options or JobOptions(), poll_s
        self._watch = QueueWatch(self.scheduler, poll_s)
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)

    @property
    def arrays(self) -> bool:
        """Whether many labels become one job array."""
        return self.options.arrays and self.scheduler.arrays

    # -- in

    def submit_or_attach(self, work: Work, folder: str | Path) -> str:
        """Make sure that a job for this work is in the queue; returns its id ("12", or "12_3" in an array).

        Raises:
            SchedulerError: it was refused, or the queue cannot be read (then nothing is submitted).
        """
        return self._submit_or_attach(work, Path(folder).resolve())[1].id

    def _submit_or_attach(self, work: Work, folder: Path) -> tuple[JobState, Job]:
        key = label_key(work)
        with self._locks[folder]:  # two that ask for one label at once get one job
            state, job = self._readable().find(candidates(key, folder))
            if state is JobState.STUCK and job is not None:
                self.scheduler.cancel([job.id])
                job = None
            if job is None:
                prepare(work, folder)
                name = job_name(key, folder)
                options = self.options.of(work.calculator)
                write_text(folder / "job.sh", label_script(self.scheduler, options, name, folder))
                Job(name=name).save(folder)
                state, job = JobState.WAITING, Job(name=name, id=self.scheduler.submit(folder / "job.sh"))
            job.save(folder)
        return state, job

    def _readable(self) -> Queue:
        queue = self._watch.now()
        if queue.trouble:
            raise SchedulerError(f"the queue cannot be read ({queue.trouble}); nothing was submitted")
        return queue

    def submit_together(
        self, works: Sequence[tuple[Work, Path]], folder: str | Path, running: Mapping[str, int] | None = None
    ) -> dict[str, str]:
        """Submit the labels that are neither done nor in the queue as job arrays, one per calculator.

        What an array consists of is written down (job.json in every label's folder, and a folder of the array's name
        in `folder`) before it is submitted: killed in between, the next call finds all of it again or none.

        Args:
            running: how many may run at once, by calculator; the others as many as the scheduler lets.

        Returns:
            id of each label's job by the label's key, submitted now or found in the queue.

        Raises:
            SchedulerError: as `submit_or_attach`.
        """
        by_folder = {Path(place).resolve(): work for work, place in works}  # asked for twice, computed once
        asked = [(work, place) for place, work in by_folder.items() if finished(place, label_key(work)) is None]
        if not asked:
            return {}
        queue = self._readable()
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
            prepare(work, place)
            Job(name=name, index=index).save(place)
        write_text(folder / name / "folders.txt", "".join(f"{place}\n" for _, place in works))
        write_text(folder / name / "keys.txt", "".join(f"{key}\n" for key in keys))
        script = array_script(self.scheduler, options, name, folder / name, len(works), running)
        write_text(folder / name / "job.sh", script)
        array = self.scheduler.submit(folder / name / "job.sh")
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
        state, found = self._find(key, folder, since_s)
        if state is JobState.STUCK and found is not None:
            self.scheduler.cancel([found.id])
            return _without_result(work, key, folder, JobState.STUCK), JobState.GONE
        if state is not JobState.GONE or label is not None:
            return (label if state is JobState.GONE else None), state
        if (folder / OUT_OF_TIME).exists():
            return _without_result(work, key, folder, "TIMEOUT"), state
        job = saved_job(folder)
        ended = self.scheduler.ending(job.id if job is not None else "")
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
            self.scheduler.cancel([job_id])


def _without_result(work: Work, key: str, folder: Path, ended: str) -> Label:
    unknown = FailureKind.TRANSIENT, f"the job ended without a result ({ended or 'the scheduler does not say how'})"
    kind, reason = ENDINGS.get(ended, unknown)
    words = "" if ended in ENDINGS else _last_words(folder / "job.out") or _last_words(folder / "scheduler.out")
    return Label(
        key=key,
        fidelity=registry.find(work.calculator).fidelity,
        failure=Failure(kind=kind, reason=f"{reason}: {words}" if words else reason, stage="job"),
        folder=str(folder),
    )


def _last_words(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][-200:] if lines else ""
