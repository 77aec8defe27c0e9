"""What Prefect's DaskTaskRunner costs a label: the same labels on the same Dask workers, with it and without.

    python -m benchmarks.dask_labels --labels 80

Labels sleep for 50 ms, each in its own folder; 4 local workers of 2 labels each, whose processes are warm before
anything is measured. Processor time is that of the driver, the Dask workers and their label processes.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import psutil
from ase.build import bulk

from calculators.dask_cluster import DaskCluster, DaskOptions
from calculators.jobs import JobOptions
from calculators.label import Structure, Work
from flows.server import local_server, quiet_prefect
from tests.flows.sleepers import DEAR


def works(first: int, count: int) -> list[Work]:
    structure = Structure.from_atoms(bulk("Cu"))
    settings = [{"seconds": 0.05, "number": number} for number in range(first, first + count)]
    return [Work(structure=structure, ion="Cu", calculator=DEAR, settings=each) for each in settings]


def cpu_s(server: int) -> float:
    """Processor time of this process and all below it but the Prefect server, s."""
    me = psutil.Process()
    there = {process.pid for process in psutil.Process(server).children(recursive=True)} | {server}
    below = [process for process in me.children(recursive=True) if process.pid not in there]
    return sum(sum(process.cpu_times()[:2]) for process in [me, *below])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=80)
    count = parser.parse_args().labels
    quiet_prefect()
    from prefect import flow
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.dask_labels import DaskLabels
    from flows.engines import OnDask
    from flows.stage import crew

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        local_server() as server,
        temporary_settings({PREFECT_API_URL: server.api_url}),
        DaskCluster(DaskOptions(labels_per_worker=2), JobOptions(), 8, 1, Path(name) / "dask") as cluster,
    ):
        engine = OnDask(cluster, DaskLabels(cluster), threading.Event())

        def play(first: int, labels: int) -> None:
            with engine.shown(), crew(16) as threads:
                places = [Path(name) / str(first + i) for i in range(labels)]
                done = list(threads.map(engine.label, works(first, labels), places, [60.0] * labels))
            assert all(label.ok for label in done)

        shown = flow(name="benchmark")(play)
        shown(0, 16)  # warm: processes, imports
        for run, (title, body) in enumerate([("distributed", play), ("DaskTaskRunner", shown)] * 2, start=1):
            cpu, start = cpu_s(server.pid), time.monotonic()
            body(1000 * run, count)
            wall, used = time.monotonic() - start, cpu_s(server.pid) - cpu
            per_label = f"{1000 * wall / count:6.0f} ms wall, {1000 * used / count:6.0f} ms CPU"
            print(f"{title:15s} {count} labels: {per_label} a label")


if __name__ == "__main__":
    main()
