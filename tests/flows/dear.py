"""A dear calculator that can be down: EMT, which knows these metals, under another name."""

from __future__ import annotations

import os
from pathlib import Path

from ase.calculators.emt import EMT


def dear() -> EMT:
    """Down while the file that DEAR_DOWN names exists: a node without its scratch disk, say."""
    marker = os.environ.get("DEAR_DOWN")
    if marker and Path(marker).exists():
        raise OSError("the dear calculator is down")
    return EMT()


dear.fidelity = "dear-neb"  # type: ignore[attr-defined]
