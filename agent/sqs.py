"""Special quasi-random arrangements (Zunger et al., Phys. Rev. Lett. 65, 353 (1990)), found by sqsgenerator.

Gehringer, Friák & Holec, Comput. Phys. Commun. 286, 108664 (2023): of all arrangements, or of many random ones where
they are too many, those whose Warren-Cowley parameters are least. With one thread and a seed the library answers the
same in every process; among what it finds equally good the caller's generator chooses. Needs the extra `sqs`.
"""

from __future__ import annotations

from importlib.util import find_spec
from math import factorial, prod
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

NEEDS = "sqs needs sqsgenerator: pip install 'ionloop[sqs]'"

#: Shells of neighbours that count, the nth with weight 1/n; distances within SAME_SHELL_A are one (Å).
SHELLS, SAME_SHELL_A = 3, 0.05
#: Arrangements are all looked at up to this many (eight elements on eight sites), TRIES random ones above.
MOST_ARRANGEMENTS, TRIES = 50_000, 2_000


def installed() -> bool:
    return find_spec("sqsgenerator") is not None


def quasi_random_order(sites: Atoms, numbers: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int64]:
    """A permutation (n,): `numbers[order]` is a least correlated arrangement by site, drawn from those by `rng`.

    Args:
        sites: the sublattice (n sites) in its periodic cell.
        numbers: (n,) atomic numbers to be placed, in any order.

    Raises:
        ImportError: sqsgenerator is not installed.
    """
    seed = int(rng.integers(2**31))
    kinds = np.unique(numbers)
    if len(kinds) == 1:
        return np.arange(len(numbers))
    best = least_correlated(sites, numbers, seed)
    chosen = best[rng.integers(len(best))]
    order = np.empty(len(numbers), dtype=np.int64)
    order[np.argsort(chosen, kind="stable")] = np.argsort(numbers, kind="stable")
    return order


def least_correlated(sites: Atoms, numbers: NDArray[np.uint8], seed: int = 0) -> NDArray[np.int64]:
    """The best arrangements (m, n) that sqsgenerator finds, sorted: atomic numbers by site."""
    try:
        from sqsgenerator import optimize, parse_config
    except ImportError as error:
        raise ImportError(NEEDS) from error

    kinds, counts = np.unique(numbers, return_counts=True)
    asked: dict[str, Any] = {
        "structure": {
            "lattice": sites.cell.array.tolist(),
            "coords": sites.get_scaled_positions().tolist(),
            "species": ["H"] * len(sites),
        },
        "composition": {chemical_symbols[kind]: int(count) for kind, count in zip(kinds, counts, strict=True)},
        "shell_weights": {shell: 1 / shell for shell in range(1, SHELLS + 1)},
        "atol": SAME_SHELL_A,
        "thread_config": 1,
        "max_results_per_objective": MOST_ARRANGEMENTS,
    }
    if factorial(len(numbers)) // prod(map(factorial, counts.tolist())) <= MOST_ARRANGEMENTS:
        asked |= {"iteration_mode": "systematic"}
    else:
        asked |= {"iteration_mode": "random", "iterations": TRIES, "chunk_size": TRIES, "seed": seed}
    config = parse_config(asked)
    if not hasattr(config, "composition"):
        raise ValueError(f"quasi-random arrangement: {config.msg}")
    results = optimize(config)  # what it lists lives as long as it does
    _, equal = next(iter(results))
    return np.unique([[int(z) for z in found.structure().species] for found in equal], axis=0)
