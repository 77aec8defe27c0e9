"""How good the model's predictions were, against labels that it had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from flows.acquisitions import Acquisition
from flows.yardsticks import mean_predictor_mae_eV

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """What the model said before labelling beside what the label said after (eV), at the target fidelity."""

    predicted_eV: Floats
    sigma_eV: Floats  # NaN where the model gave none
    label_eV: Floats
    rounds: NDArray[np.int64]
    formulas: tuple[str, ...]

    @classmethod
    def of(cls, predicted: Sequence[Acquisition]) -> Parity:
        """From acquisitions that have a prediction and a label."""
        return cls(
            predicted_eV=np.array([a.mean_eV for a in predicted], dtype=float),
            sigma_eV=np.array([a.sigma_eV for a in predicted], dtype=float),
            label_eV=np.array([a.value_eV for a in predicted], dtype=float),
            rounds=np.array([a.round for a in predicted], dtype=np.int64),
            formulas=tuple(a.formula for a in predicted),
        )

    @property
    def size(self) -> int:
        return len(self.label_eV)

    @property
    def mae_eV(self) -> float | None:
        return float(np.abs(self.predicted_eV - self.label_eV).mean()) if self.size else None

    @property
    def mean_predictor_mae_eV(self) -> float | None:
        """MAE of predicting each label by the mean of the others: what the model has to beat."""
        return mean_predictor_mae_eV(self.label_eV.tolist())

    @cached_property
    def z(self) -> Floats:
        """Errors in units of the predicted sigma, where there is one."""
        known = np.isfinite(self.sigma_eV) & (self.sigma_eV > 0)
        return (self.label_eV[known] - self.predicted_eV[known]) / self.sigma_eV[known]

    def coverage(self, nominal: Floats) -> Floats:
        """Share of labels inside the central interval of each nominal probability (NaN without any sigma)."""
        if not len(self.z):
            return np.full(len(nominal), np.nan)
        half_width = ndtri(0.5 + np.asarray(nominal) / 2)
        return (np.abs(self.z)[None, :] <= half_width[:, None]).mean(axis=1)

    @property
    def miscalibration_area(self) -> float | None:
        """Area between observed and nominal coverage over all probabilities (0 is perfect, 0.5 the worst)."""
        if not len(self.z):
            return None
        nominal = np.linspace(0.005, 0.995, 100)
        return float(np.abs(self.coverage(nominal) - nominal).mean())
