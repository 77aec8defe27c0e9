"""Many labels at once: one driver, a hundred fake jobs on a one-node Slurm or on Dask workers.

A fake label waits until the benchmark says "go", which it does when as many are being computed at the same time as
were asked for: so the number at once is reached or the run never ends. What is measured is what the driver pays.

    python -m benchmarks.scale slurm --labels 100      (as root, with Debian's Slurm; the node claims that many cores)
    python -m benchmarks.scale dask --labels 100 --per-worker 25
    python -m benchmarks.scale queue --labels 100      (as slurm, but the jobs only wait: what looking at them costs)
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
from ase.build import bulk

from calculators.dask_cluster import DaskCluster, DaskOptions
from calculators.job_queue import look
from calculators.jobs import JobOptions, JobQueue
from calculators.label import Label, Structure, Work
from calculators.schedulers import run
from tests.slurm_node import slurm_node

FAKE = "tests.flows.sleepers:Waiting"
Compute = Callable[[Work, Path], Label]


def works(count: int, go: Path) -> list[Work]:
    structure = Structure.from_atoms(bulk("Cu"))
    return [
        Work(structure=structure, ion="Cu", calculator=FAKE, settings={"go": str(go), "number": i})
        for i in range(count)
    ]


@contextmanager
def on_slurm(folder: Path, labels: int, _per_worker: int) -> Iterator[Compute]:
    with slurm_node(folder / "slurm", cpus=labels):
        queue = JobQueue("slurm", JobOptions(time_minutes=60, memory_GB=0.03), poll_s=10.0)
        yield lambda work, place: queue.label(work, place)


@contextmanager
def on_dask(folder: Path, labels: int, per_worker: int) -> Iterator[Compute]:
    options = DaskOptions(labels_per_worker=per_worker)
    with DaskCluster(options, JobOptions(), labels, threads=1, folder=folder / "dask") as cluster:
        yield lambda work, place: cluster.label(work, place, 3600.0)


def measure(compute: Compute, folder: Path, count: int) -> None:
    """Send all, wait until all are being computed, say go, wait for all; print what it took."""
    go = folder / "go"
    places = [folder / "labels" / str(i) for i in range(count)]
    for place in places:
        place.mkdir(parents=True)
    memory, cpu, start = psutil.Process().memory_info().rss, cpu_s(), time.monotonic()
    most, all_started = 0, 0.0
    with ThreadPoolExecutor(count) as threads:
        labels = [threads.submit(compute, *pair) for pair in zip(works(count, go), places, strict=True)]
        while not all(label.done() for label in labels):
            time.sleep(1.0)
            at_work = sum((place / "computed").exists() and not (place / "label.json").exists() for place in places)
            most = max(most, at_work)
            if at_work == count and not go.exists():
                all_started, begun = time.monotonic() - start, cpu_s()
                time.sleep(30.0)  # what waiting costs
                waiting = (cpu_s() - begun) / 30.0
                go.touch()
                said = time.monotonic()
    assert all(label.result().ok for label in labels), "a fake label failed"
    computed = sum(len((place / "computed").read_text().split()) for place in places)
    print(f"labels                          {count}, {computed} computed, at the same time {most}")
    print(f"all at work after               {all_started:.0f} s")
    print(f'from "go" to the last label     {time.monotonic() - said:.1f} s')
    print(f"driver, processor time          {1000 * (cpu_s() - cpu) / count:.0f} ms per label, its commands included")
    print(f"driver, waiting                 {1000 * waiting:.0f} ms of processor time per s")
    print(f"driver, memory                  +{(psutil.Process().memory_info().rss - memory) / 1e6:.0f} MB")
    print(f"driver, threads                 {threading.active_count()}")


def watch(folder: Path, count: int, for_s: float = 60.0) -> None:
    """Submit to a node that starts nothing, and print what the driver pays for waiting."""
    leave, places = threading.Event(), [folder / "labels" / str(i) for i in range(count)]
    with slurm_node(folder / "slurm"):
        node = run("sinfo -h -o %N").stdout.strip()
        run(f"scontrol update NodeName={node} State=DRAIN Reason=benchmark")
        queue = JobQueue("slurm", JobOptions(memory_GB=0.03), poll_s=10.0)
        scheduler = queue.scheduler
        cpu, start = cpu_s(), time.monotonic()
        with ThreadPoolExecutor(count) as threads:
            for pair in zip(works(count, folder / "go"), places, strict=True):
                threads.submit(queue.label, *pair, None, leave)
            while len(look(scheduler).jobs) < count:
                time.sleep(0.5)
            took = f"{time.monotonic() - start:.0f} s, {cpu_s() - cpu:.1f} s of processor time"
            print(f"{count} jobs submitted       {took}")
            begun = cpu_s()
            time.sleep(for_s)
            print(f"driver, waiting          {1000 * (cpu_s() - begun) / for_s:.1f} ms of processor time per s")
            leave.set()
        scheduler.cancel([job for _, job in look(scheduler).jobs.values()])


def cpu_s() -> float:
    """Processor time of this process and of the commands it has run and waited for, s."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("slurm", "dask", "queue"))
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--per-worker", type=int, default=25, help="labels side by side in one Dask worker")
    arguments = parser.parse_args()
    if arguments.engine == "queue":
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            watch(Path(name), arguments.labels)
        return
    engine = {"slurm": on_slurm, "dask": on_dask}[arguments.engine]
    print(f"{arguments.engine}: {os.cpu_count()} CPU cores")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        engine(Path(name), arguments.labels, arguments.per_worker) as compute,
    ):
        measure(compute, Path(name), arguments.labels)


if __name__ == "__main__":
    main()
