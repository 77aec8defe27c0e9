"""How many labels of each calculator are computed at a time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

#: Seconds between looks at whether the campaign is being stopped, while waiting for a place.
LOOK_S = 0.5

#: What people read of a run that was ended by a person.
STOPPED = "stopped by a person; what is unfinished stays pending in the ledger"


class Interrupted(KeyboardInterrupt):
    """The campaign is being stopped; what is unfinished stays pending in the ledger."""


class Places:
    """Places by calculator. Whoever computes holds one.

    Args:
        limits: places by calculator, at least 1 each.
        interrupted: set when the campaign is being stopped, which ends all waiting.
    """

    def __init__(self, limits: Mapping[str, int], interrupted: threading.Event) -> None:
        self.limits = dict(limits)
        self._interrupted = interrupted
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    @property
    def total(self) -> int:
        return sum(self.limits.values())

    @contextmanager
    def take(self, calculator: str) -> Iterator[None]:
        """A place for the length of the block; waits for one.

        Raises:
            Interrupted: the campaign is being stopped.
        """
        with self._changed:
            while self._taken[calculator] >= self.limits[calculator]:
                self._changed.wait(LOOK_S)
                if self._interrupted.is_set():
                    raise Interrupted
            if self._interrupted.is_set():
                raise Interrupted
            self._taken[calculator] += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken[calculator] -= 1
                self._changed.notify_all()
