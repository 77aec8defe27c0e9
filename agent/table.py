"""A table of known labels: the oracle of a back-test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agent.composition import Composition
from agent.hosts import Host
from agent.ions import ion_features
from agent.surrogates import around

Floats = NDArray[np.float64]
Direction = Literal["min", "max"]


@dataclass(frozen=True)
class Table:
    """N candidates with all their labels.

    Attributes:
        ids: (N,) name of each candidate.
        features: (N, d) descriptors, scaled to unit variance.
        values: per candidate its replicate labels, in the table's own unit (for compositions: by ordering).
        direction: whether low or high values are wanted.
        cheap: (N,) a cheap fidelity known for all, in the same unit, or (N, m) several, the most trusted first;
            None if there is none.
        dropped: rows without a label, left out.
        judged: (N,) what a back-test ranks by, in the same unit, if that is better known than by `values`.
    """

    ids: tuple[str, ...]
    features: Floats
    values: tuple[Floats, ...]
    direction: Direction = "min"
    cheap: Floats | None = None
    dropped: int = 0
    judged: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def truth(self) -> Floats:
        """(N,) what a back-test ranks by: the mean over the replicates, or `judged`."""
        return np.array([v.mean() for v in self.values]) if self.judged is None else self.judged

    @property
    def replicates(self) -> int:
        """Replicates that every candidate has."""
        return min(map(len, self.values))

    def targets(self, top: float | int) -> NDArray[np.bool_]:
        """(N,) the best ones: a share of N if `top` is below 1 (rounded, at least one), else so many."""
        count = max(1, round(top * len(self))) if top < 1 else int(top)
        if count >= len(self):
            raise ValueError(f"top is {top:g}: that is {count} of only {len(self)} candidates")
        order = np.argsort(self.sign * self.truth, kind="stable")
        chosen = np.zeros(len(self), dtype=bool)
        chosen[order[:count]] = True
        return chosen

    @property
    def cheap_cost(self) -> Floats:
        """(N,) the most trusted cheap fidelity with the sign that makes low good.

        Raises:
            ValueError: the table has none.
        """
        if self.cheap is None:
            raise ValueError("the table has no column of a cheap fidelity")
        return np.asarray(self.sign * self.cheap.reshape(len(self), -1)[:, 0])

    @cached_property
    def around(self) -> Floats | None:
        """(N,) what the cheap labels of all other candidates say of each, in the table's unit; None without any."""
        if self.cheap is None:
            return None
        return self.sign * around(self.features, self.cheap_cost)

    @property
    def sign(self) -> int:
        """+1 if low is good, -1 if high is."""
        return 1 if self.direction == "min" else -1

    @classmethod
    def read(
        cls,
        path: Path,
        features: Sequence[str],
        target: str,
        direction: Direction = "min",
        cheap: str | None = None,
        identity: str | None = None,
    ) -> Self:
        """A CSV file of plain numeric features.

        Rows of the same `identity` (of the same features, if there is no such column) are replicates of one
        candidate. Rows without a target are left out and counted. `cheap` may name several columns with commas.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a column that is not there or not numeric, a feature that is missing, or nothing left.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"table {path}: no such file")
        frame = pd.read_csv(path)
        return cls.of_frame(frame, features, target, direction, cheap, identity, str(path))

    @classmethod
    def of_frame(
        cls,
        frame: pd.DataFrame,
        features: Sequence[str],
        target: str,
        direction: Direction = "min",
        cheap: str | None = None,
        identity: str | None = None,
        where: str = "table",
    ) -> Self:
        """The same from a data frame."""
        wanted = [*features, target, *cheap_columns(cheap)]
        if missing := [c for c in [*wanted, *([identity] if identity else [])] if c not in frame.columns]:
            raise ValueError(f"{where}: no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}")
        for column in wanted:
            numbers = pd.to_numeric(frame[column], errors="coerce")
            if (bad := numbers.isna() & frame[column].notna()).any():
                line = int(np.flatnonzero(bad)[0]) + 2
                raise ValueError(f"{where}, line {line}: {column} is {frame[column].iloc[line - 2]!r}, not a number")
            frame = frame.assign(**{column: numbers})
        for column in wanted:
            if column != target and frame[column].isna().any():
                line = int(np.flatnonzero(frame[column].isna())[0]) + 2
                raise ValueError(f"{where}, line {line}: {column} is missing")
        labelled = frame[np.isfinite(frame[target])]
        if labelled.empty:
            raise ValueError(f"{where}: no row has a finite {target}")
        keys = [identity] if identity else list(features)
        groups = labelled.groupby(keys, sort=False)
        first = groups.first()
        ids = [str(k) if identity else ", ".join(f"{v:g}" for v in np.atleast_1d(k)) for k in first.index]
        matrix = labelled.drop_duplicates(keys)[list(features)].to_numpy(dtype=float)
        return cls(
            tuple(ids),
            standardised(matrix),
            tuple(g[target].to_numpy(dtype=float) for _, g in groups),
            direction,
            groups[cheap_columns(cheap)].mean().to_numpy(dtype=float) if cheap else None,
            len(frame) - len(labelled),
        )

    @classmethod
    def of_compositions(
        cls, host: Host, frame: pd.DataFrame, target: str, cheap: str | None = None, direction: Direction = "min"
    ) -> Self:
        """A table with a column "composition" (keys) and, for replicates, "ordering".

        Features are the composition as a set of ions (`agent.ions`).
        """
        for column in ["composition", target, *cheap_columns(cheap)]:
            if column not in frame.columns:
                raise ValueError(f"table: no column {column!r}; it has {', '.join(map(str, frame.columns))}")
        if "ordering" in frame.columns:
            twice = frame.duplicated(["composition", "ordering"])
            if twice.any():
                raise ValueError(
                    f"table, line {int(np.flatnonzero(twice)[0]) + 2}: composition and ordering listed twice"
                )
            frame = frame.sort_values("ordering", kind="stable")
        labelled = frame[np.isfinite(frame[target])]
        groups = labelled.groupby("composition", sort=True)
        keys = [str(k) for k in groups.groups]
        compositions = [_composition(key, frame) for key in keys]
        return cls(
            tuple(keys),
            ion_features(compositions),
            tuple(g[target].to_numpy(dtype=float) for _, g in groups),
            direction,
            groups[cheap_columns(cheap)].mean().to_numpy(dtype=float) if cheap else None,
            len(frame) - len(labelled),
        )


def cheap_columns(cheap: str | None) -> list[str]:
    """Of the columns of cheap fidelities, the most trusted first."""
    return [name.strip() for name in cheap.split(",")] if cheap else []


def _composition(key: str, frame: pd.DataFrame) -> Composition:
    try:
        return Composition.from_key(key)
    except ValueError as error:
        line = frame.index[frame["composition"].astype(str) == key][0] + 2
        raise ValueError(f"table, line {line}: {error}") from error


def standardised(matrix: Floats) -> Floats:
    """Columns to zero mean and unit variance; those that do not vary are dropped."""
    spread = matrix.std(axis=0)
    varies = spread > 1e-12 * np.maximum(1.0, np.abs(matrix).max(axis=0, initial=0.0))
    kept = matrix[:, varies]
    return np.asarray((kept - kept.mean(axis=0)) / spread[varies])
