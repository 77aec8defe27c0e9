"""Members side by side: one thread of arithmetic each, so that results do not depend on the number of cores.

Torch splits sums by the number of threads, and a sum's last digits follow; the members of an ensemble are
independent work, so cores are given to members and not to sums. Torch releases Python's lock while it computes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Says that one epoch with this training loss is done.
Tell = Callable[[float], None]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


#: Parameters of glibc's mallopt(3), and what they are set to (bytes).
KEPT = {"M_TRIM_THRESHOLD": (-1, 512 << 20), "M_TOP_PAD": (-2, 48 << 20), "M_MMAP_THRESHOLD": (-3, 32 << 20)}


@cache
def keep_memory() -> None:
    """Let the C library keep memory that is freed, up to 512 MiB, for this process.

    Every layer of a network asks for the same few megabytes and frees them again. By default glibc gives them back
    to the system in between and they come as new pages: a fourth to a third of a prediction's time. On other C
    libraries nothing is set.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for parameter, value in KEPT.values():
        mallopt(parameter, value)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes with one thread per calling thread inside, and keeps its memory."""
    keep_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(
    function: Callable[[Item, Tell], Result], items: Sequence[Item], tell: Tell | None = None
) -> list[Result]:
    """function(item, tell) for every item, on as many threads as there are cores; results in order.

    What the function tells is passed on in the calling thread. The first exception is raised when all have ended.
    """
    told: SimpleQueue[float] = SimpleQueue()

    def run(item: Item) -> Result:
        torch.set_num_threads(1)
        return function(item, told.put)

    def drain(wait_s: float) -> None:
        while True:
            try:
                value = told.get(timeout=wait_s) if wait_s else told.get_nowait()
            except Empty:
                return
            if tell is not None:
                tell(value)
            wait_s = 0.0

    with one_thread(), ThreadPoolExecutor(max_workers=max(1, min(cores(), len(items)))) as pool:
        futures: list[Future[Result]] = [pool.submit(run, item) for item in items]
        while not all(future.done() for future in futures):
            drain(0.05)
        drain(0.0)
        return [future.result() for future in futures]
