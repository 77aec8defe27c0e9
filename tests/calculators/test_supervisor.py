import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cells import copper_with_vacancy

from calculators.label import FailureKind, Structure, Work
from calculators.supervisor import WorkerPool


def work(plugin: str, **settings) -> Work:
    structure = Structure.from_atoms(copper_with_vacancy())
    return Work(structure=structure, ion="Cu", calculator=f"plugins:{plugin}", settings=settings)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(1, memory_gb=1.0) as pool:
        yield pool


def test_a_worker_is_kept_between_labels(pool, tmp_path):
    pids = []
    for name in ("a", "b"):
        label = pool.label(work("Answering"), tmp_path / name, 60, lambda event: pids.append(event["pid"]))
        assert label.value_eV == 0.5
    assert pids[0] == pids[1] != os.getpid()


def test_a_finished_label_is_not_computed_again(pool, tmp_path):
    first = pool.label(work("Answering"), tmp_path, 60)
    events: list[dict] = []
    again = pool.label(work("Answering"), tmp_path, 60, events.append)
    assert (again, events) == (first, [])


def test_a_real_label_streams_its_progress(pool, tmp_path):
    events: list[dict] = []
    given = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms"}
    label = pool.label(work("Good", **given), tmp_path, 120, events.append)
    assert label.ok
    assert label.fidelity == "good-neb"
    assert {"relax", "hop", "neb"} <= {event["stage"] for event in events}


def test_a_hang_is_killed_and_is_walltime(pool, tmp_path):
    pids: list[int] = []
    start = time.monotonic()
    label = pool.label(work("Hanging"), tmp_path / "hang", 3.0, lambda event: pids.append(event["pid"]))
    assert label.failure.kind is FailureKind.WALLTIME
    assert "3 s" in label.failure.reason
    assert time.monotonic() - start < 10
    assert not alive(pids[0]) if pids else True
    assert pool.label(work("Answering"), tmp_path / "next", 60).ok  # the pool is whole again


def test_a_crash_is_transient_and_says_why(pool, tmp_path):
    label = pool.label(work("Crashing"), tmp_path / "crash", 60)
    assert label.failure.kind is FailureKind.TRANSIENT
    assert "signal 11" in label.failure.reason
    assert pool.label(work("Answering"), tmp_path / "next", 60).ok


def test_a_crashed_label_can_be_tried_again(pool, tmp_path):
    assert pool.label(work("CrashingOnce"), tmp_path, 60).failure.kind is FailureKind.TRANSIENT
    assert pool.label(work("CrashingOnce"), tmp_path, 60).ok


def test_eating_memory_is_transient(pool, tmp_path):
    label = pool.label(work("Hungry"), tmp_path, 120)
    assert label.failure.kind is FailureKind.TRANSIENT
    assert "memory" in label.failure.reason


def test_what_libraries_print_does_not_get_between_the_answers(pool, tmp_path):
    assert pool.label(work("Chatty"), tmp_path, 60).ok


def test_wrong_settings_raise_in_the_caller(pool, tmp_path):
    with pytest.raises(ValueError, match="unknown setting"):
        pool.label(work("Good", imagse=3), tmp_path, 60)


def test_labels_run_side_by_side(tmp_path):
    with WorkerPool(2) as pool:
        pids: list[int] = []
        threads = [
            threading.Thread(
                target=pool.label,
                args=(work("Answering"), tmp_path / str(n), 60, lambda e: pids.append(e["pid"])),
            )
            for n in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(pids)) == 2


def test_closing_the_pool_ends_busy_workers(tmp_path):
    pool = WorkerPool(1)
    pids: list[int] = []
    labels: list = []
    call = threading.Thread(
        target=lambda: labels.append(pool.label(work("Hanging"), tmp_path, 600, lambda e: pids.append(e["pid"])))
    )
    call.start()
    assert wait_for(lambda: pids)
    pool.close()
    call.join(20)
    assert labels[0].failure.kind is FailureKind.TRANSIENT
    assert not alive(pids[0])
    with pytest.raises(RuntimeError, match="closed"):
        pool.label(work("Answering"), tmp_path / "late")


def test_a_killed_driver_leaves_no_orphan(tmp_path):
    """The driver is killed with SIGKILL while its worker hangs; the worker notices and goes."""
    script = """
import sys
from calculators.label import Work
from calculators.supervisor import WorkerPool
work = Work.model_validate_json(sys.argv[1])
WorkerPool(1).label(work, sys.argv[2], 600, lambda event: print(event["pid"], flush=True))
"""
    root = str(Path(__file__).resolve().parents[2])
    driver = subprocess.Popen(
        [sys.executable, "-c", script, work("Hanging").model_dump_json(), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
    )
    assert driver.stdout is not None
    worker = int(driver.stdout.readline())
    assert alive(worker)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert wait_for(lambda: not alive(worker), 10)
