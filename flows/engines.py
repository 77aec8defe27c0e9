"""Where a label is computed: in a worker process here, or in a Slurm job that outlives this driver."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import label_key
from calculators.registry import find
from calculators.slurm import Detached, SlurmError, SlurmQueue
from calculators.supervisor import WorkerPool
from flows.config import Config
from flows.labelling import Interrupted, Progress

#: Seconds between looks at the queue.
POLL_S = 10.0


@dataclass(frozen=True)
class Engines:
    """Dispatches by calculator: what is named in `remote` goes to the queue, the rest to the pool."""

    pool: WorkerPool
    queue: SlurmQueue
    remote: frozenset[str]
    interrupted: threading.Event

    @classmethod
    def of(cls, config: Config, pool: WorkerPool, interrupted: threading.Event) -> Self:
        """Cheap labels always run here: they are done before a scheduler would have started them."""
        remote = frozenset(config.label.calculators if config.label.scheduler == "slurm" else ())
        return cls(pool, SlurmQueue(config.slurm, POLL_S), remote, interrupted)

    def label(self, work: Work, folder: Path, timeout_s: float, on_event: Progress | None = None) -> Label:
        """See `calculators.supervisor.WorkerPool.label`; a Slurm job has its own time limit instead."""
        if work.calculator not in self.remote:
            return self.pool.label(work, folder, timeout_s, on_event)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return self.queue.label(work, folder, on_event, self.interrupted)
        except Detached as left:
            raise Interrupted from left
        except SlurmError as error:
            failure = Failure(kind=FailureKind.TRANSIENT, reason=str(error), stage="queue")
            fidelity = find(work.calculator).fidelity
            return Label(key=label_key(work), fidelity=fidelity, failure=failure, folder=str(folder))
