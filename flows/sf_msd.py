"""A fitted SF-MSD model (Fu et al., high-entropy LZSP) with what it was fitted on and how good it is.

What is fitted is stored as what it was fitted on: a table of features with a target. Fitting it again takes a second
and, from the same seed, gives the same trees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from ase.geometry import cellpar_to_cell
from numpy.typing import NDArray

from agent.hosts import Host
from flows.transport import chosen_columns
from models.structural_features import Framework, default_geometry
from models.transport import FeatureData, OutOfFold, cross_validate, fit


@dataclass(frozen=True)
class SfMsd:
    """A fitted regressor with what it was fitted on, and how well it did on rows it had not seen."""

    data: FeatureData
    regressor: Any
    check: OutOfFold
    units: float | None  # formula units of the cells, if the table tells

    @classmethod
    def of(cls, table: pd.DataFrame, target: str, columns: str, regressor: str, folds: int, seed: int) -> SfMsd:
        """
        Args:
            table: one row per structure; rows of one `composition`, if there is such a column, share a fold.

        Raises:
            ValueError: nothing can be learned from the table.
        """
        groups = table["composition"].astype(str).tolist() if "composition" in table.columns else None
        table = table.drop(columns=["composition"], errors="ignore")
        data = FeatureData.of(table, target, chosen_columns(table, columns, target))
        check = cross_validate(data, folds, seed, [regressor], groups)[regressor]
        return cls(data, fit(data, regressor, seed), check, formula_units(table))

    def predict(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """
        Raises:
            ValueError: features that the rows lack, or cells of another size, whose lengths mean something else.
        """
        missing = [name for name in self.data.names if name not in rows.columns]
        if missing:
            raise ValueError(f"the model asks for {', '.join(missing)}, which these structures do not have")
        own = formula_units(rows)
        if own and self.units and abs(own / self.units - 1) > 0.05:
            raise ValueError(
                f"the table's cells have {self.units:.1f} formula units and this one {own:.1f}; cell lengths "
                "can only be compared between cells of the same size"
            )
        return np.asarray(self.regressor.predict(rows[list(self.data.names)].to_numpy(dtype=float)))

    def outside(self, rows: pd.DataFrame) -> list[str]:
        """Features whose mean over the orderings lies beyond all that was learned from: trees do not extrapolate."""
        means = rows[list(self.data.names)].mean().to_numpy()
        low, high = self.data.features.min(axis=0), self.data.features.max(axis=0)
        return [name for name, is_out in zip(self.data.names, (means < low) | (means > high), strict=True) if is_out]

    @property
    def caveat(self) -> str:
        metrics, what = self.check.metrics, f"{self.data.target_name}, {len(self.data)} structures"
        errors = f"cross-validated MAE {metrics.mae:.3g}, the mean predictor's {metrics.mae_mean:.3g}; {what}"
        return errors if self.check.skilled else f"NO SKILL: {errors}"

    def facts(self) -> dict[str, Any]:
        metrics = self.check.metrics
        return {
            "target": self.data.target_name,
            "regressor": self.check.name,
            "structures": len(self.data),
            "features": list(self.data.names),
            "mae": metrics.mae,
            "mae_mean_predictor": metrics.mae_mean,
            "skilled": self.check.skilled,
        }


def framework_of(host: Host, mobile_geometry: str | None = None) -> Framework:
    """Which elements of a host play which part: anions are the negative ones of its framework."""
    fixed = {
        element: n for orbit in host.sites_ if orbit.sublattice == "framework" for element, n in orbit.species.items()
    }
    cations = tuple(sorted((e for e in fixed if host.charges_e[e] > 0), reverse=True))
    anions = tuple(sorted(e for e in fixed if host.charges_e[e] < 0))
    sites = host.sites().get_chemical_symbols()
    per_formula = sum(symbol in anions for symbol in sites) / host.formula_units
    return Framework(
        host.mobile, cations, anions, per_formula, (default_geometry(host.mobile, mobile_geometry), "O:6", "T:4")
    )


def formula_units(table: pd.DataFrame) -> float | None:
    """Of the cells of a table of features; None if its columns do not tell."""
    names = ["a_A", "b_A", "c_A", "alpha_deg", "beta_deg", "gamma_deg", "volume_A3_per_formula"]
    if not set(names) <= set(table.columns) or table.empty:
        return None
    *cell, per_formula = table[names].to_numpy(dtype=float)[0]
    return float(abs(np.linalg.det(cellpar_to_cell(cell))) / per_formula)
