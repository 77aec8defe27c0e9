"""What a campaign costs beside its labels, and how that grows: results and their reading in docs/scale.md.

    python -m benchmarks.ledger_scale overhead  [--labels 1000] [--url postgresql+psycopg://...] [--prefect]
    python -m benchmarks.ledger_scale stage     [--labels 1000]
    python -m benchmarks.ledger_scale looks     [--labels 10000] [--url ...]
    python -m benchmarks.ledger_scale campaigns [--labels 100] [--url ...] [--campaigns 10]

`overhead` runs a whole campaign in rounds of 100 labels (or `--streaming`) with a calculator that answers at once,
in one worker process. The overhead of a label is the wall time per label of a round less the time that the label
was with its worker, as the ledger has it. `stage` plays labels with nothing in them on Prefect's stage: what
Prefect alone costs. `looks` fills a ledger and times the commands that read it, as a person starts them.
`campaigns` lets so many processes write their labels into one database as fast as it takes them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from agent.ledger import Ledger, NewProposal, Ranked
from agent.schema import AttemptRow, LabelRow, ProposalRow
from calculators.label import Hop, Label
from flows.config import Config, parse_config
from tests.flows.toy import HOST

ROOT = Path(__file__).resolve().parents[1]
ROUND = 100
#: Of the toy host's nickel, with their valences: a space of thousands of compositions.
DOPANTS = {
    "Al": 3,
    "Pd": 2,
    "Pt": 2,
    "Ag": 1,
    "Sc": 3,
    "Mg": 2,
    "Y": 3,
    "Zn": 2,
    "Ga": 3,
    "Ca": 2,
    "In": 3,
    "Cd": 2,
    "Sr": 2,
    "La": 3,
    "Mn": 2,
    "Sm": 3,
}


def configuration(folder: Path, labels: int, url: str | None, prefect: bool, mode: str = "rounds") -> Config:
    """A campaign of so many labels that chooses at random, so that little but the labels takes time."""
    valences = ", ".join(f"{element} = [{valence}]" for element, valence in DOPANTS.items())
    wide = re.sub(r"valences = {.*}", f"valences = {{ {valences} }}", HOST).replace('name = "toy"', 'name = "wide"')
    (folder / "wide.toml").write_text(wide)
    return parse_config(
        {
            "campaign": {"name": "scale", "host": str(folder / "wide.toml"), "folder": str(folder), "batch": ROUND},
            "space": {
                "candidates": list(DOPANTS),
                "generator": {"kind": "proportions", "types": [], "sites": [[4, 2, 1, 1], [3, 2, 2, 1]]},
                "filters": [{"name": "charge-balance", "window": [1.0, 2.0]}],
            },
            "clusters": {"groups": 8},
            "loop": {"mode": mode},
            "pretrain": {"labels": 0},
            "acquisition": {"strategy": "random"},
            "label": {"calculators": ["benchmarks.instant:Instant"], "workers": 1},
            "model": {"kind": "forest", "members": 2},
            "stopping": {"max_labels": labels},
            "ledger": {"url": url},
            "prefect": {"enabled": prefect},
        }
    )


def overhead(labels: int, url: str | None, prefect: bool, mode: str) -> None:
    """Run the campaign and print the overhead per label of each round."""
    from flows.found import ledger_target
    from flows.server import quiet_prefect
    from flows.session import run_campaign

    quiet_prefect()  # as the command line does
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(folder, labels, url, prefect, mode)
        with (folder / "output.txt").open("w") as output, _Watch() as watch:
            start = time.perf_counter()
            run_campaign(config, Console(file=output))
            wall = time.perf_counter() - start
        ledger = Ledger.open(ledger_target(url, config.folder))
        title = f"{'PostgreSQL' if url else 'SQLite'}, {'Prefect' if prefect else 'no Prefect'}, {mode}"
        _print_rounds(ledger, title, watch)
        ledger.close()
        print(f"whole campaign, with retraining and report: {wall:.0f} s for {labels} labels")
        used = (f"{who} {1e3 * seconds / labels:.0f}" for who, seconds in watch.cpu_s.items())
        print(f"processor time per label, ms, with retraining and report: {', '.join(used)}")
        print(f"driver memory, MB, at ten moments: {' '.join(f'{m:.0f}' for m in _thinned(watch.memory_MB, 10))}")
        print(f"driver threads at the end: {watch.threads}")


def _print_rounds(ledger: Ledger, title: str, watch: _Watch) -> None:
    rounds: dict[int, list[tuple[float, float, float]]] = {}
    numbers = {proposal.id: proposal.round for proposal in ledger.proposals("scale")}
    for attempt in ledger.attempts("scale"):
        assert attempt.ended is not None
        times = (attempt.started.timestamp(), attempt.ended.timestamp(), attempt.seconds or 0.0)
        rounds.setdefault(numbers[attempt.proposal], []).append(times)
    table = Table(title=title, title_justify="left")
    for column in ("round", "labels", "wall per label, ms", "with the worker, ms", "overhead, ms", "processors, ms"):
        table.add_column(column, justify="right")
    beside = []
    for number, members in sorted(rounds.items()):
        start, end, seconds = np.array(members).T
        wall, inside = (end.max() - start.min()) / len(members) * 1e3, seconds.mean() * 1e3
        beside.append(wall - inside)
        used = 1e3 * watch.used_s(start.min(), end.max()) / len(members)
        figures = (f"{milliseconds:.1f}" for milliseconds in (wall, inside, beside[-1], used))
        table.add_row(str(number), str(len(members)), *figures)
    Console(width=100).print(table)
    print(f"overhead per label: mean {np.mean(beside):.1f} ms, first round {beside[0]:.1f}, last {beside[-1]:.1f} ms")


class _Watch:
    """Samples this process and its children every second while the block runs."""

    def __enter__(self) -> _Watch:
        self.memory_MB: list[float] = []  # resident, of this process
        self.threads = 0
        self._sums: list[tuple[float, float]] = []  # at a time, what all had used by then (s)
        self._cpu_s: dict[tuple[str, int], float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._done.wait(1.0):
            self.memory_MB.append(me.memory_info().rss / 1e6)
            self.threads = me.num_threads()
            for process in (me, *me.children(recursive=True)):
                try:
                    line, used = process.cmdline(), _cpu_s(process)
                except psutil.NoSuchProcess:
                    continue
                who = "driver" if process == me else "Prefect server" if "server" in line else "worker"
                self._cpu_s[who, process.pid] = used
            self._sums.append((time.time(), sum(self._cpu_s.values())))

    def used_s(self, start: float, end: float) -> float:
        """Processor time of all processes between two times of the clock, s."""
        at, sums = np.array(self._sums).T
        return float(np.diff(np.interp([start, end], at, sums))[0])

    @property
    def cpu_s(self) -> dict[str, float]:
        """Processor time by what used it, s."""
        sums: dict[str, float] = defaultdict(float)
        for (who, _), seconds in self._cpu_s.items():
            sums[who] += seconds
        return sums

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def stage(labels: int) -> None:
    """Prefect's share: what the driver waits for and what driver and server compute, per label, by the hundred."""
    from flows.server import local_server, quiet_prefect

    quiet_prefect()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.stage import PrefectStage, crew, current_run_id, elsewhere, tell

    def label() -> None:
        current_run_id()
        tell("Na3Zr2Si2PO12 by instant, because: drawn at random; ledger id 7, folder labels/0123456789abcdef")
        tell("Na3Zr2Si2PO12: 0.300 eV; ledger id 7, folder labels/0123456789abcdef")

    with local_server() as server, temporary_settings({PREFECT_API_URL: server.api_url}):
        shown = PrefectStage(server.api_url, "scale", lambda: None)
        processes = psutil.Process(), psutil.Process(server.pid)

        def hundred(first: int) -> None:
            start, before = time.perf_counter(), [_cpu_s(process) for process in processes]
            with crew(1) as threads:
                played = [
                    elsewhere(threads, shown.step, "label", f"label {i}", label, ("round 1", f"ledger id {i}"))
                    for i in range(first, first + ROUND)
                ]
                for one in played:
                    one.result()
            wall = time.perf_counter() - start
            time.sleep(5.0)  # the server works on what it was told
            driver, there = (_cpu_s(process) - was for process, was in zip(processes, before, strict=True))
            waited, used = 1e3 * wall / ROUND, f"driver {1e3 * driver / ROUND:.0f}, server {1e3 * there / ROUND:.0f}"
            print(
                f"labels {first} to {first + ROUND - 1}: waited {waited:.0f} ms each; processor, ms: {used}",
                flush=True,
            )

        def rounds() -> None:
            for first in range(0, labels, ROUND):
                shown.flow(f"round {first // ROUND + 1}", partial(hundred, first), "round")

        shown.flow("scale", rounds, "campaign")


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


