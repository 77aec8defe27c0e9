"""Real jobs through a real one-node Slurm (Debian's slurmctld, slurmd, slurm-client, munge); skipped where there is
none.
"""

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cells import copper_with_vacancy

from calculators.job_queue import Job, JobState, QueueWatch, job_name, look, saved_job
from calculators.job_run import run_job
from calculators.job_script import label_script
from calculators.jobs import Detached, JobOptions, JobQueue, SchedulerError
from calculators.label import FailureKind, Structure, Work
from calculators.pipeline import label_key
from calculators.schedulers import Scheduler
from calculators.storage import read_label
from tests.slurm_node import needs_slurm, slurm_node
from tests.slurm_words import listed, submitted

HERE = Path(__file__).parent


def work(plugin: str = "Good", **settings) -> Work:
    structure = Structure.from_atoms(copper_with_vacancy())
    return Work(structure=structure, ion="Cu", calculator=f"plugins:{plugin}", settings=settings)


FAST = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm_node(tmp_path_factory.mktemp("slurm")) as folder:
        yield folder


@pytest.fixture
def queue() -> JobQueue:
    return JobQueue("slurm", JobOptions(time_minutes=5, memory_GB=2), poll_s=1)


def wait_until(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.5)


@needs_slurm
def test_a_label_through_a_job(cluster, queue, tmp_path):
    tmp_path = tmp_path / "a folder with blanks"
    events: list[dict] = []
    label = queue.label(work(**FAST), tmp_path, events.append)
    assert label.ok, label.failure
    assert label.fidelity == "good-neb"
    assert events[0]["stage"] == "queue"
    assert queue.label(work(**FAST), tmp_path) == label  # found, not computed again


@needs_slurm
def test_a_killed_driver_attaches_to_its_job(cluster, queue, tmp_path):
    script = (
        "import sys; from calculators.label import Work; from calculators.jobs import *;"
        "work = Work.model_validate_json(sys.argv[1]);"
        "JobQueue('slurm', JobOptions(time_minutes=5, memory_GB=2), 1).label(work, sys.argv[2])"
    )
    asked = work("Slow", **FAST)
    root = str(HERE.parents[1])
    environment = os.environ | {"PYTHONPATH": f"{root}:{HERE}"}
    driver = subprocess.Popen([sys.executable, "-c", script, asked.model_dump_json(), str(tmp_path)], env=environment)
    wait_until(lambda: (job := saved_job(tmp_path)) is not None and job.id != "")
    driver.kill()
    driver.wait()
    job = saved_job(tmp_path).id
    assert queue.submit_or_attach(asked, tmp_path) == job
    label = queue.label(asked, tmp_path)
    assert label.ok
    assert label.provenance["job"] == saved_job(tmp_path).id == job  # one submission in all


@needs_slurm
def test_a_cancelled_job_is_transient(cluster, queue, tmp_path):
    asked = work("Hanging")
    queue.submit_or_attach(asked, tmp_path)
    wait_until(lambda: queue.look(label_key(asked), tmp_path)[0] is JobState.RUNNING)
    assert queue.collect(asked, tmp_path) is None
    queue.cancel(asked, tmp_path)
    wait_until(lambda: queue.look(label_key(asked), tmp_path)[0] is JobState.GONE)
    label = queue.collect(asked, tmp_path)
    assert label.failure.kind is FailureKind.TRANSIENT
    assert "cancelled" in label.failure.reason


def test_two_campaigns_that_ask_for_one_label_have_a_job_each(tmp_path, monkeypatch):
    """The job of the one writes into its own folder: the other would wait for a result that never comes."""
    asked, mine, other = work(**FAST), tmp_path / "mine", tmp_path / "other"
    calls = scheduler_that_answers(
        tmp_path, monkeypatch, squeue=listed(5, "R", job_name(label_key(asked), other)), sbatch=submitted(7)
    )
    queue = JobQueue()
    assert queue.submit_or_attach(asked, other) == "5"
    assert queue.submit_or_attach(asked, mine) == "7"
    assert calls().count("sbatch") == 1


def batch(folder: Path, plugin: str = "Slow", n: int = 3) -> list[tuple[Work, Path]]:
    """Labels that differ in one setting each."""
    works = [work(plugin, **FAST, fmax_eV_per_A=0.05 + 0.01 * number) for number in range(n)]
    return [(asked, folder / label_key(asked)) for asked in works]


