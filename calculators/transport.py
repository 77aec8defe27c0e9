"""Diffusion coefficient of the mobile ion from a trajectory, with its error, or the reason why there is none.

The mean squared displacement MSD(Δt) is averaged over ions and over all time origins. D is a sixth of its slope in a
window of Δt. The points of an MSD curve are not independent, so a least-squares fit reports errors that are far too
small; the slope and its posterior come from kinisi (McCluskey et al., J. Chem. Theory Comput. 21, 79 (2025), doi
10.1021/acs.jctc.4c01249), which models their covariance.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from calculators.displacements import Displacements

#: Å^2/ps in cm^2/s.
CM2_PER_S = 1e-4


class TransportSettings(BaseModel):
    """How a diffusion coefficient is read off a trajectory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Fu et al. (LZSP): MSD over Δt of 20 to 80 ps of 100 ps. Other lengths: the same shares of the length, ...
    window: tuple[float, float] = (0.2, 0.8)
    # ... but from no shorter Δt than this: below it ions rattle in their cages (a period is 0.1 to 0.3 ps).
    window_from_ps: float = Field(1.0, ge=0)
    # Or a window in ps, which a run must cover.
    window_ps: tuple[float, float] | None = None
    # At the window's end the MSD must have reached the square of a hop's length, or nothing has diffused.
    hop_length_A: float = Field(3.0, gt=0)
    # Exponent of MSD ~ Δt^a in the window: 1 diffuses, 2 flies, 0 rattles.
    exponent: tuple[float, float] = (0.3, 1.7)
    # More than this relative standard error, and only the order of magnitude is known.
    max_relative_error: float = Field(0.5, gt=0)
    lags: int = Field(100, ge=10)  # points of the MSD curve; the fit's cost grows with their square
    seed: int = 0  # of the posterior's samples

    @model_validator(mode="after")
    def _windows_open(self) -> TransportSettings:
        for name, bounds in (("window", self.window), ("window_ps", self.window_ps), ("exponent", self.exponent)):
            if bounds is not None and not 0 <= bounds[0] < bounds[1]:
                raise ValueError(f"{name} = {bounds}: the first must be smaller than the second, and none negative")
        if self.window[1] > 1:
            raise ValueError(f"window = {self.window}: shares of the run's length, at most 1")
        return self


class Verdict(StrEnum):
    """What a trajectory says of diffusion. Only DIFFUSIVE comes with a diffusion coefficient."""

    DIFFUSIVE = "diffusive"
    TOO_SHORT = "run too short"
    NOT_DIFFUSIVE = "not diffusive"
    NOT_LINEAR = "not linear"
    UNCERTAIN = "too uncertain"


class Diffusion(BaseModel):
    """Diffusion of one ion at one temperature.

    Attributes:
        window_msd_A2: mean of the MSD over the window, which is Fu et al.'s target of the SF-MSD model if the run
            takes 100 ps at 1000 K.
        d_cm2_per_s: diffusion coefficient (mean of the posterior) and d_error_cm2_per_s its standard deviation; None
            unless the verdict is `diffusive`. ln_d_error is the standard deviation of its logarithm.
        lag_ps, msd_A2, msd_error_A2: the curve, its error that of the mean over independent displacements.
        fit: slope (Å^2/ps) and intercept (Å^2) of the line in the window, for a plot; None without a fit.
    """

    verdict: Verdict
    reason: str = ""
    ions: int
    length_ps: float
    window_ps: tuple[float, float] | None = None
    window_msd_A2: float | None = None
    exponent: float | None = None
    d_cm2_per_s: float | None = None
    d_error_cm2_per_s: float | None = None
    ln_d_error: float | None = None
    fit: tuple[float, float] | None = None
    lag_ps: list[float] = Field(default_factory=list)
    msd_A2: list[float] = Field(default_factory=list)
    msd_error_A2: list[float] = Field(default_factory=list)


@dataclass(frozen=True)
class MsdCurve:
    """MSD (Å^2) at lags (ps), the variance of each mean (Å^4), and how many independent displacements there are."""

    lag_ps: NDArray[np.float64]
    msd_A2: NDArray[np.float64]
    variance_A4: NDArray[np.float64]
    independent: NDArray[np.float64]

    def part(self, chosen: NDArray[np.bool_]) -> MsdCurve:
        return MsdCurve(*(column[chosen] for column in vars(self).values()))


def msd_curve(mobile_A: NDArray[np.float64], frame_ps: float, lags: int = 100) -> MsdCurve:
    """MSD averaged over ions and all time origins, at up to `lags` evenly spaced lags.

    Displacements over lag Δt overlap; only ions x length / Δt of them count as independent (McCluskey et al. 2025).

    Args:
        mobile_A: (n_frames, n_ions, 3) unwrapped displacements.
    """
    frames, ions = mobile_A.shape[:2]
    # The longest lags have one time origin; a single ion then leaves nothing to take a variance of.
    longest = frames - 1 if ions > 1 else (frames - 1) // 2
    chosen = np.unique(np.linspace(1, longest, lags).astype(int))
    squares = [((mobile_A[lag:] - mobile_A[:-lag]) ** 2).sum(axis=2) for lag in chosen]
    independent = ions * (frames - 1) / chosen
    return MsdCurve(
        lag_ps=chosen * frame_ps,
        msd_A2=np.array([square.mean() for square in squares]),
        variance_A4=np.array([square.var(ddof=1) for square in squares]) / independent,
        independent=independent,
    )


