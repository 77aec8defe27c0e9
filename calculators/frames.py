"""The frames of a label (structures with energies and forces), as a training set for `calculators.finetune`.

With `keep_frames` in the settings (the default of the dear calculators) every optimiser step of a label is
appended to a file in the label's folder `frames/`, one file a stage and attempt. What is taken of them follows Fu et
al. (high-entropy LZSP): of each relaxation the first 10 frames, which are high in energy, and 40 random ones of the
rest; of each path the 10 frames with most ions far from every site.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import ValidationError

from calculators.label import Work
from calculators.relax import Record
from calculators.storage import read_images

#: Where a label's frames lie in its folder, and how files of bands (all other stages relax) end.
FRAMES, BAND = "frames", "neb"
#: An ion further than this from every site is on its way (Å); the paper's.
ON_THE_WAY_A = 2.5


def recorder(folder: Path, stage: str) -> Record:
    """Appends frames to a new file of this stage in the label's folder.

    A file is never reopened: what a kill cuts off is the last frame of its own attempt.
    """
    frames = folder / FRAMES
    number = sum(1 for _ in frames.glob("*.extxyz"))
    path = frames / f"{number:03d}-{stage}.extxyz"

    def record(images: Sequence[Atoms]) -> None:
        frames.mkdir(parents=True, exist_ok=True)
        ase.io.write(path, list(images), format="extxyz", append=True)

    return record


def read_frames(path: Path) -> list[Atoms]:
    """All frames that are whole: a kill may have cut the last one off."""
    text = path.read_text()
    lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)
    start = 0
    while start < len(lines) and start + int(lines[start]) + 2 <= len(lines):
        start += int(lines[start]) + 2
    found = ase.io.read(io.StringIO("".join(lines[:start])), index=":", format="extxyz") if start else []
    assert isinstance(found, list)
    return found


def relaxation_frames(frames: Sequence[Atoms], first: int = 10, random: int = 40, seed: int = 0) -> list[Atoms]:
    """Of one relaxation: its first frames, high in energy, and random ones of the rest."""
    rest = len(frames) - first
    if rest <= 0:
        return list(frames)
    chosen = np.random.default_rng(seed).choice(rest, min(random, rest), replace=False) + first
    return [*frames[:first], *(frames[index] for index in sorted(chosen))]


def displaced_frames(
    frames: Sequence[Atoms],
    ion: str,
    sites: NDArray[np.float64],
    distance_A: float = ON_THE_WAY_A,
    count: int = 10,
) -> list[Atoms]:
    """Of one trajectory: the frames with most ions further than `distance_A` from every site.

    Of frames with equally many, those whose furthest ion is further: on a short hop no ion ever is 2.5 Å from both
    ends.

    Args:
        sites: (n_sites, 3) fractional coordinates of the mobile sites.
    """
    from ase.geometry import get_distances

    away = []
    for frame in frames:
        ions = frame.positions[frame.symbols == ion]
        _, distances = get_distances(ions, sites @ frame.cell.array, cell=frame.cell, pbc=True)
        nearest = distances.min(axis=1)
        away.append((int((nearest > distance_A).sum()), float(nearest.max())))
    order = sorted(range(len(frames)), key=away.__getitem__)[::-1][:count]
    return [frames[index] for index in sorted(order)]


def label_frames(folder: Path, seed: int = 0) -> list[Atoms]:
    """The selected frames of a label's folder; of one made without `keep_frames`, the states and bands that it kept.

    Raises:
        FileNotFoundError: this is no folder of a label.
        ValueError: its work.json is not readable.
    """
    try:
        work = Work.model_validate_json((folder / "work.json").read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"frames: {folder} is no folder of a label (no work.json)") from None
    except ValidationError as error:
        raise ValueError(f"frames: {folder / 'work.json'} is not readable: {error.errors()[0]['msg']}") from None
    atoms = work.structure.to_atoms()
    sites = atoms.get_scaled_positions()[(atoms.symbols == work.ion) | (atoms.numbers == 0)]
    chosen: list[Atoms] = []
    files = sorted((folder / FRAMES).glob("*.extxyz"))
    for path in files:
        frames = read_frames(path)
        band = path.stem.endswith(BAND)
        chosen += displaced_frames(frames, work.ion, sites) if band else relaxation_frames(frames, seed=seed)
    if not files:
        for path in [*folder.glob("*.extxyz"), *folder.glob("hops/*/*.extxyz")]:
            chosen += [image for image in read_images(path) or [] if image.calc is not None]
    return _distinct(chosen)


def collect_frames(folders: Sequence[Path], seed: int = 0) -> list[Atoms]:
    """The selected frames of all labels below these folders.

    Raises:
        FileNotFoundError: one of the folders holds no label.
        ValueError: the labels hold no frames.
    """
    frames: list[Atoms] = []
    for folder in folders:
        labels = sorted(path.parent for path in folder.rglob("work.json"))
        if not labels:
            raise FileNotFoundError(f"frames: no label (work.json) in {folder}")
        for label in labels:
            frames += label_frames(label, seed)
    if not frames:
        raise ValueError(f"frames: the labels in {', '.join(map(str, folders))} kept no energies and forces")
    return frames


def _distinct(frames: Sequence[Atoms]) -> list[Atoms]:
    """Each structure once: a band's end points stand in several files."""
    seen: dict[bytes, Atoms] = {}
    for frame in frames:
        content = np.concatenate([frame.numbers, frame.positions.ravel(), frame.cell.array.ravel()])
        seen.setdefault(content.round(5).tobytes(), frame)
    return list(seen.values())
