"""From diffusion coefficients to conductivity: Nernst-Einstein, the Arrhenius line, its value at room temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from ase.units import _e, _k, kB
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.stats import chi2

#: A line through two points always fits: three are the least that can contradict it.
LEAST_TEMPERATURES = 3
#: The chance of points scattering this much about a line, given their errors, below which it is none.
LEAST_PROBABILITY = 0.01
#: One-sided 95 % of a normal distribution, in standard errors.
ONE_SIDED_95 = 1.645
ROOM_K = 300.0


def nernst_einstein_mS_per_cm(
    d_cm2_per_s: float, ions: int, volume_A3: float, temperature_K: float, charge_e: float = 1.0
) -> float:
    """Conductivity σ = n z^2 e^2 D / (V k T) in mS/cm, ions taken to move independently (Haven ratio 1)."""
    per_cm3 = ions / (volume_A3 * 1e-24)
    siemens_per_cm = per_cm3 * (charge_e * _e) ** 2 * d_cm2_per_s / (_k * temperature_K)
    # With D in cm^2/s and n in 1/cm^3, C^2 / (cm s J) is S/cm.
    return float(1000 * siemens_per_cm)


class ArrheniusVerdict(StrEnum):
    """Only ARRHENIUS comes with an activation energy."""

    ARRHENIUS = "Arrhenius"
    TOO_FEW = "too few temperatures"
    SCATTERED = "not Arrhenius"
    FALLING = "not activated"


@dataclass(frozen=True)
class Point:
    """ln of D (cm^2/s) with its standard error at one temperature."""

    temperature_K: float
    d_cm2_per_s: float
    ln_d_error: float


class Arrhenius(BaseModel):
    """D = D0 exp(-Ea / kT) through several temperatures.

    Attributes:
        ea_eV, ea_error_eV: activation energy and standard error; None unless the verdict is `Arrhenius`.
        ln_d0, ln_d0_error: of D0 in cm^2/s.
        covariance: of (ln D0, Ea), so that the line's error can be drawn at any temperature.
        d_room_cm2_per_s, sigma_room_mS_per_cm: extrapolated to `room_K`; the true value is within a factor of
            exp(ln_sigma_room_error) of it with 68 %.
        probability: of a scatter at least this large, given the errors (chi-squared).
    """

    verdict: ArrheniusVerdict
    reason: str = ""
    temperatures_K: list[float]
    ea_eV: float | None = None
    ea_error_eV: float | None = None
    ln_d0: float | None = None
    ln_d0_error: float | None = None
    covariance: list[list[float]] | None = None
    probability: float | None = None
    room_K: float = ROOM_K
    d_room_cm2_per_s: float | None = None
    sigma_room_mS_per_cm: float | None = None
    ln_sigma_room_error: float | None = None

    def ln_d(self, temperature_K: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ln D (cm^2/s) of the line and its standard error at temperatures."""
        assert self.ln_d0 is not None and self.ea_eV is not None and self.covariance is not None  # noqa: PT018
        gradient = np.stack([np.ones_like(temperature_K), -1 / (kB * temperature_K)])
        variance = np.einsum("it,ij,jt->t", gradient, np.array(self.covariance), gradient)
        return gradient.T @ np.array([self.ln_d0, self.ea_eV]), np.sqrt(variance)


def fit_arrhenius(
    points: Sequence[Point], ions: int, volume_A3: float, charge_e: float = 1.0, room_K: float = ROOM_K
) -> Arrhenius:
    """Weighted least squares of ln D against 1/T; errors follow from those of ln D.

    Args:
        ions, volume_A3: mobile ions per cell, for the conductivity at `room_K`.

    Raises:
        ValueError: an error of D that is not positive.
    """
    temperatures = np.array([point.temperature_K for point in points])
    found = Arrhenius(verdict=ArrheniusVerdict.TOO_FEW, temperatures_K=temperatures.tolist(), room_K=room_K)
    distinct = len(np.unique(temperatures))
    if distinct < LEAST_TEMPERATURES:
        return found.model_copy(
            update={"reason": f"{distinct} with a diffusion coefficient; {LEAST_TEMPERATURES} are needed"}
        )
    errors = np.array([point.ln_d_error for point in points])
    if not (errors > 0).all():
        raise ValueError(f"Arrhenius: the errors of ln D must be positive, got {errors.tolist()}")
    ln_d = np.log([point.d_cm2_per_s for point in points])
    design = np.column_stack([np.ones_like(temperatures), -1 / (kB * temperatures)])
    covariance = np.linalg.inv(design.T @ (design / errors[:, None] ** 2))
    ln_d0, ea = covariance @ design.T @ (ln_d / errors**2)
    scatter = (((ln_d - design @ [ln_d0, ea]) / errors) ** 2).sum()
    probability = float(chi2.sf(scatter, len(points) - 2))
    if probability < LEAST_PROBABILITY:
        return found.model_copy(
            update={
                "verdict": ArrheniusVerdict.SCATTERED,
                "probability": probability,
                "reason": f"they scatter about the line more than their errors allow (chance {probability:.1e}): "
                "two regimes, a melting framework, or errors that are too small",
            }
        )
    error = float(covariance[1, 1] ** 0.5)
    if ea <= ONE_SIDED_95 * error:
        most = max(0.0, ea + ONE_SIDED_95 * error)
        reason = (
            f"D does not rise with temperature beyond its error (Ea = {ea:.2f} ± {error:.2f} eV; below {most:.2f} eV "
            "with 95 %)"
        )
        return found.model_copy(
            update={"verdict": ArrheniusVerdict.FALLING, "reason": reason, "probability": probability}
        )
    found = found.model_copy(
        update={
            "verdict": ArrheniusVerdict.ARRHENIUS,
            "ea_eV": float(ea),
            "ea_error_eV": error,
            "ln_d0": float(ln_d0),
            "ln_d0_error": float(covariance[0, 0] ** 0.5),
            "covariance": covariance.tolist(),
            "probability": probability,
        }
    )
    ln_room, ln_error = (float(value[0]) for value in found.ln_d(np.array([room_K])))
    d_room = float(np.exp(ln_room))
    return found.model_copy(
        update={
            "d_room_cm2_per_s": d_room,
            "sigma_room_mS_per_cm": nernst_einstein_mS_per_cm(d_room, ions, volume_A3, room_K, charge_e),
            "ln_sigma_room_error": ln_error,
        }
    )
