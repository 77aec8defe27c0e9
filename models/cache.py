"""Building many crystal graphs: in several processes, and kept on disk by content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ase import Atoms
from safetensors.numpy import load_file, save_file

from models.crystal import CUTOFF_A, NEIGHBOURS, SHELL_A, Crystal
from models.parallel import cores

#: Change it when graphs change, so that old files are not read.
VERSION = 3
#: Fewer structures than this are built faster than processes start.
PARALLEL_FROM = 400


def content_key(atoms: Atoms, whole_shells: bool) -> str:
    """Hex digest of everything a graph depends on."""
    digest = hashlib.sha256(f"{VERSION} {CUTOFF_A} {NEIGHBOURS} {SHELL_A} {whole_shells}".encode())
    digest.update(np.asarray(atoms.numbers, np.int64).tobytes())
    digest.update(np.asarray(atoms.cell, np.float64).tobytes())
    digest.update(np.asarray(atoms.positions, np.float64).tobytes())
    if "focus" in atoms.arrays:
        digest.update(np.asarray(atoms.arrays["focus"], np.float64).tobytes())
    return digest.hexdigest()[:40]


def build_graphs(
    structures: Sequence[Atoms],
    names: Sequence[str],
    whole_shells: bool = True,
    cache: Path | None = None,
    processes: int = 1,
) -> list[Crystal]:
    """Graphs of structures, in order.

    Args:
        cache: folder in which graphs are kept; created if missing. Files appear by rename, so that several
            processes may share it.
        processes: how many build; 0 is all cores from 400 structures on. Scripts that ask for more than one need
            the usual ``if __name__ == "__main__"``.

    Raises:
        ValueError: as `Crystal.from_atoms`.
    """
    if processes == 0:
        processes = cores() if len(structures) >= PARALLEL_FROM else 1
    jobs = [(atoms, name, whole_shells, cache) for atoms, name in zip(structures, names, strict=True)]
    if processes <= 1:
        return [_load_or_build(job) for job in jobs]
    # Forked children of a process with running threads can hang, spawned ones do not.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_load_or_build, jobs, chunksize=64))


def _load_or_build(job: tuple[Atoms, str, bool, Path | None]) -> Crystal:
    atoms, name, whole_shells, cache = job
    if cache is None:
        return Crystal.from_atoms(atoms, name, whole_shells=whole_shells)
    key = content_key(atoms, whole_shells)
    path = cache / key[:2] / f"{key}.safetensors"
    if path.is_file():
        return Crystal(**load_file(path))
    crystal = Crystal.from_atoms(atoms, name, whole_shells=whole_shells)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    arrays = {field.name: np.ascontiguousarray(getattr(crystal, field.name)) for field in fields(crystal)}
    save_file(arrays, temporary)
    temporary.replace(path)
    return crystal