def diffusion(moved: Displacements, settings: TransportSettings | None = None) -> Diffusion:
    """The verdict on a trajectory, and D if it has one.

    Raises:
        ImportError: kinisi is not installed.
    """
    settings = settings or TransportSettings()
    curve = msd_curve(moved.mobile_A, moved.frame_ps, settings.lags)
    found = Diffusion(
        verdict=Verdict.DIFFUSIVE,
        ions=moved.mobile_A.shape[1],
        length_ps=moved.length_ps,
        lag_ps=curve.lag_ps.tolist(),
        msd_A2=curve.msd_A2.tolist(),
        msd_error_A2=np.sqrt(curve.variance_A4).tolist(),
    )
    window = _window_ps(moved.length_ps, settings)
    if window is None:
        return found.model_copy(update={"verdict": Verdict.TOO_SHORT, "reason": _too_short(moved, settings)})
    inside = curve.part((curve.lag_ps >= window[0] - 1e-9) & (curve.lag_ps <= window[1] + 1e-9))
    exponent = float(np.polyfit(np.log(inside.lag_ps), np.log(np.maximum(inside.msd_A2, 1e-12)), 1)[0])
    seen = {"window_ps": window, "window_msd_A2": float(inside.msd_A2.mean()), "exponent": exponent}
    verdict, reason = _judge(inside, exponent, moved.ion, settings)
    if verdict is not Verdict.DIFFUSIVE:
        return found.model_copy(update=seen | {"verdict": verdict, "reason": reason})
    return found.model_copy(update=seen | _fitted(inside, settings))


def _window_ps(length_ps: float, settings: TransportSettings) -> tuple[float, float] | None:
    """Where the line is fitted; None if the run is too short for it."""
    if settings.window_ps is not None:
        return settings.window_ps if length_ps >= settings.window_ps[1] - 1e-9 else None
    low, high = (share * length_ps for share in settings.window)
    low = max(low, settings.window_from_ps)
    return (low, high) if high >= 2 * low else None


def _too_short(moved: Displacements, settings: TransportSettings) -> str:
    if settings.window_ps is not None:
        needed = settings.window_ps[1]
        return f"{moved.length_ps:.2f} ps do not cover the window of {settings.window_ps[0]:g} to {needed:g} ps"
    needed = 2 * settings.window_from_ps / settings.window[1]
    return (
        f"{moved.length_ps:.2f} ps: a window that begins at {settings.window_from_ps:g} ps and doubles Δt needs "
        f"at least {needed:g} ps"
    )


def _judge(inside: MsdCurve, exponent: float, ion: str, settings: TransportSettings) -> tuple[Verdict, str]:
    reached, needed = inside.msd_A2[-1], settings.hop_length_A**2
    if reached < needed:
        return Verdict.NOT_DIFFUSIVE, (
            f"the MSD of {ion} reaches {reached:.2f} Å^2 after {inside.lag_ps[-1]:.1f} ps, less than one hop of "
            f"{settings.hop_length_A:g} Å squared ({needed:.2f} Å^2): run longer or hotter"
        )
    low, high = settings.exponent
    if exponent > high:
        return Verdict.NOT_LINEAR, f"MSD ~ Δt^{exponent:.2f}: faster than diffusion (ballistic, or drifting)"
    if exponent < low:
        return Verdict.NOT_LINEAR, f"MSD ~ Δt^{exponent:.2f}: slower than diffusion (ions go back and forth)"
    return Verdict.DIFFUSIVE, ""


def _fitted(inside: MsdCurve, settings: TransportSettings) -> dict[str, Any]:
    slopes, intercepts = slope_samples(inside, settings.seed)
    d = slopes / 6 * CM2_PER_S
    mean, error = float(d.mean()), float(d.std())
    fit = {"fit": (float(slopes.mean()), float(intercepts.mean())), "ln_d_error": float(np.log(d).std())}
    if error > settings.max_relative_error * mean:
        reason = f"D = ({mean:.1e} ± {error:.1e}) cm^2/s: the error is {error / mean:.0%}; run longer"
        return fit | {"verdict": Verdict.UNCERTAIN, "reason": reason}
    return fit | {"d_cm2_per_s": mean, "d_error_cm2_per_s": error}


def require_kinisi() -> None:
    """Say what to install, before days of dynamics rather than after them.

    Raises:
        ImportError: kinisi is not installed.
    """
    if importlib.util.find_spec("kinisi") is None:
        raise ImportError("diffusion analysis needs kinisi: pip install 'ionloop[transport]'")


def slope_samples(curve: MsdCurve, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posterior samples of slope (Å^2/ps, positive) and intercept (Å^2) of a line through correlated points.

    Raises:
        ImportError: kinisi is not installed.
    """
    require_kinisi()
    import scipp
    from kinisi.diffusion import Diffusion as Regression

    points = scipp.DataArray(
        data=scipp.array(dims=["time interval"], values=curve.msd_A2, variances=curve.variance_A4, unit="angstrom^2"),
        coords={
            "time interval": scipp.array(dims=["time interval"], values=curve.lag_ps, unit="ps"),
            "n_samples": scipp.array(dims=["time interval"], values=curve.independent),
        },
    )
    regression = Regression(scipp.DataGroup(da=points, dimensionality=scipp.scalar(3)))
    before = np.random.get_state()  # noqa: NPY002 - kinisi seeds and uses numpy's global generator
    try:
        regression.bayesian_regression(
            start_dt=scipp.scalar(curve.lag_ps[0] * (1 - 1e-9), unit="ps"),
            n_walkers=16,
            n_burn=200,
            n_samples=600,
            progress=False,
            random_state=np.random.RandomState(seed),
        )
    finally:
        np.random.set_state(before)  # noqa: NPY002
    assert regression.gradient is not None
    assert regression.intercept is not None
    return np.asarray(regression.gradient.values), np.asarray(regression.intercept.values)
