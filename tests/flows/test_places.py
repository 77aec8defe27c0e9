"""Places by calculator: never more than the limit, every one used, nobody waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.places import Interrupted, Places


def test_never_more_than_its_limit_and_others_do_not_wait() -> None:
    places = Places({"dear": 2, "cheap": 3}, threading.Event())
    lock, now, most = threading.Lock(), {"dear": 0, "cheap": 0}, {"dear": 0, "cheap": 0}

    def compute(number: int) -> None:
        name = "dear" if number % 2 else "cheap"
        with places.take(name):
            with lock:
                now[name] += 1
                most[name] = max(most[name], now[name])
            threading.Event().wait(0.02)
            with lock:
                now[name] -= 1

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(compute, range(60)))
    assert most == {"dear": 2, "cheap": 3}
    assert now == {"dear": 0, "cheap": 0}


def test_a_place_is_given_back_after_an_error() -> None:
    places = Places({"dear": 1}, threading.Event())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="gone wrong"), places.take("dear"):
            raise RuntimeError("gone wrong")


def test_who_waits_is_told_of_the_end() -> None:
    interrupted = threading.Event()
    places = Places({"dear": 1}, interrupted)
    with places.take("dear"), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: places.take("dear").__enter__())
        interrupted.set()
        assert isinstance(waiting.exception(timeout=5), Interrupted)