def _thinned(values: Sequence[float], most: int) -> list[float]:
    return [values[i] for i in np.linspace(0, len(values) - 1, min(most, len(values))).astype(int)]


def looks(labels: int, url: str | None, repeats: int = 5) -> None:
    """Fill a ledger and time `status`, `history` and `rank`, each in a process of its own.

    CPU time stands beside wall time: on a machine that has other things to do it is the one to compare.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "scale"
        ledger = Ledger.open(url or folder / "ledger.sqlite")
        fill_in_bulk(ledger, labels)
        ledger.close()
        stored = {"campaign": {"name": "scale"}, "ledger": {"url": url}}
        (folder / "config.json").write_text(json.dumps(stored))
        for command in ("status", "history", "rank"):
            wall, cpu = zip(*(_timed(command, folder) for _ in range(repeats)), strict=True)
            least = f"{min(wall):.2f} s wall, {min(cpu):.2f} s CPU"
            print(f"ionloop {command:8} at {labels} labels: least of {repeats}: {least}", flush=True)


def _timed(command: str, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one command, from its start to its end."""
    line = [sys.executable, "-c", "from flows.cli import main; main()", command, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
    start = time.perf_counter()
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def fill_in_bulk(ledger: Ledger, labels: int) -> None:
    """A finished campaign of so many synthetic labels with two hops each, in rounds of 100, and its ranking."""
    rng = np.random.default_rng(0)
    ledger.create_campaign("scale", "nzsp", "chgnet-neb", 0, {"campaign": {"batch": ROUND}})
    path = np.linspace(0.0, 0.3, 7).tolist()
    hop = Hop(atom=1, target_A=[1.0, 2.0, 3.0], length_A=3.4, path_A=path, path_eV=path)
    data = Label(key="x", fidelity="chgnet-neb", value_eV=0.3, hops=[hop, hop], force_calls=340).model_dump(
        mode="json"
    )
    values = rng.normal(0.3, 0.05, labels)
    for number in range(1, labels // ROUND + 1):
        ledger.begin_round("scale", number, [], f"round {number}: proposed {ROUND}")
    with ledger.transaction() as session:
        proposals, rows, attempts = [], [], []
        for i, value in enumerate(values):
            key, now = f"{i:032x}", datetime(2026, 1, 1) + timedelta(minutes=i)
            made = {"composition": f"nzsp:Sn{i % 8}+4.Zr{8 - i % 8}+4:12", "ordering": i // 8, "created": now}
            asked = {"campaign": "scale", "round": i // ROUND + 1, "rank": i % ROUND, "formula": f"Na3Sn{i}Si2PO12"}
            thought = {
                "cluster": i % 20,
                "mean_eV": float(value) + 0.01,
                "sigma_eV": 0.02,
                "score": 0.0,
                "reason": "LCB",
            }
            ends = {"id": i + 1, "label_key": key, "calculator": "chgnet"}
            proposals.append(made | asked | thought | ends | {"state": "labelled"})
            label = {"key": key, "fidelity": "chgnet-neb", "value_eV": float(value), "converged": True}
            rows.append(made | label | {"data": data | {"key": key, "value_eV": float(value)}})
            times = {"started": now, "ended": now + timedelta(seconds=90), "seconds": 90.0}
            attempts.append(ends | times | {"proposal": i + 1, "state": "succeeded"})
        for table, content in ((ProposalRow, proposals), (LabelRow, rows), (AttemptRow, attempts)):
            session.execute(insert(table), content)
    best = [
        Ranked(f"nzsp:{i}", f"Na3Sn{i}Si2PO12", i % 20, 0.2 + i * 1e-4, 0.02, "prediction", 1) for i in range(1000)
    ]
    last = labels // ROUND
    for number in range(1, last + 1):
        ledger.finish_round(
            "scale", number, {"mae_eV": 0.05}, best if number == last else [], f"round {number}: retrained"
        )


def campaigns(number: int, labels: int, url: str | None) -> None:
    """So many campaigns on one ledger, each in a process of its own and with nothing to do but to write labels."""
    with tempfile.TemporaryDirectory() as name:
        target = url or str(Path(name) / "ledger.sqlite")
        Ledger.open(target).close()
        start = time.perf_counter()
        with ProcessPoolExecutor(number, mp_context=get_context("spawn")) as processes:
            took = list(processes.map(_write_labels, range(number), [target] * number, [labels] * number))
        wall = time.perf_counter() - start
        ledger = Ledger.open(target)
        kept = [len(ledger.labels(f"campaign-{i}")) for i in range(number)]
        ledger.close()
    assert kept == [labels] * number, kept
    each = np.concatenate(took) * 1e3
    print(f"{number} campaigns of {labels} labels on {'PostgreSQL' if url else 'SQLite'}: all kept, {wall:.1f} s")
    print(f"bookkeeping per label: median {np.median(each):.1f} ms, 99 % within {np.percentile(each, 99):.0f} ms")


def _write_labels(campaign: int, target: str, labels: int) -> list[float]:
    """Seconds that the ledger takes for each label: its proposal, the start of the attempt and its end."""
    ledger, name = Ledger.open(target), f"campaign-{campaign}"
    ledger.create_campaign(name, "nzsp", "toy", campaign, {})
    took = []
    for i in range(labels):
        key = f"{campaign:016x}{i:016x}"
        asked = NewProposal(f"nzsp:{campaign}.{i}", f"Na3Sn{i}", 0, "toy", key, "benchmark")
        start = time.perf_counter()
        ledger.begin_round(name, i + 1, [asked], "one label")
        (proposal,) = ledger.proposals(name, round=i + 1)
        attempt = ledger.start_attempt(proposal.id, key, "toy", "")
        ledger.finish_attempt(attempt, Label(key=key, fidelity="toy", value_eV=0.3, converged=True))
        took.append(time.perf_counter() - start)
    ledger.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "stage", "looks", "campaigns"])
    parser.add_argument("--labels", type=int)
    parser.add_argument("--url", help="of an empty PostgreSQL database; default: SQLite")
    parser.add_argument("--prefect", action="store_true", help="show the campaign on a local Prefect server")
    parser.add_argument("--streaming", action="store_true", help="the next proposal as soon as a label lands")
    parser.add_argument("--campaigns", type=int, default=10, help="of `campaigns`: how many at a time")
    given = parser.parse_args()
    if given.what == "looks":
        looks(given.labels or 10_000, given.url)
    elif given.what == "stage":
        stage(given.labels or 1000)
    elif given.what == "campaigns":
        campaigns(given.campaigns, given.labels or 100, given.url)
    else:
        overhead(given.labels or 1000, given.url, given.prefect, "streaming" if given.streaming else "rounds")


if __name__ == "__main__":
    main()
