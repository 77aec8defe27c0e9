"""A maximum energy above the hull as a constraint on what is proposed, by a table that stands before the campaign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agent.composition import Composition
from agent.hosts import Host

COLUMN = "e_hull_eV_per_atom"


class HullSection(BaseModel):
    """Propose only compositions whose energy above the hull is known and small enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Path | None = Field(
        None,
        description=f"CSV with the columns composition (formula or key, as in space.csv) and {COLUMN}; a composition "
        "without a value is not proposed. Without a table there is no limit.",
    )
    max_eV_per_atom: float = Field(0.05, description="Largest energy above the hull that is proposed, eV/atom.")

    def allowed(self, compositions: Sequence[Composition], host: Host) -> NDArray[np.bool_]:
        """(compositions,) what is at or below the limit; of several values of one composition the lowest counts.

        Raises:
            FileNotFoundError: no such table.
            ValueError: it lacks a column, a value is no number, or nothing in the space is stable enough.
        """
        if self.table is None:
            return np.ones(len(compositions), dtype=bool)
        if not self.table.is_file():
            raise FileNotFoundError(f"hull.table: {self.table} does not exist")
        frame = pd.read_csv(self.table)
        for column in ("composition", COLUMN):
            if column not in frame:
                raise ValueError(f"hull.table: {self.table} has no column {column!r}; it has {', '.join(frame)}")
        values = pd.to_numeric(frame[COLUMN], errors="coerce")
        if (wrong := values.isna() & frame[COLUMN].notna()).any():
            raise ValueError(f"hull.table: {self.table}, line {int(wrong.argmax()) + 2}: {COLUMN} is not a number")
        lowest = values.groupby(frame["composition"].astype(str)).min().to_dict()
        known = np.array(
            [
                min(lowest.get(c.key, np.nan), lowest.get(c.formula(host), np.nan), key=_unknown_last)
                for c in compositions
            ]
        )
        allowed = known <= self.max_eV_per_atom
        if not allowed.any():
            raise ValueError(
                f"hull.max_eV_per_atom is {self.max_eV_per_atom}: no composition of the space is that stable by "
                f"{self.table} ({int(np.isfinite(known).sum())} of {len(known)} have a value)"
            )
        return allowed


def _unknown_last(value: float) -> float:
    return value if np.isfinite(value) else np.inf
