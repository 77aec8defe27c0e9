"""How many labels would one need who knows everything beforehand? `python -m benchmarks.agent.ceiling`

The 18 best of the NASICON pool are the best by a mean over 24 orderings, and that mean still has a standard error.
Part of being among the 18 is luck, which no model can foresee. Here an oracle knows every composition's true value
exactly before the first label and labels in that order; the truth it is judged by is drawn with the pool's own noise.
"""

from __future__ import annotations

import numpy as np

from benchmarks.agent.nasicon_backtest import TARGETS, load

DRAWS = 2000


def oracle_labels(between_eV: np.ndarray, within_eV: float, orderings: int, share: float) -> np.ndarray:
    """(draws,) labels until `share` of the targets is found, in the order of the exact values."""
    rng = np.random.default_rng(0)
    needed = []
    for _ in range(DRAWS):
        exact = np.sort(rng.choice(between_eV, len(between_eV)))
        judged = exact + within_eV / np.sqrt(orderings) * rng.normal(size=len(exact))
        places = np.sort(np.argsort(judged)[:TARGETS]) + 1
        needed.append(places[int(np.ceil(share * TARGETS - 1e-9)) - 1])
    return np.array(needed)


def main() -> None:
    values = np.array(load().values)
    within = float(np.sqrt(values.var(axis=1, ddof=1).mean()))
    means = values.mean(axis=1)
    between = float(np.sqrt(means.var() - within**2 / values.shape[1]))
    exact = means.mean() + (means - means.mean()) * between / means.std()
    print(f"{len(values)} compositions, between {between:.4f} eV, within {within:.4f} eV")
    print("| truth is the mean of | labels to 50 % of the 18 [5th, 95th percentile] | to 80 % |")
    print("|---|---|---|")
    for orderings in (6, 12, 24, 96):
        cells = []
        for share in (0.5, 0.8):
            needed = oracle_labels(exact, within, orderings, share)
            low, high = np.percentile(needed, [5, 95])
            cells.append(f"{needed.mean():.0f} [{low:.0f}, {high:.0f}]")
        print(f"| {orderings} orderings | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
