"""Ctrl-C and SIGTERM: workers end at once, unfinished labels stay pending, jobs of a scheduler run on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """A person's wish to stop, from the signal to everybody who has to know.

    Args:
        close: ends what computes here.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self.event = threading.Event()
        self._close = close

    def ask(self) -> None:
        """Stop; may be called from any thread, and more than once."""
        self.event.set()
        self._close()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside, Ctrl-C and SIGTERM ask to stop and raise KeyboardInterrupt (in the main thread only).

        Prefect puts its own handler in place at the beginning of every flow run: enter this inside one.
        """

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.ask()
            raise KeyboardInterrupt

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
