"""A disk that really is full: a small tmpfs, which only root may mount."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.ledger import Ledger
from flows.room import OutOfSpace, check_room, has_room
from tests.flows.lives import Content, Life, content, live, write_campaign

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a tmpfs")


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """A tmpfs of this size at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={int(megabytes * 1024)}k"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no tmpfs here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    with ballast.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    stream.write(b"\0" * size)
            except OSError:
                continue


def fill_in_the_first_label(folder: Path) -> None:
    """In the driver's process: fill the disk as soon as a label has begun to write."""

    def watch() -> None:
        while not any(folder.glob("labels/*/work.json")):
            time.sleep(0.01)
        fill(folder / "labels" / "ballast")

    threading.Thread(target=watch, daemon=True).start()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["everything", "labels"])
def test_a_full_disk_stops_the_campaign_and_loses_nothing(
    tmp_path: Path, uninterrupted: tuple[Life, Content], what: str
) -> None:
    ledger = write_campaign(tmp_path)
    campaign = tmp_path / "toy"
    with small_disk(campaign / "labels" if what == "labels" else campaign, 8):
        stopped = live(tmp_path, before=lambda: fill_in_the_first_label(campaign))
        assert stopped.code == 1
        assert stopped.error.startswith(
            ("OutOfSpace: no space left on the disk", "LedgerError: the ledger could not")
        )
        (campaign / "labels" / "ballast").unlink()
        opened = Ledger.open(ledger)
        assert opened.counts("toy").get("failed", 0) == 0, "a full disk is no label's failure"
        opened.close()
        resumed = live(tmp_path)
        assert resumed.code == 0, resumed.error
        assert content(ledger) == uninterrupted[1]


def test_a_label_that_fills_the_disk_gives_its_room_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "labels", 2) as disk:
        runaway = disk / "key"
        runaway.mkdir()
        fill(runaway / "WAVECAR")
        assert not has_room(disk)
        check_room(runaway)
        assert has_room(disk)


def test_a_disk_that_others_have_filled_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.room.PATIENCE_S", 0.5)
    with small_disk(tmp_path / "labels", 2) as disk:
        fill(disk / "of others")
        with pytest.raises(OutOfSpace, match="labels; nothing is lost"):
            check_room(disk / "key")


def test_a_failure_with_room_left_keeps_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "labels" / "key"
    folder.mkdir(parents=True)
    (folder / "band.extxyz").write_text("")
    check_room(folder)
    assert (folder / "band.extxyz").exists()


def test_a_disk_that_another_label_fills_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """Two labels side by side: the one that does not fill the disk fails first."""
    with small_disk(tmp_path / "labels", 4) as disk:
        (disk / "innocent").mkdir()
        (disk / "runaway").mkdir()
        fill(disk / "runaway" / "ballast")
        threading.Timer(1.0, check_room, [disk / "runaway"]).start()
        check_room(disk / "innocent")
        assert has_room(disk)
