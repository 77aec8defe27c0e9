"""Labels as tasks of Prefect's DaskTaskRunner: real server, real Dask workers, both killed; Slurm jobs as workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flows.server import Server, local_server, quiet_prefect

quiet_prefect()
pytest.importorskip("distributed")
pytest.importorskip("prefect_dask")

from prefect.events.worker import EventsWorker  # noqa: E402
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings  # noqa: E402

from calculators.dask_cluster import DaskCluster, DaskOptions  # noqa: E402
from calculators.jobs import JobOptions  # noqa: E402
from calculators.label import Label, Work  # noqa: E402
from flows.dask_labels import FLOW, DaskLabels  # noqa: E402
from flows.engines import OnDask  # noqa: E402
from flows.places import Interrupted  # noqa: E402
from flows.stage import PrefectStage, crew, elsewhere  # noqa: E402
from tests.calculators.test_dask import work  # noqa: E402
from tests.flows.test_campaign import post  # noqa: E402
from tests.flows.test_cli import ionloop  # noqa: E402
from tests.flows.test_deployment import wait  # noqa: E402
from tests.flows.toy import write_toy  # noqa: E402
from tests.slurm_node import needs_slurm, slurm_node  # noqa: E402


@contextmanager
def prefect_server(home: Path) -> Iterator[Server]:
    """A server of its own; afterwards Prefect's sender of events, one a process, does not stay with it."""
    soon = {PREFECT_CLIENT_MAX_RETRIES: 1}  # the flow runs around give up soon: what is tested does not depend on it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IONLOOP_HOME", str(home))
        with local_server() as running, temporary_settings({PREFECT_API_URL: running.api_url} | soon):
            yield running
            EventsWorker.drain_all(timeout=10.0, at_exit=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    folder = tmp_path_factory.mktemp("dask")
    with DaskCluster(DaskOptions(labels_per_worker=2), JobOptions(), labels=4, threads=1, folder=folder) as made:
        yield made


def play(
    url: str, cluster: DaskCluster, folder: Path, works: list[Work], interrupted: threading.Event | None = None
) -> list[Label]:
    """A round of labels as a campaign plays it: a step of the driver each, all below flow runs that hold a lock."""
    engine = OnDask(cluster, DaskLabels(cluster), interrupted or threading.Event())
    stage, labels = PrefectStage(url, "toy", lambda: None), [Label(key="", fidelity="")] * len(works)
    unpicklable = threading.Lock()

    def label(i: int) -> None:
        with unpicklable:
            place = folder / str(i)
        labels[i] = engine.label(works[i], place, 60.0)

    def labelled() -> None:
        with engine.shown(), crew(len(works)) as threads:
            steps = [elsewhere(threads, stage.step, "label", str(i), lambda i=i: label(i)) for i in range(len(works))]
            for step in steps:
                step.result()

    stage.flow("toy", lambda: stage.flow("round 1", labelled, "round"), "campaign")
    return labels


def done(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/label.json")}


def after(count: int, folder: Path, act: Callable[[], object]) -> threading.Thread:
    """Act as soon as so many labels are written."""

    def watch() -> None:
        while len(done(folder)) < count:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def times_computed(folder: Path) -> list[int]:
    return [len(path.read_text().split()) for path in folder.glob("*/computed")]


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    for member in [*process.children(recursive=True), process]:
        member.kill()


def states(server: Server, title: str = "compute ") -> list[str]:
    """Of the task runs of computations."""
    return [str(run["state_name"]) for run in post(server.api_url, "task_runs") if str(run["name"]).startswith(title)]


def test_every_computation_is_a_task_run_below_its_round(
    server: Server, cluster: DaskCluster, tmp_path: Path
) -> None:
    labels = play(server.api_url, cluster, tmp_path / "labels", [work(200 + i) for i in range(6)])
    assert all(label.ok for label in labels)

    def computed() -> list[dict[str, object]]:
        return [run for run in post(server.api_url, "task_runs") if str(run["name"]).startswith("compute ")]

    wait("the runs", lambda: [run["state_name"] for run in computed()] == ["Completed"] * 6)
    assert {(str(run["name"]), *run["tags"]) for run in computed()} == {
        ("compute Cu: tests.flows.sleepers:Dear", "toy")
    }  # type: ignore[misc]
    flows = {run["id"]: run for run in post(server.api_url, "flow_runs")}
    (shown,) = {run["flow_run_id"] for run in computed()}
    assert flows[shown]["state_name"] == "Completed"
    parents = {run["id"]: run["flow_run_id"] for run in post(server.api_url, "task_runs")}
    assert flows[parents[flows[shown]["parent_task_run_id"]]]["name"] == "round 1"
    names = {flow["id"]: flow["name"] for flow in post(server.api_url, "flows")}
    assert names[flows[shown]["flow_id"]] == FLOW


def test_without_a_server_the_same_workers_label(cluster: DaskCluster, tmp_path: Path) -> None:
    labels = play("http://127.0.0.1:9/api", cluster, tmp_path / "labels", [work(400 + i) for i in range(4)])
    assert all(label.ok for label in labels)


def test_a_killed_worker_repeats_no_completed_label(server: Server, cluster: DaskCluster, tmp_path: Path) -> None:
    folder, finished = tmp_path / "labels", set()

    def kill_one() -> None:
        finished.update(done(folder))
        os.kill(next(iter(cluster.client.run(os.getpid).values())), signal.SIGKILL)

    killing = after(4, folder, kill_one)
    labels = play(server.api_url, cluster, folder, [work(500 + i, seconds=0.5) for i in range(16)])
    killing.join()
    assert all(label.ok for label in labels)
    assert all(len((folder / name / "computed").read_text().split()) == 1 for name in finished)


def test_runs_that_a_person_stopped_do_not_look_as_if_they_ran(
    server: Server, cluster: DaskCluster, tmp_path: Path
) -> None:
    leave, folder = threading.Event(), tmp_path / "labels"
    works = [work(600, seconds=0.0), work(601, seconds=60.0)]
    works = [one.model_copy(update={"name": "stopped"}) for one in works]
    leaving = after(1, folder, lambda: (time.sleep(3.0), leave.set()))
    with pytest.raises(Interrupted):
        play(server.api_url, cluster, folder, works, leave)
    leaving.join()
    wait("the end", lambda: sorted(states(server, "compute stopped")) == ["Cancelled", "Completed"])


def test_a_campaign_on_dask_shows_its_computations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_toy(tmp_path, rounds=1, prefect=True)
    path.write_text(path.read_text().replace("[label]\n", '[label]\nscheduler = "dask"\n'))
    result = ionloop("run", "toy.toml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    monkeypatch.setenv("IONLOOP_HOME", str(tmp_path / "home"))
    with local_server() as server:
        flows = {str(run["flow_id"]) for run in post(server.api_url, "flow_runs")}
        names = {flow["name"] for flow in post(server.api_url, "flows") if str(flow["id"]) in flows}
        tasks = [run for run in post(server.api_url, "task_runs") if str(run["name"]).startswith("compute ")]
    assert FLOW in names
    assert [run["state_name"] for run in tasks] == ["Completed"] * 3
    assert all(run["tags"] == ["toy"] for run in tasks)


def test_no_label_is_lost_with_the_server(cluster: DaskCluster, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    with prefect_server(tmp_path / "home") as server:
        killing = after(4, folder, lambda: kill(server.pid))
        labels = play(server.api_url, cluster, folder, [work(300 + i, seconds=0.5) for i in range(16)])
        killing.join()
        assert not server.healthy()
    assert all(label.ok for label in labels)
    assert times_computed(folder) == [1] * 16


@pytest.mark.slow
@needs_slurm
def test_workers_in_slurm_jobs_take_prefects_tasks_and_outlive_its_server(tmp_path: Path) -> None:
    jobs, options = JobOptions(time_minutes=5, memory_GB=1.0), DaskOptions(cluster="slurm")
    with (
        prefect_server(tmp_path / "home") as server,
        slurm_node(tmp_path / "slurm"),
        DaskCluster(options, jobs, labels=2, threads=1, folder=tmp_path / "dask") as cluster,
    ):
        cluster.client.wait_for_workers(2, timeout=120)
        assert len(set(cluster.client.run(os.getenv, "SLURM_JOB_ID").values())) == 2
        labels = play(server.api_url, cluster, tmp_path / "labels", [work(700 + i, seconds=0.2) for i in range(8)])
        assert all(label.ok for label in labels)
        wait("the runs", lambda: states(server) == ["Completed"] * 8)
        killing = after(3, tmp_path / "more", lambda: kill(server.pid))
        labels = play(server.api_url, cluster, tmp_path / "more", [work(800 + i, seconds=0.5) for i in range(8)])
        killing.join()
        assert all(label.ok for label in labels)
        assert times_computed(tmp_path / "more") == [1] * 8
