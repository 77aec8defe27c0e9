"""A real Slurm of one node for tests and benchmarks (tests/calculators/slurm_one_node.sh)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        for daemon in ("slurmctld", "slurmd"):
            os.kill(int((folder / f"{daemon}.pid").read_text()), signal.SIGTERM)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before
