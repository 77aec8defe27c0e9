"""Many short labels on a Dask cluster: workers here, or in jobs of a scheduler that compute one label after another.

A job per label (`calculators.jobs`) outlives its driver, which is what a label of hours needs; a label of
seconds would wait longer for its job than for its value. Dask workers are started once and lost with the driver. What
a killed worker was computing Dask gives to another one; what it had completed is not computed again, because a label
is found by its content address in its folder (`label_work`).

Works and labels travel as text, not as objects; workers in jobs speak TLS with certificates of this run. Slurm,
PBS, SGE and LSF through dask-jobqueue, which writes and submits their jobs. Needs the extra `dask`: distributed and
dask-jobqueue.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from calculators import registry
from calculators.jobs import Detached, JobOptions
from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import finished, label_key
from calculators.supervisor import WorkerPool

#: Seconds between looks at whether the driver wants to leave.
LOOK_S = 0.5

NEEDS = "label.scheduler = \"dask\" needs more packages: pip install 'ionloop[dask]'"

#: The arguments of `compute`: work, folder, time limit (s), threads of a label, labels side by side.
Request = tuple[str, str, float, int, int]


class DaskOptions(BaseModel):
    """The Dask cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: Literal["local", "slurm", "pbs", "sge", "lsf"] = Field(
        "local", description="Workers here, or in jobs of this scheduler that ask for what section jobs says."
    )
    labels_per_worker: int = Field(1, ge=1, le=256, description="Labels side by side in one worker (one job).")


class DaskCluster:
    """Computes labels on Dask workers; `label` may be called from any number of threads.

    Args:
        options: which kind of cluster.
        jobs: what a worker's job asks for, whichever the scheduler.
        labels: labels side by side.
        threads: CPU threads of each label.
        folder: for the workers' logs and scratch.

    Use it as a context manager: the cluster starts on entering and ends, jobs included, on leaving.

    Raises:
        ImportError: the extra `dask` is not installed.
    """

    def __init__(self, options: DaskOptions, jobs: JobOptions, labels: int, threads: int, folder: Path) -> None:
        if find_spec("distributed") is None or (options.cluster != "local" and find_spec("dask_jobqueue") is None):
            raise ImportError(NEEDS)
        self.options, self.jobs, self.threads, self.folder = options, jobs, threads, folder
        self.workers = -(-labels // options.labels_per_worker)
        self._stack = ExitStack()
        self.client: Any = None

    def __enter__(self) -> Self:
        from distributed import Client

        self.folder.mkdir(parents=True, exist_ok=True)
        cluster = self._stack.enter_context(self._local() if self.options.cluster == "local" else self._in_jobs())
        self.client = self._stack.enter_context(Client(cluster, set_as_default=False))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _local(self) -> Any:
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=self.workers,
            threads_per_worker=self.options.labels_per_worker,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(self.folder),
            memory_limit=0,
        )

    def _in_jobs(self) -> Any:
        cluster = self.job_cluster()
        cluster.scale(jobs=self.workers)
        return cluster

    def job_cluster(self) -> Any:
        """The cluster without workers; its `job_script()` is what a worker's job will be."""
        import dask_jobqueue
        from distributed.security import Security

        name, labels = self.options.cluster, self.options.labels_per_worker
        return getattr(dask_jobqueue, f"{name.upper()}Cluster")(
            cores=labels,
            processes=1,
            memory=f"{self.jobs.memory_GB * labels}GB",
            queue=self.jobs.partition or None,
            job_script_prologue=self.jobs.setup,
            python=sys.executable,
            local_directory=str(self.folder),
            log_directory=str(self.folder),
            shared_temp_directory=str(self.folder),
            protocol="tls://",
            security=Security.temporary(),
            scheduler_options={"dashboard_address": None},
            **asked(name, self.jobs, labels),
        )

    def label(self, work: Work, folder: str | Path, timeout_s: float, leave: threading.Event | None = None) -> Label:
        """Compute a label on some worker, waiting for a free one. Failures are those of `WorkerPool.label`.

        Raises:
            Detached: `leave` was set; the label is given up.
            ValueError: unknown calculator or settings.
        """
        key, folder = label_key(work), Path(folder).resolve()
        if (known := finished(folder, key)) is not None:
            return known
        start, request = time.monotonic(), self.request(work, folder, timeout_s)
        future = self.client.submit(compute, *request, key=f"label-{key}-{time.monotonic_ns()}", pure=False)
        self.wait(future, key, leave)
        if (error := future.exception() if future.status == "error" else None) is not None:
            if isinstance(error, ValueError):
                raise error
            return self._failed(work, key, folder, f"{type(error).__name__}: {error}", start)
        if future.status != "finished":
            return self._failed(work, key, folder, f"the Dask cluster gave the label up ({future.status})", start)
        return Label.model_validate_json(future.result())

    def request(self, work: Work, folder: str | Path, timeout_s: float) -> Request:
        """What a worker is sent: `compute(*request)`."""
        side_by_side = self.options.labels_per_worker
        return work.model_dump_json(), str(Path(folder).resolve()), timeout_s, self.threads, side_by_side

    @staticmethod
    def wait(future: Any, key: str, leave: threading.Event | None = None) -> None:
        """Wait for a Dask future to be done, however that ends.

        Raises:
            Detached: `leave` was set; the future is cancelled.
        """
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(LOOK_S):
            if leave is not None and leave.is_set():
                future.cancel()
                raise Detached(key)

    def _failed(self, work: Work, key: str, folder: Path, reason: str, start: float) -> Label:
        return Label(
            key=key,
            fidelity=registry.find(work.calculator).fidelity,
            failure=Failure(kind=FailureKind.TRANSIENT, reason=" ".join(reason.split())[:300], stage="dask"),
            seconds={"total": round(time.monotonic() - start, 3)},
            folder=str(folder),
        )


def asked(scheduler: str, job: JobOptions, labels: int) -> dict[str, Any]:
    """What a job of `labels` side by side asks for, in the words of dask-jobqueue's class for the scheduler."""
    cores, account = job.cores * labels, job.account or None
    walltime, extra = f"{job.time_minutes // 60:02d}:{job.time_minutes % 60:02d}", list(job.extra)
    if scheduler == "lsf":
        return {"project": account, "ncpus": cores, "walltime": walltime, "job_extra_directives": extra}
    walltime += ":00"
    if scheduler == "slurm":
        return {"account": account, "job_cpu": cores, "walltime": walltime, "job_extra_directives": extra}
    if scheduler == "pbs":
        spec = f"select=1:ncpus={cores}:mem={math.ceil(job.memory_GB * labels)}GB"
        return {"account": account, "resource_spec": spec, "walltime": walltime, "job_extra_directives": extra}
    # SGE counts memory by slot; slots on one node come from a parallel environment, mostly called smp.
    if cores > 1 and not any(line.startswith("-pe ") for line in extra):
        extra.append(f"-pe smp {cores}")
    spec = f"h_vmem={math.ceil(1024 * job.memory_GB / job.cores)}M"
    return {"project": account, "resource_spec": spec, "walltime": walltime, "job_extra_directives": extra}


def compute(work: str, folder: str, timeout_s: float, threads: int, side_by_side: int) -> str:
    """What runs on a Dask worker: one label in a supervised process, from JSON to JSON."""
    label = _pool(side_by_side, threads).label(Work.model_validate_json(work), folder, timeout_s)
    return label.model_dump_json()


@functools.lru_cache(maxsize=1)
def _pool(size: int, threads: int) -> WorkerPool:
    """This Dask worker's own processes; they end by themselves when it is killed."""
    return WorkerPool(size, threads)
