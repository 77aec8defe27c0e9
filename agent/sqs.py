"""Special quasi-random arrangements of a sublattice (Zunger et al., Phys. Rev. Lett. 65, 353 (1990)).

Of many random arrangements, the one whose pairs are most like a random alloy's: the sum over shells of neighbours and
over pairs of elements of |alpha_ab|, the Warren-Cowley parameters 1 - P_ab / (x_a x_b) with the finite cell's own
expectation, is least. Why no library does it: docs/label-noise.md.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from numpy.typing import NDArray

#: Shells of neighbours that count, the nth with weight 1/n.
SHELLS = 3
#: Arrangements tried, about as many as four elements in pairs have on eight sites (2,520).
TRIES = 2_000
#: Distances closer than this are one shell (Å).
SAME_SHELL_A = 0.05
#: Scores are compared to this many decimals, so that rounding on another machine breaks no tie.
DECIMALS = 9


def quasi_random_order(
    sites: Atoms, numbers: NDArray[np.uint8], rng: np.random.Generator, tries: int = TRIES
) -> NDArray[np.int64]:
    """A permutation (n,): `numbers[order]` is the arrangement by site, the least correlated of `tries` random ones.

    Args:
        sites: the sublattice (n sites) in its periodic cell.
        numbers: (n,) atomic numbers to be placed, in any order.
    """
    orders = rng.permuted(np.tile(np.arange(len(numbers)), (tries, 1)), axis=1)
    scores = correlation(sites, numbers[orders])
    return np.asarray(orders[np.argmin(scores.round(DECIMALS))])


def correlation(sites: Atoms, arrangements: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far (m,) arrangements (m, n) of the same elements are from a random alloy; 0 is uncorrelated."""
    kinds, counts = np.unique(arrangements[0], return_counts=True)
    n = arrangements.shape[1]
    present = [(arrangements == kind).astype(np.float64) for kind in kinds]
    score = np.zeros(len(arrangements))
    for shell, near in enumerate(_shells(sites.cell.array.tobytes(), sites.positions.tobytes(), n), start=1):
        for a, at_a in enumerate(present):
            around = at_a @ near
            for b in range(a, len(kinds)):
                expected = near.sum() * counts[a] * (counts[b] - (a == b)) / (n * (n - 1))
                if expected > 0:
                    score += np.abs(1 - (around * present[b]).sum(axis=1) / expected) / shell
    return score


@lru_cache(maxsize=64)
def _shells(cell: bytes, positions: bytes, n: int) -> tuple[NDArray[np.float64], ...]:
    """How often sites are neighbours (n, n) in each of the nearest shells, minimum image."""
    lattice = np.frombuffer(cell).reshape(3, 3)
    _, distances = get_distances(np.frombuffer(positions).reshape(n, 3), cell=lattice, pbc=True)
    found = np.unique(distances[np.triu_indices(n, 1)])
    starts = found[np.concatenate([[True], np.diff(found) > SAME_SHELL_A])][:SHELLS]
    return tuple((np.abs(distances - start) <= SAME_SHELL_A).astype(np.float64) for start in starts)
