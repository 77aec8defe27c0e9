from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from flows.lock import CampaignBusy, driver_lock, driver_of


def test_a_look_at_the_driver_does_not_keep_one_from_starting(tmp_path: Path) -> None:
    with (tmp_path / "driver.lock").open("a+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)  # as `driver_of` does, for longer
        leave = threading.Timer(0.2, fcntl.flock, (looking, fcntl.LOCK_UN))
        leave.start()
        with driver_lock(tmp_path):
            assert driver_of(tmp_path) is not None
        leave.join()
    assert driver_of(tmp_path) is None


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    with driver_lock(tmp_path), pytest.raises(CampaignBusy, match="another process"), driver_lock(tmp_path):
        pass
