"""Labels in supervised worker processes: with a time limit, a memory limit, and nothing that can take the
driver down.

A pool of persistent workers pays for slow imports (torch, pymatgen) once per process and not once per label.
"""

from __future__ import annotations

import json
import os
import queue
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from calculators import registry
from calculators.label import Failure, FailureKind, Label, Work
from calculators.path_work import PathEnd, path_key
from calculators.pipeline import finished, label_key
from calculators.worker import OUT_OF_MEMORY

Event = Callable[[dict[str, Any]], None]

#: How much of a dead worker's last words is quoted in the reason (characters).
QUOTED = 300


class Worker:
    """One worker process and its pipes. Not to be used by two threads at a time."""

    def __init__(self, threads: int, memory_gb: float) -> None:
        self.last_words = tempfile.TemporaryFile(mode="w+b")  # noqa: SIM115 - lives as long as the worker
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [
            sys.executable,
            "-m",
            "calculators.worker",
            "--parent",
            str(os.getpid()),
            "--threads",
            str(threads),
        ]
        if memory_gb < float("inf"):
            command += ["--memory-gb", str(memory_gb)]
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.last_words,
            env=os.environ | limits | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C reaches the driver, which then ends the workers in order
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.buffer = b""

    def send(self, request: dict[str, Any]) -> None:
        """Hand a request over. Raises BrokenPipeError if the worker is gone."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self, deadline: float) -> dict[str, Any] | None:
        """The next message, or None if the worker's output has ended.

        Raises:
            TimeoutError: nothing came before `deadline` (of time.monotonic).
        """
        assert self.process.stdout is not None
        while b"\n" not in self.buffer:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            if self.selector.select(min(remaining, 3600.0)):
                chunk = self.process.stdout.read(1 << 16)
                if chunk == b"":
                    return None
                self.buffer += chunk or b""
        line, self.buffer = self.buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def kill(self) -> None:
        """End the process and wait for it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.selector.close()

    def why_it_died(self) -> str:
        """One line from its exit status and the end of its error output."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it closed its output and lives on: as good as dead
            self.process.kill()
            status = self.process.wait()
        self.last_words.seek(0)
        lines = self.last_words.read().decode(errors="replace").strip().splitlines()
        words = lines[-1][-QUOTED:] if lines else ""
        if status == OUT_OF_MEMORY:
            return f"the worker ran out of memory: {words}; use fewer workers or a higher limit"
        if status < 0:
            hint = " (often the system's out-of-memory killer)" if status == -9 else ""
            return f"the worker was killed by signal {-status}{hint}{': ' + words if words else ''}"
        return f"the worker ended with status {status}{': ' + words if words else ''}"


class WorkerPool:
    """`n` supervised worker processes; `label` may be called from any number of threads.

    Args:
        n: workers, started when first needed.
        threads: threads that each worker's calculator may use.
        memory_gb: a worker that uses more ends, and its label is a `transient` failure.

    Use it as a context manager, or call `close`.
    """

    def __init__(self, n: int = 1, threads: int = 1, memory_gb: float = float("inf")) -> None:
        if n < 1 or threads < 1:
            raise ValueError(f"workers and threads must be at least 1, got {n} and {threads}")
        self.threads, self.memory_gb = threads, memory_gb
        self._places: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(n):
            self._places.put(None)
        self._busy: set[Worker] = set()
        self._closed = False

    def label(
        self,
        work: Work,
        folder: str | Path,
        timeout_s: float = float("inf"),
        on_event: Event | None = None,
        to: PathEnd | None = None,
    ) -> Label:
        """Compute a label in a worker, waiting for a free one if need be.

        A final label of the same key in the folder is returned at once. A hang ends in `walltime`, a crash
        or lack of memory in `transient`; either way the worker is replaced and what the folder holds is kept
        for the next try. The limit counts from the start of the computation, not from the call.

        `to`: a path to this state is asked for, instead of what hops in the structure.

        Raises:
            ValueError: unknown calculator or settings.
        """
        key = label_key(work) if to is None else path_key(work, to)
        done = finished(Path(folder), key)
        if done is not None:
            return done
        if self._closed:
            raise RuntimeError("this pool of workers is closed")
        worker = self._places.get()
        start = time.monotonic()
        try:
            worker = worker or Worker(self.threads, self.memory_gb)
            self._busy.add(worker)
            message = self._ask(worker, _request(work, folder, to), start + timeout_s, on_event)
        except TimeoutError:
            reason = f"no label after {timeout_s:g} s; it goes on from the last band if tried again"
            return self._failed(work, key, folder, FailureKind.WALLTIME, reason, start)
        except (BrokenPipeError, json.JSONDecodeError, OSError) as error:
            reason = worker.why_it_died() if worker and worker.process.poll() is not None else str(error)
            return self._failed(work, key, folder, FailureKind.TRANSIENT, reason, start)
        else:
            if message is None:
                # Either it died, or this pool was closed under it.
                reason = "the pool was closed" if self._closed else worker.why_it_died()
                return self._failed(work, key, folder, FailureKind.TRANSIENT, reason, start)
            if "error" in message:
                raise ValueError(message["error"])
            kept, worker = worker, None  # alive and idle: keep it
            self._busy.discard(kept)
            self._places.put(kept)
            return Label.model_validate(message["label"])
        finally:
            if worker is not None:
                self._busy.discard(worker)
                worker.kill()
                self._places.put(None)

    def _ask(
        self, worker: Worker, request: dict[str, Any], deadline: float, on_event: Event | None
    ) -> dict[str, Any] | None:
        worker.send(request)
        while (message := worker.receive(deadline)) is not None and "event" in message:
            if on_event is not None:
                on_event(message["event"])
        return message

    def _failed(
        self, work: Work, key: str, folder: str | Path, kind: FailureKind, reason: str, start: float
    ) -> Label:
        """A label without a value. Not written to the folder: only who computed writes there."""
        return Label(
            key=key,
            fidelity=registry.find(work.calculator).fidelity,
            failure=Failure(kind=kind, reason=reason, stage="worker"),
            seconds={"total": round(time.monotonic() - start, 3)},
            folder=str(folder),
        )

    def close(self) -> None:
        """End all workers, busy ones too (their calls return `transient`)."""
        self._closed = True
        for worker in list(self._busy):
            worker.process.kill()
        idle = []
        while True:
            try:
                idle.append(self._places.get_nowait())
            except queue.Empty:
                break
        for place in idle:
            if place is not None:
                place.kill()
            self._places.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _request(work: Work, folder: str | Path, to: PathEnd | None) -> dict[str, Any]:
    end = {} if to is None else {"to": to.model_dump(mode="json")}
    return {"work": work.model_dump(mode="json"), "folder": str(folder)} | end
