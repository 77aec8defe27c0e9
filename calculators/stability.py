"""Does the framework stay? Its root-mean-square displacement, and the atom that left its site."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from calculators.displacements import Displacements


class StabilitySettings(BaseModel):
    """Beyond which displacement a framework is not the one that was asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Vibration and tilting of rigid polyhedra at 1500 K stay below; a melt passes it within picoseconds.
    rmsd_limit_A: float = Field(1.0, gt=0)
    # How far an atom's mean place over the second half may lie from where it was over the first tenth: less than an
    # O-O distance (2.5 Å), so that an exchange of two oxygen atoms counts.
    shift_limit_A: float = Field(1.5, gt=0)
    # A shorter run is no test of anything.
    least_ps: float = Field(1.0, ge=0)


class Stability(BaseModel):
    """RMSD of the framework against the start of the trajectory (the relaxed structure).

    Attributes:
        stable: True, False, or None where nothing can be said: no framework, or too short a run.
        rmsd_A: mean of the RMSD over the second half of the run; by_element_A the same for each element.
        shift_A: largest move of an atom's mean place, and shifted which atom it is (symbol and its number among the
            framework's atoms).
        time_ps, rmsd_curve_A: the RMSD over time, at up to 500 frames.
    """

    stable: bool | None
    reason: str = ""
    rmsd_A: float | None = None
    by_element_A: dict[str, float] = Field(default_factory=dict)
    shift_A: float | None = None
    shifted: str = ""
    time_ps: list[float] = Field(default_factory=list)
    rmsd_curve_A: list[float] = Field(default_factory=list)


def framework_stability(moved: Displacements, settings: StabilitySettings | None = None) -> Stability:
    """The verdict on a framework's thermal stability over one trajectory."""
    settings = settings or StabilitySettings()
    if not moved.framework:
        return Stability(stable=None, reason=f"no framework: all atoms are {moved.ion}")
    if moved.length_ps < settings.least_ps - 1e-9:
        return Stability(stable=None, reason=f"{moved.length_ps:.2f} ps are too short to judge a framework by")
    squares = (moved.framework_A**2).sum(axis=2)
    half, tenth = len(squares) // 2, max(1, len(squares) // 10)
    rmsd = np.sqrt(squares.mean(axis=1))
    symbols = np.array(moved.framework)
    shifts = np.linalg.norm(moved.framework_A[half:].mean(axis=0) - moved.framework_A[:tenth].mean(axis=0), axis=1)
    worst = int(shifts.argmax())
    final, shift = float(rmsd[half:].mean()), float(shifts[worst])
    reason = ""
    if final > settings.rmsd_limit_A:
        reason = f"the framework's RMSD is {final:.2f} Å, more than {settings.rmsd_limit_A:g} Å"
    elif shift > settings.shift_limit_A:
        reason = f"{symbols[worst]} moved by {shift:.2f} Å to another place"
    shown = np.unique(np.linspace(0, len(rmsd) - 1, 500).astype(int))
    return Stability(
        stable=not reason,
        reason=reason,
        rmsd_A=final,
        by_element_A={
            str(symbol): float(np.sqrt(squares[half:, symbols == symbol].mean())) for symbol in np.unique(symbols)
        },
        shift_A=shift,
        shifted=f"{symbols[worst]} {worst}",
        time_ps=(shown * moved.frame_ps).tolist(),
        rmsd_curve_A=rmsd[shown].tolist(),
    )
