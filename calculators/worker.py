"""A worker process: `python -m calculators.worker` reads works as JSON lines and answers with events and
labels.

Requests on standard input:   {"work": {...}, "folder": "..."}, with "to": {...} for a path to a given state
Answers on its first output:  {"event": {...}} any number of times, then {"label": {...}} or {"error": "..."}

The worker ends by itself when its parent has gone (a driver killed with SIGKILL leaves no orphan) or when it
has grown beyond its memory limit. Everything that libraries print goes to standard error.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

#: Seconds between looks at the parent and at the memory in use.
WATCH_S = 0.5
#: Exit status of a worker that outgrew its memory limit.
OUT_OF_MEMORY = 70


def resident_gb() -> float:
    """Memory in use by this process (GB); 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def watch(parent: int, memory_gb: float) -> None:
    """End the process when the parent is gone or memory runs over; runs in a thread of its own."""
    while True:
        if os.getppid() != parent:
            os._exit(0)
        if resident_gb() > memory_gb:
            print(f"worker: more than {memory_gb:g} GB in use", file=sys.stderr, flush=True)
            os._exit(OUT_OF_MEMORY)
        time.sleep(WATCH_S)


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until the input ends."""
    from calculators.label import Work
    from calculators.path_work import PathEnd, label_path_work
    from calculators.pipeline import label_work

    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    def report(event: dict[str, Any]) -> None:
        send({"event": event})

    for line in requests:
        request = json.loads(line)
        try:
            work = Work.model_validate(request["work"])
            if "to" in request:
                label = label_path_work(work, PathEnd.model_validate(request["to"]), request["folder"], report)
            else:
                label = label_work(work, request["folder"], report)
        except ValueError as error:
            send({"error": str(error)})
        else:
            send({"label": label.model_dump(mode="json")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="process id of the driver")
    parser.add_argument("--threads", type=int, default=1, help="threads a calculator may use")
    parser.add_argument("--memory-gb", type=float, default=float("inf"), help="end when using more than this")
    arguments = parser.parse_args()
    faulthandler.enable()
    # Answers go to a copy of the first output; whatever a library prints must not end up between them.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=watch, args=(arguments.parent, arguments.memory_gb), daemon=True).start()
    limit_threads(arguments.threads)
    serve(sys.stdin, answers)


def limit_threads(threads: int) -> None:
    """Tell a torch that gets imported later how many threads to use."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["MKL_NUM_THREADS"] = str(threads)


if __name__ == "__main__":
    main()
