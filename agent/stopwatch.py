"""Durations that survive a clock that jumps."""

from __future__ import annotations

import threading
import time


class Stopwatches:
    """Seconds by the monotonic clock, which no correction of the system's time moves; one watch per thing timed."""

    def __init__(self) -> None:
        self._began: dict[int | str, float] = {}
        self._lock = threading.Lock()  # labels land from many threads

    def start(self, what: int | str) -> None:
        with self._lock:
            self._began[what] = time.monotonic()

    def lap(self, what: int | str) -> float | None:
        """Seconds since the start or the last lap, and the watch starts anew; None if it does not run."""
        with self._lock:
            if what not in self._began:
                return None
            before, self._began[what] = self._began[what], time.monotonic()
            return self._began[what] - before

    def stop(self, what: int | str) -> float | None:
        """Seconds since the start or the last lap; None if it does not run."""
        with self._lock:
            began = self._began.pop(what, None)
        return None if began is None else time.monotonic() - began
