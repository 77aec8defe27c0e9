"""A trajectory as displacements: mobile ions and framework apart, unwrapped, without the framework's drift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.trajectory import TrajectoryReader
from numpy.typing import NDArray


@dataclass(frozen=True)
class Displacements:
    """Where everything went.

    Attributes:
        ion: symbol of the mobile ion.
        frame_ps: time between frames.
        mobile_A: (n_frames, n_ions, 3) displacement of each mobile ion from its place in the trajectory's very first
            frame, which for `calculators.md` is the relaxed structure.
        framework_A: (n_frames, n_framework, 3) the same for all other atoms.
        framework: (n_framework,) their symbols.
        volume_A3: of the cell.

    The framework's mean displacement is taken out of both at every frame: what moves as a whole does not diffuse.
    """

    ion: str
    frame_ps: float
    mobile_A: NDArray[np.float64]
    framework_A: NDArray[np.float64]
    framework: list[str]
    volume_A3: float

    @property
    def length_ps(self) -> float:
        return (len(self.mobile_A) - 1) * self.frame_ps


def displacements(frames: Iterable[Atoms], ion: str, frame_ps: float, skip: int = 0) -> Displacements:
    """Displacements over frames of one fixed cell. Wrapped or not: between frames no atom moves half a cell.

    Args:
        skip: leading frames (equilibration) that are left out; displacements are still from the very first one.

    Raises:
        ValueError: fewer than two frames, no mobile ion, or atoms that change.
    """
    positions: list[NDArray[np.float64]] = []
    first: Atoms | None = None
    for frame in frames:
        if first is None:
            first = frame
        if len(frame) != len(first) or (frame.numbers != first.numbers).any():
            raise ValueError(f"trajectory: frame {len(positions)} does not hold the atoms of the first one")
        positions.append(frame.positions)
    if first is None or len(positions) - skip < 2:
        length_ps = max(len(positions) - 1, 0) * frame_ps
        raise ValueError(
            f"trajectory: {length_ps:g} ps, of which {skip * frame_ps:g} ps are equilibration: "
            "displacements need at least two frames"
        )
    mobile = first.symbols == ion
    if not mobile.any():
        raise ValueError(f"trajectory: no mobile ion {ion} in {first.get_chemical_formula()}")
    steps = np.diff(np.array(positions), axis=0)
    fractional = steps @ np.linalg.inv(first.cell.array)
    steps -= np.round(fractional) @ first.cell.array
    moved = np.concatenate([np.zeros((1, len(first), 3)), np.cumsum(steps, axis=0)])
    if not mobile.all():
        moved -= moved[:, ~mobile].mean(axis=1, keepdims=True)
    moved = moved[skip:]
    return Displacements(
        ion=ion,
        frame_ps=frame_ps,
        mobile_A=moved[:, mobile],
        framework_A=moved[:, ~mobile],
        framework=[str(symbol) for symbol in first.symbols[~mobile]],
        volume_A3=float(first.cell.volume),
    )


def read_displacements(path: Path, ion: str, skip_ps: float = 0.0) -> Displacements:
    """Displacements of a trajectory of `calculators.md`, its first `skip_ps` left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see `displacements`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"trajectory: no such file: {path}")
    with TrajectoryReader(path) as trajectory:
        count = len(trajectory)
        if count < 2:
            raise ValueError(f"trajectory: {path} holds {count} frames; displacements need at least two")
        frame_ps = (trajectory[1].info["time_fs"] - trajectory[0].info["time_fs"]) / 1000
        return displacements(iter(trajectory), ion, frame_ps, round(skip_ps / frame_ps))