def jobs_in_queue(name: str) -> list[str]:
    done = subprocess.run(["squeue", "-h", "-r", "-n", name, "-o", "%i"], capture_output=True, text=True, check=True)
    return done.stdout.split()


@needs_slurm
def test_many_labels_are_one_array_and_each_is_found_by_its_key(cluster, queue, tmp_path):
    works = batch(tmp_path)
    jobs = queue.submit_together(works, tmp_path / "arrays")
    (array,) = {job.split("_")[0] for job in jobs.values()}
    assert jobs == {label_key(asked): f"{array}_{index}" for index, (asked, _) in enumerate(works)}
    assert [saved_job(folder).id for _, folder in works] == list(jobs.values())
    assert queue.submit_together(works, tmp_path / "arrays") == jobs  # all of it is in the queue
    (folder,) = (tmp_path / "arrays").iterdir()
    assert (folder / "keys.txt").read_text().split() == [label_key(asked) for asked, _ in works]
    labels = [queue.label(*pair) for pair in works]
    assert all(label.ok for label in labels)
    assert [label.provenance["job"] for label in labels] == [f"{array}_{index}" for index in range(3)]
    assert queue.submit_together(works, tmp_path / "arrays") == {}  # all of it is done


@needs_slurm
def test_a_driver_killed_after_sbatch_attaches_to_the_whole_array(cluster, queue, tmp_path, monkeypatch):
    """Killed before it could write down the ids that sbatch gave: names and indices are enough."""
    works = batch(tmp_path)
    jobs = queue.submit_together(works, tmp_path / "arrays")
    for _, folder in works:
        saved_job(folder).model_copy(update={"id": ""}).save(folder)
    assert queue.submit_together(works, tmp_path / "arrays") == jobs
    assert [queue.submit_or_attach(*pair) for pair in works] == list(jobs.values())
    asked, folder = works[1]
    queue.cancel(asked, folder)
    wait_until(lambda: queue.look(label_key(asked), folder)[0] is JobState.GONE)
    # Of an element cancelled before it started Slurm keeps no record: it is gone, and that is transient.
    assert queue.collect(asked, folder).failure.kind is FailureKind.TRANSIENT
    assert queue.label(*works[0]).ok
    again = queue.label(asked, folder)  # asked for again it gets a job of its own
    assert again.ok
    assert "_" not in again.provenance["job"]


def test_a_driver_killed_before_sbatch_submits_the_array_once(tmp_path, monkeypatch):
    """What is written ahead names jobs that Slurm does not know: they are not mistaken for jobs."""
    calls = scheduler_that_answers(tmp_path, monkeypatch, squeue="", sbatch=submitted(7))
    queue, works = JobQueue(), batch(tmp_path / "labels")
    for index, (_, folder) in enumerate(works):
        Job(name="array-killed", index=index).save(folder)
    assert list(queue.submit_together(works, tmp_path / "arrays").values()) == ["7_0", "7_1", "7_2"]
    assert calls().count("sbatch") == 1
    assert saved_job(works[2][1]).id == "7_2"


def test_an_array_holds_what_has_no_job_and_each_calculator_has_its_own_options(tmp_path, monkeypatch):
    works = batch(tmp_path / "labels") + batch(tmp_path / "labels", "Good", 1)
    there = job_name(label_key(works[0][0]), works[0][1])
    calls = scheduler_that_answers(tmp_path, monkeypatch, squeue=listed(5, "PD", there), sbatch=submitted(7))
    queue = JobQueue("slurm", JobOptions(by_calculator={"plugins:Good": {"cores": 8}}))
    jobs = queue.submit_together(works, tmp_path / "arrays", {"plugins:Slow": 2})
    assert jobs == dict(zip([label_key(asked) for asked, _ in works], ["5", "7_0", "7_1", "7_0"], strict=True))
    assert calls().count("sbatch") == 2
    scripts = {(path.parent / "folders.txt").read_text().count("\n"): path for path in tmp_path.rglob("job.sh")}
    assert sorted(scripts) == [1, 2]
    assert "--array=0-1%2" in scripts[2].read_text()
    assert "--cpus-per-task=1\n" in scripts[2].read_text()
    assert "--cpus-per-task=8\n" in scripts[1].read_text()
    with pytest.raises(ValueError, match=r"jobs.by_calculator.vasp: unknown setting 'core'; allowed: time_minutes"):
        JobOptions(by_calculator={"vasp": {"core": 2}})


