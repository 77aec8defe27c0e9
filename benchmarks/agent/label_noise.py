"""Signal to noise of bond-valence label definitions: `python -m benchmarks.agent.label_noise`.

One-way random effects: the value of ordering j of composition i is mu + b_i + w_ij. From a sample of compositions and
several orderings of each come the variance between compositions s_b², that within s_w², the intraclass correlation of
one ordering ICC = s_b² / (s_b² + s_w²) and of a mean over K orderings s_b² / (s_b² + s_w² / K) (Shrout & Fleiss,
Psychol. Bull. 86, 420 (1979), ICC(1,1) and ICC(1,k)).

Ways of choosing an ordering: at random; the one of lowest Ewald energy of 64; quasi-random (`agent.sqs`: pair
correlations of the substituted sublattice closest to those of a random alloy). The table that is kept also holds
"quasi-random of 64", a search by the same measure among 64 arrangements only.
Ways of making a label: percolation in 1, 2, 3 dimensions; the 84-site cell (8 Zr) or a 168-site one (16 Zr); on the
host's lattice or in the ordering relaxed by CHGNet (atoms and cell, a fifth of the compositions, two orderings).

Writes benchmarks/data/label_noise.csv (every label), docs/label-noise.png, and prints the table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agent.clusters import cluster
from agent.composition import Composition
from agent.descriptors import describe
from agent.hosts import Host, load_host
from agent.ordering import draw
from agent.space import build_space
from benchmarks.agent.bvse_pool import DATA as POOL
from benchmarks.agent.bvse_pool import SPACING_A, PoolFields
from calculators.bondvalence import SiteEnergy, percolation_barriers
from calculators.chgnet import ChgnetCalculator
from calculators.relax import relax

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "benchmarks" / "data" / "label_noise.csv"
PLOT = ROOT / "docs" / "label-noise.png"
DIMENSIONS = ("E_1D_eV", "E_2D_eV", "E_3D_eV")
TRIES = 64
RELAXED_EV_PER_A = 0.1
#: Ways that cost more, with the step through the sample of compositions and the orderings of each.
FEWER = {"random, 168 sites": (2, 3), "random, grid 0.15 Å": (2, 3), "random, relaxed": (5, 2)}


class Relaxed:
    """The same labels of an ordering whose atoms and cell CHGNet has relaxed first."""

    def barriers(self, atoms: Atoms) -> tuple[float, float, float]:
        there = atoms[atoms.numbers != 0]
        found = relax(there, ChgnetCalculator(), fmax_eV_per_A=RELAXED_EV_PER_A, steps=200, cell=True)
        grid = SiteEnergy(found.atoms, there.get_initial_charges(), "Na").grid(SPACING_A)
        return percolation_barriers(grid)


def large_cell(host: Host) -> Host:
    """The same host in the nearly cubic cell of 16 substituted sites (lzsp's)."""
    cell = load_host("lzsp").cell
    sites = [o.model_copy(update={"species": {e: 2 * n for e, n in o.species.items()}}) for o in host.sites_]
    fields = {"name": "nzsp-large", "cell": cell, "formula_units": 2 * host.formula_units, "sites": sites}
    return Host.model_validate(host.model_dump(by_alias=True) | fields)


def doubled(composition: Composition, host: Host) -> Composition:
    return Composition.of(host, {e: 2 * n for e, n in composition.amounts})


def measure(
    sample: list[Composition], fields: PoolFields | Relaxed, choose: Callable[[Composition, int], Atoms], k: int
) -> pd.DataFrame:
    rows = []
    for composition in sample:
        for index in range(k):
            start = time.perf_counter()
            values = fields.barriers(choose(composition, index))
            rows.append([composition.key, index, *values, time.perf_counter() - start])
    return pd.DataFrame(rows, columns=["composition", "ordering", *DIMENSIONS, "seconds"])


def variances(values: NDArray[np.float64]) -> tuple[float, float]:
    """Variance between rows and within rows (eV²) of (compositions, orderings)."""
    k = values.shape[1]
    within = float(values.var(axis=1, ddof=1).mean())
    return max(float(values.mean(axis=1).var(ddof=1)) - within / k, 0.0), within


def icc(values: NDArray[np.float64], k: int = 1) -> float:
    between, within = variances(values)
    return between / (between + within / k)


def interval(values: NDArray[np.float64], k: int = 1) -> tuple[float, float]:
    """90 % bootstrap interval over the compositions."""
    rng = np.random.default_rng(0)
    draws = [icc(values[rng.integers(len(values), size=len(values))], k) for _ in range(300)]
    return float(np.percentile(draws, 5)), float(np.percentile(draws, 95))


def stratified(host: Host, n: int) -> list[Composition]:
    """`n` compositions, from every cluster in proportion."""
    compositions = build_space(host).compositions
    labels = cluster(describe(host, compositions).scaled()).labels
    order = np.lexsort((np.random.default_rng(0).random(len(labels)), labels))
    return [compositions[i] for i in order[np.linspace(0, len(order) - 1, n).astype(int)]]


def collect(n: int, k: int, only: str | None = None) -> None:
    """Label every way's orderings and write the table; with `only`, just that way's rows are replaced."""
    host = load_host("nzsp")
    sample = stratified(host, n)
    fields, large = PoolFields(host), large_cell(host)
    ways: dict[str, tuple[PoolFields | Relaxed, Callable[[Composition, int], Atoms]]] = {
        "random": (fields, lambda c, i: draw(host, c, i)),
        f"lowest Ewald of {TRIES}": (fields, lambda c, i: draw(host, c, i, seed=2, dopant_tries=TRIES)),
        "sqs": (fields, lambda c, i: draw(host, c, i, seed=1, method="sqs")),
        "random, 168 sites": (PoolFields(large), lambda c, i: draw(large, doubled(c, large), i)),
        "random, grid 0.15 Å": (PoolFields(host, 0.15), lambda c, i: draw(host, c, i)),
        "random, relaxed": (Relaxed(), lambda c, i: draw(host, c, i)),
    }
    if only is not None:
        ways = {only: ways[only]}
        known = pd.read_csv(TABLE)
        parts = [known[known.way != only]]
    else:
        parts = []
    for name, (grid, choose) in ways.items():
        step, orderings = FEWER.get(name, (1, k))
        for composition in sample[::step]:
            parts.append(measure([composition], grid, choose, orderings).assign(way=name))
            pd.concat(parts, ignore_index=True).round(4).to_csv(TABLE, index=False)
        print(f"{name}: {parts[-1].seconds.median():.2f} s a label", flush=True)


def evaluate(frame: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for way, part in frame.groupby("way", sort=False):
        for dimension in DIMENSIONS:
            values = part.pivot(index="composition", columns="ordering", values=dimension).to_numpy()
            between, within = variances(values)
            low, high = interval(values)
            rows.append(
                {
                    "ordering": way,
                    "label": dimension.removesuffix("_eV"),
                    "compositions": len(values),
                    "orderings": values.shape[1],
                    "mean_eV": values.mean(),
                    "sd_between_eV": np.sqrt(between),
                    "sd_within_eV": np.sqrt(within),
                    "signal_to_noise": between / within,
                    "icc": between / (between + within),
                    "icc_p05": low,
                    "icc_p95": high,
                    **{f"icc_mean_of_{k}": icc(values, k) for k in (2, 4, 8)},
                    "seconds": part.seconds.median(),
                }
            )
    return pd.DataFrame(rows)


def plot(table: pd.DataFrame, pool: pd.DataFrame | None) -> None:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    ways = list(dict.fromkeys(table.ordering))
    for column, (label, color) in enumerate(
        zip(("E_1D", "E_2D", "E_3D"), ("#b0b0b0", "#7aa6c2", "#1f5a85"), strict=True)
    ):
        part = table[table.label == label].set_index("ordering").loc[ways]
        x = np.arange(len(ways)) + 0.27 * (column - 1)
        error = np.array([part.icc - part.icc_p05, part.icc_p95 - part.icc]).clip(0)
        left.bar(x, part.icc, 0.25, color=color, label=f"{label} percolation", yerr=error, ecolor="0.3", capsize=2)
    left.axhline(0.5, color="black", linestyle="--", linewidth=1)
    left.set_xticks(range(len(ways)), [w.replace(" of ", "\nof ").replace(", ", "\n") for w in ways], fontsize=8)
    left.set(ylabel="intraclass correlation of one ordering", ylim=(0, 1))
    left.legend(fontsize=8)
    k = np.arange(1, 17)
    for label, color in zip(("E_1D", "E_2D", "E_3D"), ("#b0b0b0", "#7aa6c2", "#1f5a85"), strict=True):
        if pool is not None:
            values = pool.pivot(index="composition", columns="ordering", values=f"{label}_eV").dropna(
                axis=1, thresh=900
            )
            right.plot(
                k, [icc(values.dropna().to_numpy(), n) for n in k], marker="o", markersize=3, color=color, label=label
            )
    right.axhline(0.5, color="black", linestyle="--", linewidth=1)
    right.set(xlabel="random orderings averaged, K", ylabel="intraclass correlation of the mean", ylim=(0, 1))
    right.set_title("all 994 compositions", fontsize=9)
    right.legend(fontsize=8)
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, dpi=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compositions", type=int, default=60)
    parser.add_argument("--orderings", type=int, default=4)
    parser.add_argument(
        "--only", choices=["random", f"lowest Ewald of {TRIES}", "sqs", "random, relaxed"], help="this way anew"
    )
    parser.add_argument("--replot", action="store_true", help="only evaluate the table that is there")
    args = parser.parse_args()
    if not args.replot:
        TABLE.parent.mkdir(exist_ok=True)
        collect(args.compositions, args.orderings, args.only)
    result = evaluate(pd.read_csv(TABLE))
    plot(result, pd.read_csv(POOL) if POOL.exists() else None)
    with pd.option_context("display.width", 250, "display.max_columns", 30):
        print(result.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
