"""Where a label is computed: in a worker process here, in a scheduler's job that outlives us, or on Dask workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calculators.dask_cluster import NEEDS, DaskCluster
from calculators.jobs import QUEUED, SCHEDULERS, Detached, JobQueue, SchedulerError
from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import label_key
from calculators.registry import find
from calculators.supervisor import WorkerPool
from flows.config import Config
from flows.errors import as_user_error
from flows.labelling import Batching, Engine, Progress, Shown
from flows.places import Interrupted

if TYPE_CHECKING:
    from flows.dask_labels import DaskLabels

#: Seconds between looks at the queue: one for all the jobs of a driver.
POLL_S = 10.0


@contextmanager
def open_engine(config: Config, pool: WorkerPool, interrupted: threading.Event) -> Iterator[Engine]:
    """The engine of a campaign. The calculators of `label.calculators` go where `label.scheduler` says.

    The cheap ones always run here: they are done before a scheduler would have started them.

    Raises:
        UserError: what the scheduler needs is not installed.
    """
    remote = frozenset(config.label.calculators)
    if config.label.scheduler in SCHEDULERS:
        queue = JobQueue(config.label.scheduler, config.jobs, POLL_S)
        yield Dispatch(pool, InJobs(queue, interrupted, config.places), remote)
    elif config.label.scheduler == "dask":
        labels = sum(config.places[name] for name in config.label.calculators)
        with as_user_error((ImportError,)):
            cluster = DaskCluster(config.dask, config.jobs, labels, config.label.threads, config.folder / "dask")
            tasks = _dask_labels(cluster)
        with cluster:
            yield Dispatch(pool, OnDask(cluster, tasks, interrupted), remote)
    else:
        yield pool


def _dask_labels(cluster: DaskCluster) -> DaskLabels:
    try:
        from flows.dask_labels import DaskLabels
    except ImportError as error:
        raise ImportError(NEEDS) from error
    return DaskLabels(cluster)


@dataclass(frozen=True)
class Dispatch:
    """What is named in `remote` goes there, the rest is computed here."""

    here: Engine
    there: Engine
    remote: frozenset[str]

    def label(self, work: Work, folder: Path, timeout_s: float, on_event: Progress | None = None) -> Label:
        engine = self.there if work.calculator in self.remote else self.here
        return engine.label(work, folder, timeout_s, on_event)

    def submit_together(self, works: Sequence[tuple[Work, Path]], folder: Path) -> dict[str, str]:
        if not isinstance(self.there, Batching):
            return {}
        return self.there.submit_together([pair for pair in works if pair[0].calculator in self.remote], folder)

    def shown(self) -> AbstractContextManager[None]:
        return self.there.shown() if isinstance(self.there, Shown) else nullcontext()


@dataclass(frozen=True)
class InJobs:
    """Jobs of Slurm, PBS or SGE, alone or as elements of an array, with their own time limit instead of ours."""

    queue: JobQueue
    interrupted: threading.Event
    running: Mapping[str, int]  # jobs at a time, by calculator

    def submit_together(self, works: Sequence[tuple[Work, Path]], folder: Path) -> dict[str, str]:
        """As job arrays, which `label` then attaches to by key."""
        try:
            return self.queue.submit_together(works, folder, self.running) if self.queue.arrays else {}
        except SchedulerError:
            return {}

    def label(self, work: Work, folder: Path, timeout_s: float, on_event: Progress | None = None) -> Label:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return self.queue.label(work, folder, on_event, self.interrupted)
        except Detached as left:
            raise Interrupted from left
        except SchedulerError as error:
            failure = Failure(kind=FailureKind.TRANSIENT, reason=str(error), stage=QUEUED)
            fidelity = find(work.calculator).fidelity
            return Label(key=label_key(work), fidelity=fidelity, failure=failure, folder=str(folder))


@dataclass(frozen=True)
class OnDask:
    """Labels one after another on Dask workers, which end with this driver: tasks of Prefect's task runner.

    What Prefect does not take or bring back is asked of the same workers without it, and found in its folder if it
    was computed.
    """

    cluster: DaskCluster
    tasks: DaskLabels
    interrupted: threading.Event

    def shown(self) -> AbstractContextManager[None]:
        return self.tasks.shown()

    def label(self, work: Work, folder: Path, timeout_s: float, on_event: Progress | None = None) -> Label:
        try:
            future = self.tasks.submit(_title(work), self.cluster.request(work, folder, timeout_s))
            if future is not None:
                self.cluster.wait(future, label_key(work), self.interrupted)
                if (text := self.tasks.read(future)) is not None:
                    return Label.model_validate_json(text)
            return self.cluster.label(work, folder, timeout_s, self.interrupted)
        except Detached as left:
            raise Interrupted from left


def _title(work: Work) -> str:
    """What people see of a computation: "compute Na12Zr8...: chgnet"."""
    atoms = work.structure.to_atoms()
    return f"compute {work.name or atoms[atoms.numbers > 0].get_chemical_formula()}: {work.calculator}"