@needs_slurm
@pytest.mark.slow
def test_a_job_out_of_time_is_walltime_and_goes_on_from_the_last_band(cluster, tmp_path, monkeypatch):
    short = JobQueue("slurm", JobOptions(time_minutes=1, memory_GB=2), poll_s=2)
    asked = work("Paced", **FAST)
    band = tmp_path / "hops"
    monkeypatch.setenv("PLUGIN_PACE_S", "2.5")
    first = short.label(asked, tmp_path)
    assert first.failure.kind is FailureKind.WALLTIME
    assert len(list(band.glob("*/band.extxyz"))) == 1
    before = len((tmp_path / "job.out").read_text().splitlines())
    monkeypatch.setenv("PLUGIN_PACE_S", "0")
    second = short.label(asked, tmp_path)
    assert second.ok, second.failure
    stages = [line for line in (tmp_path / "job.out").read_text().splitlines()[before:] if "stage" in line]
    assert not any("relax" in line or "end points" in line for line in stages)
    assert second.force_calls == second.hops[0].force_calls


@needs_slurm
def test_a_node_that_goes_down_is_transient(cluster, queue, tmp_path):
    asked = work("Hanging")
    once = JobQueue("slurm", queue.options.model_copy(update={"extra": ["--no-requeue"]}), poll_s=1)
    once.submit_or_attach(asked, tmp_path)
    node_down_under(once, asked, tmp_path)
    wait_until(lambda: once.look(label_key(asked), tmp_path)[0] is JobState.GONE)
    failure = once.collect(asked, tmp_path).failure
    assert (failure.kind, failure.reason) == (FailureKind.TRANSIENT, "the node failed")


@needs_slurm
@pytest.mark.slow
def test_slurm_requeues_what_a_node_lost_and_the_driver_notices_nothing(cluster, queue, tmp_path, monkeypatch):
    asked = work("Paced", **FAST)
    monkeypatch.setenv("PLUGIN_PACE_S", "0.5")
    job = queue.submit_or_attach(asked, tmp_path)
    node_down_under(queue, asked, tmp_path)
    label = queue.label(asked, tmp_path)
    assert label.ok, label.failure
    assert label.provenance["job"] == job  # requeued under the id it had


