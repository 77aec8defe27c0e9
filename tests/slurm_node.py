"""A real Slurm of one node for tests and benchmarks (tests/calculators/slurm_one_node.sh)."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).parent / "calculators" / "slurm_one_node.sh"
MISSING = not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))) or os.geteuid() != 0
needs_slurm = pytest.mark.skipif(MISSING, reason="needs root and Debian's slurmctld, slurmd, slurm-client and munge")


@contextmanager
def slurm_node(folder: Path, cpus: int | None = None) -> Iterator[Path]:
    """Slurm for the length of the block, found through SLURM_CONF; `cpus` may be more than the machine has."""
    told = os.environ | ({"SLURM_NODE_CPUS": str(cpus)} if cpus else {})
    done = subprocess.run(["bash", str(SCRIPT), str(folder)], capture_output=True, text=True, check=False, env=told)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        yield folder
    finally:
        _empty_the_queue()
        pids = [int((folder / f"{name}.pid").read_text()) for name in ("slurmctld", "slurmd")]
        daemons = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        for daemon in daemons:
            daemon.terminate()
        psutil.wait_procs(daemons, timeout=30)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def _empty_the_queue(limit_s: float = 20.0) -> None:
    """No job outlives its node: it would report to the next, which listens at the same port and has a job 1 too."""
    user, until = f"--user={getpass.getuser()}", time.monotonic() + limit_s
    subprocess.run(["scancel", user], check=False, capture_output=True)
    while time.monotonic() < until:
        left = subprocess.run(["squeue", "-h"], check=False, capture_output=True, text=True)
        if left.returncode or not left.stdout.strip():
            return
        time.sleep(0.5)
