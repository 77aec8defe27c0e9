"""Labels on real Dask workers: many at once, workers killed, Slurm jobs as workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

from calculators.dask_cluster import DaskCluster, DaskOptions
from calculators.jobs import Detached, JobOptions
from calculators.label import FailureKind, Label, Structure, Work
from tests.flows.sleepers import DEAR
from tests.slurm_node import needs_slurm, slurm_node

pytest.importorskip("distributed")


def work(number: int, seconds: float = 0.05, calculator: str = DEAR) -> Work:
    """The same cell every time; what differs is a setting, and with it the label's key."""
    structure = Structure.from_atoms(bulk("Cu"))
    return Work(structure=structure, ion="Cu", calculator=calculator, settings={"seconds": seconds, "number": number})


def label_all(cluster: DaskCluster, folder: Path, works: list[Work]) -> list[Label]:
    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(lambda i: cluster.label(works[i], folder / str(i), 60.0), range(len(works))))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    folder = tmp_path_factory.mktemp("dask")
    with DaskCluster(DaskOptions(labels_per_worker=2), JobOptions(), labels=4, threads=1, folder=folder) as made:
        yield made


def test_labels_come_back_whole(cluster: DaskCluster, tmp_path: Path) -> None:
    labels = label_all(cluster, tmp_path, [work(i) for i in range(12)])
    assert all(label.ok and label.fidelity == "dear" for label in labels)
    assert len({label.key for label in labels}) == 12
    assert all((tmp_path / str(i) / "label.json").is_file() for i in range(12))


def test_a_killed_worker_repeats_no_completed_label(cluster: DaskCluster, tmp_path: Path) -> None:
    works = [work(100 + i, seconds=0.5) for i in range(16)]
    labels: list[Label] = []
    running = threading.Thread(target=lambda: labels.extend(label_all(cluster, tmp_path, works)))
    running.start()
    while len(list(tmp_path.glob("*/label.json"))) < 4:
        time.sleep(0.01)
    done = {path.parent.name for path in tmp_path.glob("*/label.json")}
    os.kill(next(iter(cluster.client.run(os.getpid).values())), signal.SIGKILL)
    running.join(90)
    assert len(labels) == 16
    assert all(label.ok for label in labels)
    computed = {folder.name: len((folder / "computed").read_text().split()) for folder in tmp_path.iterdir()}
    assert all(computed[name] == 1 for name in done)
    # Asked for again, all are found where they lie.
    assert label_all(cluster, tmp_path, works) == labels
    assert computed == {folder.name: len((folder / "computed").read_text().split()) for folder in tmp_path.iterdir()}


def test_failures_keep_their_kind(cluster: DaskCluster, tmp_path: Path) -> None:
    slow = cluster.label(work(1, seconds=30.0), tmp_path / "slow", timeout_s=0.2)
    assert slow.failure is not None
    assert slow.failure.kind is FailureKind.WALLTIME
    crashing = cluster.label(work(1, calculator="tests.calculators.plugins:Crashing"), tmp_path / "crash", 60.0)
    assert crashing.failure is not None
    assert crashing.failure.kind is FailureKind.TRANSIENT
    with pytest.raises(ValueError, match="nothing"):
        cluster.label(work(1, calculator="tests.calculators.plugins:nothing"), tmp_path / "none", 60.0)


def test_the_driver_may_leave(cluster: DaskCluster, tmp_path: Path) -> None:
    leave = threading.Event()
    threading.Timer(0.5, leave.set).start()
    with pytest.raises(Detached):
        cluster.label(work(2, seconds=60.0), tmp_path, 60.0, leave)


ASKED = {
    "slurm": ["#SBATCH -p long", "#SBATCH -A project-42", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=12G"],
    "pbs": ["#PBS -q long", "#PBS -A project-42", "#PBS -l select=1:ncpus=8:mem=12GB", "#PBS -l walltime=26:05:00"],
    "sge": ["#$ -q long", "#$ -P project-42", "#$ -pe smp 8", "#$ -l h_vmem=1536M", "#$ -l h_rt=26:05:00"],
    "lsf": ["#BSUB -q long", '#BSUB -P "project-42"', "#BSUB -n 8", "#BSUB -W 26:05"],
}


@pytest.mark.parametrize("scheduler", ASKED)
def test_a_workers_job_asks_the_scheduler_in_its_own_words(scheduler: Any, tmp_path: Path) -> None:
    """dask-jobqueue writes the script without the scheduler being there; none but Slurm was ever submitted to."""
    job = JobOptions(
        time_minutes=26 * 60 + 5,
        memory_GB=6.0,
        cores=4,
        partition="long",
        account="project-42",
        setup=["module load chemistry"],
    )
    options = DaskOptions(cluster=scheduler, labels_per_worker=2)
    with DaskCluster(options, job, labels=2, threads=4, folder=tmp_path).job_cluster() as cluster:
        script = cluster.job_script().splitlines()
    assert set(ASKED[scheduler]) <= set(script)
    assert script.index("module load chemistry") < len(script) - 1
    assert "distributed.cli.dask_worker" in script[-1]


@pytest.mark.slow
@needs_slurm
def test_workers_in_slurm_jobs(tmp_path: Path) -> None:
    with slurm_node(tmp_path / "slurm"):
        slurm = JobOptions(time_minutes=5, memory_GB=1.0)
        options = DaskOptions(cluster="slurm", labels_per_worker=1)
        with DaskCluster(options, slurm, labels=2, threads=1, folder=tmp_path / "dask") as cluster:
            labels = label_all(cluster, tmp_path / "labels", [work(i, seconds=0.2) for i in range(8)])
            assert all(label.ok for label in labels)
            cluster.client.wait_for_workers(
                2, timeout=60
            )  # on a busy machine the labels may be done before the second job
            assert len(cluster.client.run(os.getpid)) == 2