def node_down_under(queue: JobQueue, asked: Work, folder: Path) -> None:
    """Take the node away from a running job, and let it come back (ReturnToService=2)."""
    wait_until(lambda: queue.look(label_key(asked), folder)[0] is JobState.RUNNING)
    node = subprocess.run(["sinfo", "-h", "-o", "%N"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"], check=True)
    wait_until(lambda: queue.look(label_key(asked), folder)[0] is not JobState.RUNNING)
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False, capture_output=True)


def scheduler_that_answers(folder: Path, monkeypatch, **answers: str):
    """Commands of these names that print an answer; returns what was called so far."""
    for name, answer in answers.items():
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {folder}/calls\necho '{answer}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (folder / "calls").touch()
    return lambda: (folder / "calls").read_text().split()


def test_the_script_says_what_was_asked_for(tmp_path):
    asked = {"partition": "gpu", "extra": ["--gpus=1"], "setup": ["module load x"]}
    options = JobOptions(time_minutes=90, memory_GB=1.5, cores=4, **asked)
    script = label_script(Scheduler("slurm"), options, "k" * 32, tmp_path)
    wanted = ["--time=90", "--mem=1536M", "--cpus-per-task=4", "--partition=gpu", "--gpus=1", "OMP_NUM_THREADS=4"]
    for option in wanted:
        assert option in script
    assert script.index("module load x") < script.index("calculators.job_run")


def test_all_waiting_labels_share_one_look_at_the_queue(tmp_path, monkeypatch):
    works = batch(tmp_path / "labels", n=20)
    there = "\n".join(
        listed(number, "R", job_name(label_key(asked), folder)) for number, (asked, folder) in enumerate(works)
    )
    calls = scheduler_that_answers(
        tmp_path, monkeypatch, squeue=listed(99, "R", "another job") + "\n" + there, sbatch=submitted(7)
    )
    queue, leave, seen = JobQueue(poll_s=0.2), threading.Event(), []
    with ThreadPoolExecutor(len(works)) as threads:
        waiting = [threads.submit(queue.label, *pair, seen.append, leave) for pair in works]
        wait_until(lambda: calls().count("squeue") >= 4)
        leave.set()
    assert all(isinstance(left.exception(), Detached) for left in waiting)
    assert [event["state"] for event in seen] == ["running"] * len(works)
    assert sorted(int(event["job"]) for event in seen) == list(range(len(works)))
    assert calls().count("squeue") < len(works), "every label looked on its own"
    assert "sbatch" not in calls()


def test_a_look_from_before_a_submission_is_not_believed(tmp_path, monkeypatch):
    calls = scheduler_that_answers(tmp_path, monkeypatch, squeue=listed(1, "PD", "key"))
    watch = QueueWatch(Scheduler("slurm"), every_s=60.0)
    assert watch.now() is watch.since(0.0)
    assert calls().count("squeue") == 1
    watch.since(time.monotonic())
    assert calls().count("squeue") == 2


def test_a_queue_that_does_not_answer_is_unknown_and_nothing_is_submitted(tmp_path, monkeypatch):
    for name in ("squeue", "sbatch"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/calls\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    queue = JobQueue()
    assert queue.look("k", tmp_path)[0] is JobState.UNKNOWN
    with pytest.raises(SchedulerError, match="cannot be read"):
        queue.submit_or_attach(work(), tmp_path / "label")
    assert queue.collect(work(), tmp_path / "label") is None
    assert "sbatch" not in (tmp_path / "calls").read_text()


def test_without_slurm_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerError, match="no squeue on this machine"):
        JobQueue().look("k", tmp_path)


def test_a_job_that_is_completing_does_not_hide_the_one_submitted_after_it(tmp_path, monkeypatch):
    waiting, ending = listed(8, "PD", "key"), listed(7, "CG", "key")
    for squeue in (f"{ending}\n{waiting}", f"{waiting}\n{ending}"):
        scheduler_that_answers(tmp_path, monkeypatch, squeue=squeue)
        assert look(Scheduler("slurm")).jobs == {("key", None): (JobState.WAITING, "8")}


def test_one_label_asked_for_twice_is_one_element(tmp_path, monkeypatch):
    """Two proposals may have one address; in one folder there is one job."""
    scheduler_that_answers(tmp_path, monkeypatch, squeue="", sbatch=submitted(7))
    works = batch(tmp_path / "labels", n=2)
    jobs = JobQueue().submit_together([works[0], works[1], works[0]], tmp_path / "arrays")
    assert list(jobs.values()) == ["7_0", "7_1"]
    (script,) = (tmp_path / "arrays").glob("*/job.sh")
    assert "--array=0-1\n" in script.read_text()


def test_a_job_that_sees_another_calculator_than_its_driver_says_which(tmp_path, monkeypatch):
    scheduler_that_answers(tmp_path, monkeypatch, squeue="", sbatch=submitted(7))
    asked = work(**FAST)
    queue = JobQueue()
    queue.submit_or_attach(asked, tmp_path / "label")
    request = tmp_path / "label" / "request.json"
    mine = request.read_text()
    request.write_text(mine.replace('"protocol": "', '"protocol": "9').replace(label_key(asked), "k" * 32))
    run_job(tmp_path / "label")
    written = read_label(tmp_path / "label")
    assert (written.key, written.failure.kind) == ("k" * 32, FailureKind.TRANSIENT)
    assert re.search(r"protocol \d+ here, 9\d+ in the driver.*jobs\.setup", written.failure.reason)
    assert not (tmp_path / "label" / "band.extxyz").exists()
    request.write_text(mine)
    run_job(tmp_path / "label")
    assert queue.collect(asked, tmp_path / "label").ok


def test_two_threads_that_ask_for_one_label_get_one_job(tmp_path, monkeypatch):
    calls = scheduler_that_answers(tmp_path, monkeypatch, squeue="", sbatch=submitted(7))
    asked, folder = work(**FAST), tmp_path / "label"
    name = job_name(label_key(asked), folder)
    (tmp_path / "sbatch").write_text(
        f"#!/bin/sh\necho sbatch >> {tmp_path}/calls\nsleep 0.5\n"
        f"printf '#!/bin/sh\\necho \"{listed(7, 'PD', name)}\"\\n' > {tmp_path}/squeue\necho {submitted(7)}\n"
    )
    queue = JobQueue()
    with ThreadPoolExecutor(2) as threads:
        ids = list(threads.map(lambda _: queue.submit_or_attach(asked, folder), range(2)))
    assert ids == ["7", "7"]
    assert calls().count("sbatch") == 1
