"""Cheap label or dear label: what each would teach about the dear value, per unit of cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.scores import expected_improvement

Floats = NDArray[np.float64]

#: Pairs of labels (cheap, dear) that the prior correlation counts as.
PRIOR_PAIRS = 5


@dataclass(frozen=True)
class Fidelity:
    """A kind of label.

    Attributes:
        name: such as "bvse" or "chgnet-neb".
        cost: expected cost of one label, in any unit that all fidelities share (calculator seconds, say). Include the
            share of labels that fail: seconds per success.
        correlation: of its values with the target fidelity's, among candidates that the model predicts alike; 1 for
            the target fidelity itself.
    """

    name: str
    cost: float
    correlation: float = 1.0

    def __post_init__(self) -> None:
        if not self.cost > 0:
            raise ValueError(f"fidelity {self.name}: cost is {self.cost}, it must be positive")
        if not -1 <= self.correlation <= 1:
            raise ValueError(f"fidelity {self.name}: correlation is {self.correlation}, it lies between -1 and 1")


def gain_per_cost(mean: Floats, sigma: Floats, best: float, fidelities: Sequence[Fidelity]) -> Floats:
    """(fidelities, n): expected improvement of the target fidelity's estimate, per unit of cost.

    A label whose values correlate by rho with the target's moves the target's posterior mean by N(0, (rho sigma)²),
    so the improvement that it can bring is EI(mean, |rho| sigma, best): the target's own EI at rho = 1, nothing at
    rho = 0 (the knowledge gradient for a correlated measurement; cf. the augmented EI of Huang et al., Struct.
    Multidisc. Optim. 32, 369 (2006)). A candidate whose mean is already below `best` gains that much by any label,
    which favours the cheap one only
    as far as it is trusted: the sure part of the gain is weighted by rho².

    Args:
        mean, sigma: (n,) prediction at the target fidelity, eV.
        best: lowest value known at the target fidelity, eV.
        fidelities: kinds of label on offer, for candidates that do not have them yet.
    """
    rows = []
    for fidelity in fidelities:
        rho = abs(fidelity.correlation)
        sure = np.maximum(best - mean, 0.0)
        moved = expected_improvement(mean, rho * sigma, best) - sure
        rows.append((moved + rho**2 * sure) / fidelity.cost)
    return np.array(rows)


def learned_correlation(cheap: Floats, dear: Floats, prior: float = 0.5) -> float:
    """Correlation of two fidelities from candidates that have both labels, drawn towards `prior` while they are few.

    Args:
        cheap, dear: (pairs,) labels of the same candidates, eV; better still what is left of them after the model's
            prediction.
        prior: what is assumed without any pair; it counts as `PRIOR_PAIRS` pairs.
    """
    if len(cheap) != len(dear):
        raise ValueError(f"{len(cheap)} cheap and {len(dear)} dear labels are no pairs")
    if len(cheap) < 3 or cheap.std() == 0 or dear.std() == 0:
        return prior
    found = float(np.corrcoef(cheap, dear)[0, 1])
    return (found * len(cheap) + prior * PRIOR_PAIRS) / (len(cheap) + PRIOR_PAIRS)
