"""How fast a campaign finds what it looks for, and what random choice would have found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flows.acquisitions import Acquisition
from flows.yardsticks import Reference

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Discovery:
    """Progress along the target labels, in the order in which they were proposed."""

    labels: tuple[Acquisition, ...]
    value_eV: Floats
    best_eV: Floats  # lowest converged value so far; NaN before the first one
    found: NDArray[np.int64]  # distinct compositions at or below the target so far; zeros without a target
    target_eV: float | None
    reference: Reference | None

    @classmethod
    def of(cls, labels: tuple[Acquisition, ...], target_eV: float | None, reference: Reference | None) -> Discovery:
        values = np.array([a.value_eV for a in labels], dtype=float)
        converged = np.array([a.converged for a in labels], dtype=bool)
        lowest = np.minimum.accumulate(np.where(converged, values, np.inf)) if len(values) else values
        seen, found = set[str](), []
        for acquisition, value in zip(labels, values, strict=True):
            if target_eV is not None and acquisition.converged and value <= target_eV:
                seen.add(acquisition.composition)
            found.append(len(seen))
        return cls(
            labels=labels,
            value_eV=values,
            best_eV=np.where(np.isfinite(lowest), lowest, np.nan),
            found=np.array(found, dtype=np.int64),
            target_eV=target_eV,
            reference=reference,
        )


def expected_best_eV(reference: Reference, labels: int) -> Floats:
    """Expected lowest value after 1, 2, ..., `labels` random labels (eV)."""
    return reference.mean_eV + reference.sigma_eV * _expected_minimum(labels)


def expected_best_error_eV(reference: Reference, labels: int) -> Floats | None:
    """Standard error of `expected_best_eV`, from the sampling errors of a normal's mean and sigma (eV)."""
    if reference.sample is None:
        return None
    variance = 1 / reference.sample + _expected_minimum(labels) ** 2 / (2 * (reference.sample - 1))
    return np.asarray(reference.sigma_eV * np.sqrt(variance), dtype=np.float64)


def expected_found(reference: Reference, labels: int, target_eV: float) -> Floats:
    """Expected number of random labels at or below the target after 1, 2, ..., `labels` of them."""
    return np.arange(1, labels + 1, dtype=np.float64) * reference.share(target_eV)


def _expected_minimum(draws: int) -> Floats:
    """Expectation of the smallest of 1, 2, ..., `draws` standard normal numbers.

    It is the integral of (1 - F)^n over x > 0 minus that of 1 - (1 - F)^n over x < 0, here on a fine grid.
    """
    low, high = -9.0, 9.0
    x = np.linspace(low, high, 3601)
    points = np.unique(np.geomspace(1, max(draws, 1), 200).astype(int))
    expected = [low + float(np.trapezoid(ndtr(-x) ** n, x)) for n in points]
    return np.interp(np.arange(1, draws + 1), points, expected)
