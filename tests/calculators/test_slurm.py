"""Real jobs through a real one-node Slurm (Debian's slurmctld, slurmd, slurm-client, munge); skipped where there is
none.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cells import copper_with_vacancy

from calculators.label import FailureKind, Structure, Work
from calculators.pipeline import label_key
from calculators.slurm import JobState, SlurmError, SlurmOptions, SlurmQueue

HERE = Path(__file__).parent
needs_slurm = pytest.mark.skipif(
    not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))) or os.geteuid() != 0,
    reason="needs root and Debian's slurmctld, slurmd, slurm-client and munge",
)


def work(plugin: str = "Good", **settings) -> Work:
    structure = Structure.from_atoms(copper_with_vacancy())
    return Work(structure=structure, ion="Cu", calculator=f"plugins:{plugin}", settings=settings)


FAST = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    done = subprocess.run(
        ["bash", str(HERE / "slurm_one_node.sh"), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield folder
    for daemon in ("slurmctld", "slurmd"):
        os.kill(int((folder / f"{daemon}.pid").read_text()), signal.SIGTERM)
    del os.environ["SLURM_CONF"]


@pytest.fixture
def queue() -> SlurmQueue:
    return SlurmQueue(SlurmOptions(time_minutes=5, memory_GB=2), poll_s=1)


def wait_until(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.5)


@needs_slurm
def test_a_label_through_a_job(cluster, queue, tmp_path):
    events: list[dict] = []
    label = queue.label(work(**FAST), tmp_path, events.append)
    assert label.ok, label.failure
    assert label.fidelity == "good-neb"
    assert events[0]["stage"] == "queue"
    assert queue.label(work(**FAST), tmp_path) == label  # found, not computed again


@needs_slurm
def test_a_killed_driver_attaches_to_its_job(cluster, queue, tmp_path):
    script = (
        "import sys; from calculators.label import Work; from calculators.slurm import *;"
        "work = Work.model_validate_json(sys.argv[1]);"
        "SlurmQueue(SlurmOptions(time_minutes=5, memory_GB=2), 1).label(work, sys.argv[2])"
    )
    asked = work("Slow", **FAST)
    root = str(HERE.parents[1])
    environment = os.environ | {"PYTHONPATH": f"{root}:{HERE}"}
    driver = subprocess.Popen([sys.executable, "-c", script, asked.model_dump_json(), str(tmp_path)], env=environment)
    wait_until(lambda: (tmp_path / "job.id").exists())
    driver.kill()
    driver.wait()
    job = (tmp_path / "job.id").read_text().strip()
    assert queue.submit_or_attach(asked, tmp_path) == job
    assert queue.label(asked, tmp_path).ok
    assert (tmp_path / "job.id").read_text().strip() == job  # one submission in all


@needs_slurm
def test_a_cancelled_job_is_transient(cluster, queue, tmp_path):
    asked = work("Hanging")
    queue.submit_or_attach(asked, tmp_path)
    wait_until(lambda: queue.look(label_key(asked))[0] is JobState.RUNNING)
    assert queue.collect(asked, tmp_path) is None
    queue.cancel(asked)
    wait_until(lambda: queue.look(label_key(asked))[0] is JobState.GONE)
    label = queue.collect(asked, tmp_path)
    assert label.failure.kind is FailureKind.TRANSIENT
    assert "cancelled" in label.failure.reason


@needs_slurm
@pytest.mark.slow
def test_a_job_out_of_time_is_walltime_and_goes_on(cluster, queue, tmp_path):
    short = SlurmQueue(SlurmOptions(time_minutes=1, memory_GB=2), poll_s=2)
    label = short.label(work("Hanging"), tmp_path)
    assert label.failure.kind is FailureKind.WALLTIME


@needs_slurm
@pytest.mark.slow
def test_a_node_that_goes_down_is_transient(cluster, queue, tmp_path):
    asked = work("Hanging")
    queue.submit_or_attach(asked, tmp_path)
    wait_until(lambda: queue.look(label_key(asked))[0] is JobState.RUNNING)
    node = subprocess.run(["sinfo", "-h", "-o", "%N"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"], check=True)
    try:
        wait_until(lambda: queue.look(label_key(asked))[0] is not JobState.RUNNING)
        queue.cancel(asked)  # Slurm requeues it by itself; here the label is given up
        wait_until(lambda: queue.look(label_key(asked))[0] is JobState.GONE)
        assert queue.collect(asked, tmp_path).failure.kind is FailureKind.TRANSIENT
    finally:
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=True)


def test_the_script_says_what_was_asked_for(tmp_path):
    asked = {"partition": "gpu", "extra": ["--gpus=1"], "setup": ["module load x"]}
    options = SlurmOptions(time_minutes=90, memory_GB=1.5, cores=4, **asked)
    script = SlurmQueue(options).script("k" * 32, tmp_path)
    wanted = ["--time=90", "--mem=1536M", "--cpus-per-task=4", "--partition=gpu", "--gpus=1", "OMP_NUM_THREADS=4"]
    for option in wanted:
        assert option in script
    assert script.index("module load x") < script.index("calculators.slurm")


def test_a_queue_that_does_not_answer_is_unknown_and_nothing_is_submitted(tmp_path, monkeypatch):
    for name in ("squeue", "sbatch"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/calls\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    queue = SlurmQueue()
    assert queue.look("k")[0] is JobState.UNKNOWN
    with pytest.raises(SlurmError, match="cannot be read"):
        queue.submit_or_attach(work(), tmp_path / "label")
    assert queue.collect(work(), tmp_path / "label") is None
    assert "sbatch" not in (tmp_path / "calls").read_text()


def test_without_slurm_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match="no squeue on this machine"):
        SlurmQueue().look("k")
