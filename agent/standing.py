"""Where a campaign stands: what it has asked for, and what it may therefore still ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.learner import CandidatePool, Observation

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Standing:
    """What a choice is conditioned on. Compositions are indices into the pool.

    Attributes:
        labelled: labels so far.
        pending: (composition, ordering) asked for and not yet answered, or failed and not to be asked for again.
        pinned: compositions that a person wants next; they come first if they are still candidates.
        recent: compositions out of `labelled` and `pending` that count as part of the next batch: where proposals
            are made one by one, diversity is that of the last few and the new one together.
        progress: how much of the budget is spent, 0 to 1.
    """

    labelled: Sequence[Observation] = ()
    pending: Sequence[tuple[int, int]] = ()
    pinned: Sequence[int] = ()
    recent: Sequence[int] = ()
    progress: float = 0.0

    @cached_property
    def values_eV(self) -> dict[int, list[float]]:
        """The labels of each labelled composition, eV."""
        values: dict[int, list[float]] = {}
        for observation in self.labelled:
            values.setdefault(observation.composition, []).append(observation.value_eV)
        return values

    @cached_property
    def orderings(self) -> dict[int, set[int]]:
        """Which orderings of each composition were asked for."""
        asked: dict[int, set[int]] = {}
        for composition, ordering in [*((o.composition, o.ordering) for o in self.labelled), *self.pending]:
            asked.setdefault(composition, set()).add(ordering)
        return asked

    @property
    def asked(self) -> Ints:
        """Compositions that are labelled or pending, in the order of the pool."""
        return np.array(sorted(self.orderings), dtype=np.int64)

    def check(self, pool: CandidatePool) -> None:
        """Raises ValueError for a label that is not finite or a composition outside the pool."""
        for observation in self.labelled:
            if not np.isfinite(observation.value_eV):
                raise ValueError(f"the label of composition {observation.composition} is not finite")
        used = [*self.orderings, *self.pinned]
        if used and not 0 <= min(used) <= max(used) < len(pool):
            raise ValueError(f"composition index {max(used)} is outside the pool of {len(pool)}")


@dataclass(frozen=True)
class Candidates:
    """The part of a pool that may be asked for: a composition each, with the ordering that would be computed.

    Attributes:
        index: (n,) compositions.
        ordering: (n,) which ordering of each.
        replicates: (n,) how many orderings of it were asked for before; 0 is a new composition.
    """

    index: Ints
    ordering: Ints
    replicates: Ints

    @classmethod
    def of(cls, pool: CandidatePool, standing: Standing, max_orderings: int) -> Self:
        """New compositions, then labelled ones of which another ordering may be asked for."""
        free = pool.allowed.copy()
        free[list(standing.orderings)] = False
        new = np.flatnonzero(free)
        waiting = {composition for composition, _ in standing.pending}
        limit = min(max_orderings, pool.rows.shape[1])
        again = [
            (composition, unasked[0], len(orderings))
            for composition, orderings in sorted(standing.orderings.items())
            if (unasked := [k for k in range(limit) if k not in orderings])
            and composition not in waiting
            and pool.allowed[composition]
        ]
        further = np.array(again, dtype=np.int64).reshape(-1, 3)
        none = np.zeros(len(new), dtype=np.int64)
        return cls(
            index=np.concatenate([new, further[:, 0]]),
            ordering=np.concatenate([none, further[:, 1]]),
            replicates=np.concatenate([none, further[:, 2]]),
        )

    def __len__(self) -> int:
        return len(self.index)
