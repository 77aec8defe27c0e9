"""Label many orderings side by side: `python benchmarks/label_pool.py IN.extxyz OUT --processes 8 --device cuda`.

Reads orderings (extended XYZ, X for vacant sites; `info["name"]` names a frame), labels them in a pool of worker
processes and appends one label a line to OUT/labels.jsonl. Stop it at any time: what is finished is not repeated,
what was under way goes on from its last band. Prints labels per hour and the share of each stage.

One network fills a small part of a GPU: let several processes share it. On a CPU use one process a core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import ase.io
from ase import Atoms

from calculators.label import Label, Structure, Work
from calculators.pipeline import label_key
from calculators.supervisor import WorkerPool


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orderings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ion", default="Na")
    parser.add_argument("--calculator", default="chgnet")
    parser.add_argument("--settings", type=json.loads, default={"preset": "quick"}, help="as JSON")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--timeout-s", type=float, default=1800)
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    os.environ["IONLOOP_DEVICE"] = arguments.device
    works = [
        Work(
            structure=Structure.from_atoms(frame),
            ion=arguments.ion,
            calculator=arguments.calculator,
            settings=arguments.settings,
            name=str(frame.info.get("name", number)),
        )
        for number, frame in enumerate(ase.io.read(arguments.orderings, ":"))
        if isinstance(frame, Atoms)
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    start, seconds, outcomes = time.perf_counter(), Counter[str](), Counter[str]()
    with (
        WorkerPool(arguments.processes, arguments.threads) as pool,
        ThreadPoolExecutor(arguments.processes) as threads,
        (arguments.out / "labels.jsonl").open("a") as lines,
    ):

        def label(work: Work) -> Label:
            return pool.label(work, arguments.out / label_key(work), arguments.timeout_s)

        jobs = {threads.submit(label, work): work for work in works}
        for done, job in enumerate(as_completed(jobs), 1):
            work, result = jobs[job], job.result()
            lines.write(json.dumps({"name": work.name} | result.model_dump(mode="json")) + "\n")
            lines.flush()
            seconds.update(result.seconds)
            outcomes[result.failure.kind.value if result.failure else "ok"] += 1
            value = f"{result.value_eV:.3f} eV" if result.value_eV is not None else str(result.failure)
            elapsed = time.perf_counter() - start
            print(f"{done}/{len(works)} {work.name}: {value} ({elapsed:.0f} s so far)", flush=True)
    elapsed = time.perf_counter() - start
    total = seconds.pop("total", 0.0) or 1.0
    print(f"{len(works)} labels in {elapsed:.0f} s: {3600 * len(works) / elapsed:.0f} an hour; {dict(outcomes)}")
    print("share of the work:", {stage: f"{spent / total:.0%}" for stage, spent in seconds.most_common()})


if __name__ == "__main__":
    main()
