"""Real jobs through a real one-node Grid Engine (Debian's gridengine-master, -exec, -client); skipped where there is
none.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cells import copper_with_vacancy

from calculators.job_queue import JobState, saved_job
from calculators.jobs import JobOptions, JobQueue, SchedulerError
from calculators.label import FailureKind, Structure, Work
from calculators.pipeline import label_key
from tests.sge_node import needs_sge, sge_node

pytestmark = needs_sge
HERE = Path(__file__).parent
FAST = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms"}


def work(plugin: str = "Good", **settings) -> Work:
    structure = Structure.from_atoms(copper_with_vacancy())
    return Work(structure=structure, ion="Cu", calculator=f"plugins:{plugin}", settings=settings)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with sge_node(tmp_path_factory.mktemp("sge")) as folder:
        yield folder


@pytest.fixture
def queue(cluster) -> JobQueue:
    return JobQueue("sge", JobOptions(time_minutes=5, memory_GB=8), poll_s=1)


def wait_until(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.5)


def test_a_killed_driver_attaches_to_its_job(queue, tmp_path):
    script = (
        "import sys; from calculators.label import Work; from calculators.jobs import *;"
        "work = Work.model_validate_json(sys.argv[1]);"
        "JobQueue('sge', JobOptions(time_minutes=5, memory_GB=8), 1).label(work, sys.argv[2])"
    )
    asked, folder = work("Slow", **FAST), tmp_path / "a folder with blanks"
    environment = os.environ | {"PYTHONPATH": f"{HERE.parents[1]}:{HERE}"}
    driver = subprocess.Popen([sys.executable, "-c", script, asked.model_dump_json(), str(folder)], env=environment)
    wait_until(lambda: (job := saved_job(folder)) is not None and job.id != "")
    driver.kill()
    driver.wait()
    job = saved_job(folder)
    job.model_copy(update={"id": ""}).save(folder)  # as if it had died before it could write down the id
    assert queue.submit_or_attach(asked, folder) == job.id
    events: list[dict] = []
    label = queue.label(asked, folder, events.append)
    assert label.ok, label.failure
    assert label.provenance["job"] == saved_job(folder).id == job.id  # one submission in all
    assert events[0]["job"] == job.id


def test_many_labels_are_jobs_of_their_own(queue):
    assert not queue.arrays


def test_a_cancelled_job_is_transient(queue, tmp_path):
    asked = work("Hanging")
    queue.submit_or_attach(asked, tmp_path)
    wait_until(lambda: queue.look(label_key(asked), tmp_path)[0] is JobState.RUNNING)
    assert queue.collect(asked, tmp_path) is None
    queue.cancel(asked, tmp_path)
    wait_until(lambda: queue.look(label_key(asked), tmp_path)[0] is JobState.GONE)
    failure = queue.collect(asked, tmp_path).failure
    assert failure.kind is FailureKind.TRANSIENT
    assert "the job ended without a result" in failure.reason


def test_a_job_in_the_error_state_is_deleted_and_transient(queue, tmp_path):
    """SGE keeps a job that it could not start in the queue for ever."""
    options = queue.options.model_copy(update={"extra": ["-wd /nowhere"]})
    broken, asked = JobQueue("sge", options, poll_s=1), work()
    broken.submit_or_attach(asked, tmp_path)
    wait_until(lambda: broken.look(label_key(asked), tmp_path)[0] is JobState.STUCK)
    failure = broken.collect(asked, tmp_path).failure
    assert (failure.kind, failure.stage) == (FailureKind.TRANSIENT, "job")
    assert "error state" in failure.reason
    wait_until(lambda: broken.look(label_key(asked), tmp_path)[0] is JobState.GONE)


def test_a_queue_that_does_not_answer_is_unknown_and_nothing_is_submitted(queue, tmp_path, monkeypatch):
    monkeypatch.setenv("SGE_QMASTER_PORT", "16499")
    assert queue.look("k", tmp_path)[0] is JobState.UNKNOWN
    with pytest.raises(SchedulerError, match="cannot be read"):
        queue.submit_or_attach(work(), tmp_path)
    assert saved_job(tmp_path) is None


def test_a_refused_job_is_said_in_its_words(queue, tmp_path):
    refused = JobQueue("sge", queue.options.model_copy(update={"partition": "nowhere.q", "extra": ["-w e"]}))
    with pytest.raises(SchedulerError, match=r"nowhere\.q"):
        refused.submit_or_attach(work(), tmp_path)


@pytest.mark.slow
def test_a_job_out_of_time_is_walltime_and_goes_on_from_the_last_band(cluster, tmp_path, monkeypatch):
    short = JobQueue("sge", JobOptions(time_minutes=1, memory_GB=8), poll_s=2)
    asked = work("Paced", **FAST)
    monkeypatch.setenv("PLUGIN_PACE_S", "2.5")
    first = short.label(asked, tmp_path)
    assert first.failure.kind is FailureKind.WALLTIME
    assert len(list((tmp_path / "hops").glob("*/band.extxyz"))) == 1
    monkeypatch.setenv("PLUGIN_PACE_S", "0")
    second = short.label(asked, tmp_path)
    assert second.ok, second.failure
    assert second.force_calls == second.hops[0].force_calls
