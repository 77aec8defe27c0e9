"""Structures and reference data for the tests of `models`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shared_folder() -> Path | None:
    """The reference data beside the checkout, or where IONLOOP_SHARED says."""
    named = os.environ.get("IONLOOP_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    return folder if folder.is_dir() else None


@pytest.fixture
def shared() -> Path:
    folder = shared_folder()
    if folder is None:
        pytest.skip("no reference data: neither ../shared beside the checkout nor IONLOOP_SHARED")
    return folder


@pytest.fixture(scope="session")
def nasicon() -> Atoms:
    """Conventional NASICON cell, all Na sites full, 126 atoms."""
    basis = [(0, 0, 0), (0.6363, 0, 0.25), (0, 0, 0.1456), (0.2904, 0, 0.25)]
    basis += [(0.1820, -0.0278, 0.1945), (0.1890, 0.1697, 0.0864)]
    symbols = ["Na", "Na", "Zr", "Si", "O", "O"]
    return crystal(symbols, basis=basis, spacegroup=167, cellpar=[8.81, 8.81, 22.75, 90, 90, 120])


@pytest.fixture(scope="session")
def rattled() -> list[Atoms]:
    """Crystals of several sizes without symmetry."""
    rng = np.random.default_rng(4)
    found = []
    for symbols, a, repeat in [("NaCl", 5.64, (1, 1, 2)), ("LiF", 4.03, (2, 1, 1)), ("MgO", 4.21, (2, 2, 1))]:
        atoms = bulk(symbols, "rocksalt", a=a) * repeat
        atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
        atoms.set_cell(atoms.cell[:] + rng.normal(0, 0.2, (3, 3)), scale_atoms=True)
        found.append(atoms)
    return found


@pytest.fixture(scope="session")
def decorations(nasicon) -> np.ndarray:
    """(60, 126) NASICON sites with eight dopants on Zr and five Na sites empty."""
    rng = np.random.default_rng(0)
    numbers = np.tile(nasicon.numbers.astype(np.uint8), (60, 1))
    zr, na = np.flatnonzero(nasicon.numbers == 40), np.flatnonzero(nasicon.numbers == 11)
    for row in numbers:
        row[zr] = rng.choice([22, 32, 41, 21, 50, 72, 13, 39], len(zr))
        row[rng.choice(na, 5, replace=False)] = 0
    return numbers
