"""What `ionloop label` does, as plain functions: files in, a label folder out."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import find_mic

from calculators import registry
from calculators.label import FailureKind, Label, Structure, Work
from calculators.labeller import Labeller, NebLabeller
from calculators.neb_label import vacancy
from calculators.path_work import PathEnd, label_path_work
from calculators.pipeline import label_work
from calculators.relax import Progress, silent
from calculators.structures import read_frames, read_structure, split
from calculators.supervisor import WorkerPool

#: A cell shorter than this would let the moving ion meet its own image; it is repeated (Å).
MIN_CELL_A = 8.0


def label_structure(
    structure: str | Path,
    ion: str,
    calculator: str,
    out: str | Path,
    settings: dict[str, Any] | None = None,
    progress: Progress = silent,
    limit_s: float | None = None,
) -> Label:
    """Percolating E_b of a structure file (`ionloop label STRUCTURE --ion Na --calculator chgnet --out DIR`).

    Vacant sites are atoms of the element X in the file. A structure without any is repeated until no cell
    vector is shorter than 8 Å and gets one vacancy, which the label's name says.

    Args:
        limit_s: compute in a supervised worker process, which is ended after this time (s); None: in this process.

    Raises:
        FileNotFoundError, ValueError: unreadable or senseless input, in one line.
    """
    atoms = read_structure(structure)
    split(atoms, ion)  # says what is wrong before anything is computed
    labeller = able(calculator)
    check_writable(Path(out))
    name = Path(structure).stem
    if isinstance(labeller, NebLabeller) and not (atoms.numbers == 0).any():
        atoms = vacancy(large_enough(with_site_names(atoms)), ion)
        name += " with one vacancy made"
    work = Work(
        structure=Structure.from_atoms(atoms),
        ion=ion,
        calculator=calculator,
        settings=settings or {},
        name=name,
    )
    if limit_s is None:
        return label_work(work, out, progress)
    with WorkerPool(threads=os.cpu_count() or 1) as pool:
        return pool.label(work, out, limit_s, progress)


def able(calculator: str) -> Labeller:
    """The labeller of this name.

    Raises:
        ValueError: there is none, or it cannot run here; the message says what to do.
    """
    labeller = registry.find(calculator)
    if (problem := labeller.unavailable()) is not None:
        raise ValueError(f"calculator '{calculator}' cannot run here: {problem}")
    return labeller


def label_path(
    initial: str | Path,
    final: str | Path,
    calculator: str,
    out: str | Path,
    *,
    band: Sequence[str | Path] = (),
    settings: dict[str, Any] | None = None,
    progress: Progress = silent,
    limit_s: float | None = None,
) -> Label:
    """Barrier between two states (`ionloop label --initial A --final B [--images N | --band FILES] ...`).

    Both ends are relaxed in the given cell. `settings` are the NEB settings (images, fmax_eV_per_A, ...).

    Args:
        band: files of the images, in order, each of one or several; the end points may be among them and are
            left out. By default images are interpolated.
        limit_s: as in `label_structure`.

    Raises:
        FileNotFoundError, ValueError: unreadable or senseless input, in one line.
    """
    labeller = able(calculator)
    if not isinstance(labeller, NebLabeller):
        raise ValueError(f"calculator '{calculator}' gives no energies and forces: a path needs them")
    start, end = read_structure(initial), read_structure(final)
    interior = _interior([image for path in band for image in read_frames(path)], start, end)
    given = dict(settings or {})
    if interior and given.setdefault("images", len(interior)) != len(interior):
        raise ValueError(f"--images says {given['images']}, but --band has {len(interior)} between the end points")
    work = Work(
        structure=Structure.from_atoms(start),
        ion=str(start.symbols[_moved_atom(start, end)]),
        calculator=calculator,
        settings=labeller.settings(given),
        name=f"{Path(initial).stem} to {Path(final).stem}",
    )
    to = PathEnd(final=Structure.from_atoms(end), band=[Structure.from_atoms(image) for image in interior])
    check_writable(Path(out))
    if limit_s is None:
        return label_path_work(work, to, out, progress)
    with WorkerPool(threads=os.cpu_count() or 1) as pool:
        return pool.label(work, out, limit_s, progress, to)


def check_writable(folder: Path) -> None:
    """Make the folder, before anything is computed for it.

    Raises:
        ValueError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ValueError(f"out: cannot write to {folder} ({error.strerror}); choose another folder") from None


def _interior(images: list[Atoms], start: Atoms, end: Atoms, tolerance_A: float = 0.15) -> list[Atoms]:
    """The images without the end points, which a band as ASE writes it holds too, perhaps relaxed.

    An end point is told by where the moving atom is; between images it goes further than the tolerance.
    """

    def at(image: Atoms, place: Atoms) -> bool:
        if len(image) != len(place):
            return False  # and is refused with the end points' composition
        atom = _moved_atom(start, end)
        return bool(find_mic(image.positions[atom] - place.positions[atom], place.cell)[1] < tolerance_A)

    inner = images[1:] if images and at(images[0], start) else images
    return inner[:-1] if inner and at(inner[-1], end) else inner


def _moved_atom(initial: Atoms, final: Atoms) -> int:
    from calculators.neb import unwrapped

    return int(np.linalg.norm(unwrapped(initial, final).positions - initial.positions, axis=1).argmax())


def large_enough(atoms: Atoms, minimum_A: float = MIN_CELL_A) -> Atoms:
    """Repeat a cell until none of its vectors is shorter than `minimum_A`."""
    repeats = np.ceil(minimum_A / atoms.cell.lengths() - 1e-9).astype(int)
    return make_supercell(atoms, np.diag(repeats)) if (repeats > 1).any() else atoms


def with_site_names(atoms: Atoms, symprec_A: float = 0.01) -> Atoms:
    """Name sites by symmetry where nobody has: Na1, Na2, ... for the inequivalent sodium sites (spglib)."""
    if "site" in atoms.arrays:
        return atoms
    import spglib

    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    data = spglib.get_symmetry_dataset(cell, symprec=symprec_A)
    orbits = data.equivalent_atoms if data is not None else np.arange(len(atoms))
    order: dict[str, list[int]] = {}
    labels = []
    for symbol, orbit in zip(atoms.get_chemical_symbols(), orbits.tolist(), strict=True):
        seen = order.setdefault(symbol, [])
        if orbit not in seen:
            seen.append(orbit)
        labels.append(f"{symbol}{seen.index(orbit) + 1}")
    atoms = atoms.copy()
    atoms.set_array("site", np.array(labels))
    return atoms


def exit_code(label: Label) -> int:
    """0 for a value, 2 for senseless input, 1 for any other failure: what the command should return."""
    if label.ok:
        return 0
    assert label.failure is not None
    return 2 if label.failure.kind is FailureKind.INVALID and not label.failure.stage else 1
