"""A real Grid Engine of one node for tests (tests/calculators/sge_one_node.sh)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).parent / "calculators" / "sge_one_node.sh"
MISSING = not all(map(shutil.which, ("sge_qmaster", "sge_execd", "qsub"))) or os.geteuid() != 0
needs_sge = pytest.mark.skipif(
    MISSING, reason="needs root and Debian's gridengine-master, gridengine-exec and gridengine-client"
)


@contextmanager
def sge_node(folder: Path) -> Iterator[Path]:
    """Grid Engine for the length of the block, found through SGE_ROOT and its ports in the environment."""
    done = subprocess.run(["bash", str(SCRIPT), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    settings = (folder / "settings.sh").read_text().removeprefix("export ").split()
    told = dict(setting.split("=", 1) for setting in settings)
    os.environ.update(told)
    try:
        yield folder
    finally:
        _empty_the_queue()
        pids = [int(path.read_text()) for path in sorted(folder.glob("spool/**/*d.pid"))]
        pids += [int((folder / "spool" / "qmaster" / "qmaster.pid").read_text())]
        daemons = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        for daemon in daemons:
            daemon.terminate()
        psutil.wait_procs(daemons, timeout=30)
        for name in told:
            os.environ.pop(name)


def _empty_the_queue(limit_s: float = 20.0) -> None:
    """No job outlives its node: it would report to the next one, which listens at the same port."""
    subprocess.run(["qdel", "-f", "-u", "root"], check=False, capture_output=True)
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        left = subprocess.run(["qstat"], check=False, capture_output=True, text=True)
        if left.returncode or not left.stdout.strip():
            return
        time.sleep(0.5)
