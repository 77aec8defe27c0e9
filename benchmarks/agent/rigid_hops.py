"""Why one CHGNet NEB label says nothing of a composition: `python -m benchmarks.agent.rigid_hops`.

A NEB label reads the hops that one arrangement of the mobile ions leaves open: those from an ion to a vacant site.
Here hops of the unrelaxed host lattice, along straight lines, are read in two ways, by bond valence and by CHGNet's
energies, and in two sets:

    open    from an ion to a vacant site of the ordering's own arrangement, all other ions in place (8 of 24 hops)
    all     between any two sites, one ion alone in the cell: no arrangement of ions has a say

A hop's height is its middle above the mean of its ends (the kinetically resolved barrier of Van der Ven et al., Phys.
Rev. B 64, 184307 (2001)); by bond valence, above its lower end. Values are means over the hops and, where an ordering
has a percolating path, its minimax. Appends to benchmarks/data/rigid_hops.csv (5 CPU s a line), repeats nothing and
prints the intraclass correlations.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from numpy.typing import NDArray

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from benchmarks.agent.chgnet_pool import sample
from benchmarks.agent.label_noise import icc, interval, variances
from calculators.chgnet import shared_network
from calculators.hops import Edge, build_network, easiest_path
from calculators.structures import split

TABLE = Path(__file__).parents[1] / "data" / "rigid_hops.csv"
CUTOFF_A = 4.0
TOGETHER = 4


def energies_eV(images: Sequence[Atoms]) -> NDArray[np.float64]:
    """CHGNet's energies (n,) without the elements' references, which are equal for images of one ordering."""
    network = shared_network("0.3.0", "cpu")
    found: list[float] = []
    for start in range(0, len(images), TOGETHER):
        part = images[start : start + TOGETHER]
        graph = network.graph(part)
        with torch.no_grad():
            sites, _ = network.sites(graph, torch.tensor(graph.vectors_A, dtype=torch.float32))
        ends = np.cumsum([len(image) for image in part])[:-1]
        found += [float(values.sum()) for values in np.split(sites.numpy().reshape(-1), ends)]
    return np.array(found)


def measure(composition: str, index: int) -> dict[str, float]:
    """Heights (eV) of one ordering by every definition."""
    host = load_host("nzsp")
    drawn = draw(host, Composition.from_key(composition), index)
    ordering = split(drawn, host.mobile)
    atoms, ions = ordering.atoms.copy(), ordering.mobile
    atoms.set_initial_charges(drawn.get_initial_charges()[drawn.numbers != 0])
    names = [host.mobile] * (len(ions) + len(ordering.vacancies))
    network = build_network(atoms, host.mobile, ordering.vacancies, names, CUTOFF_A)
    frame = atoms[[i for i in range(len(atoms)) if i not in set(ions)]]

    def moved(edge: Edge, share: float) -> Atoms:
        image = atoms.copy()
        image.positions[ions[edge.first]] += share * np.array(edge.vector_A)
        return image

    def alone(position_A: NDArray[np.float64]) -> Atoms:
        return frame + Atoms(host.mobile, positions=[position_A])

    free, edges, sites = network.computable, network.edges, network.positions_A
    here, *there = energies_eV([atoms, *(moved(edge, share) for edge in free for share in (0.5, 1.0))])
    middle, end = np.array(there).reshape(-1, 2).T - here
    found = energies_eV([alone(site) for site in sites])
    tops = energies_eV([alone(sites[edge.first] + 0.5 * np.array(edge.vector_A)) for edge in edges])
    heights = tops - (found[[e.first for e in edges]] + found[[e.second for e in edges]]) / 2
    above_lowest = dict(zip((edge.label for edge in edges), tops - found.min(), strict=True))
    path = easiest_path(edges, len(sites), lambda edge: above_lowest[edge.label])
    return {
        "bond valence, open hops": float(np.mean([edge.estimate for edge in free])),
        "bond valence, all hops": float(np.mean([edge.estimate for edge in edges])),
        "CHGNet, open hops": float((middle - end / 2).mean()),
        "CHGNet, all hops": float(heights.mean()),
        "CHGNet, percolation": path[1] if path else np.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compositions", type=int, default=7)
    parser.add_argument("--orderings", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keys = [key for key, ordering in sample("quick") if ordering == 1][: args.compositions]
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.exists() else []
    done = {(row["composition"], row["ordering"]) for row in rows}
    for key in keys:
        for index in range(args.orderings):
            if (key, index) not in done:
                rows.append({"composition": key, "ordering": index, **measure(key, index)})
                pd.DataFrame(rows).round(5).to_csv(TABLE, index=False)
                print(f"{len(rows)} orderings", end="\r", flush=True)
    frame = pd.DataFrame(rows)
    print("| heights of hops | mean / eV | s between / eV | s within / eV | ICC of one [90 %] |")
    print("|---|---|---|---|---|")
    for name in frame.columns[2:]:
        values = frame.pivot(index="composition", columns="ordering", values=name).dropna().to_numpy()
        between, within = variances(values)
        low, high = interval(values)
        print(
            f"| {name} | {values.mean():.3f} | {between**0.5:.3f} | {within**0.5:.3f} | "
            f"{icc(values):.2f} [{low:.2f}, {high:.2f}] |"
        )


if __name__ == "__main__":
    main()
