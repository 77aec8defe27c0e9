"""CHGNet energies of substituted NASICON orderings: `python benchmarks/nasicon_energies.py --compositions 500`.

Compositions of the default host's space are drawn with a fixed seed, and several orderings of each; every cell keeps
the host's lattice and sites (80 to 84 atoms, not relaxed), so that energies tell composition and arrangement apart.
Writes benchmarks/data/nzsp_chgnet.csv (composition, ordering, atoms, energy in eV per atom by CHGNet 0.3.0, element
references included). It can be stopped: what stands in the file is not computed again.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from agent.hosts import load_host
from agent.ordering import draw_numbers
from agent.space import build_space
from calculators.chgnet import shared_network

TABLE = Path(__file__).parent / "data" / "nzsp_chgnet.csv"
COLUMNS = ["composition", "ordering", "atoms", "energy_eV_per_atom"]


def energy_eV_per_atom(atoms: Atoms) -> float:
    """CHGNet's total energy per atom; no forces, which would cost twice as much again."""
    network = shared_network("0.3.0", "cpu")
    graph = network.graph([atoms])
    with torch.no_grad():
        sites, _ = network.sites(graph, torch.tensor(graph.vectors_A, dtype=torch.float32))
    references = network.model.composition_model.fc.weight.detach().numpy()[0]
    return float(sites.numpy().mean() + references[graph.numbers - 1].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compositions", type=int, default=500)
    parser.add_argument("--orderings", type=int, default=4)
    parser.add_argument("--out", type=Path, default=TABLE)
    args = parser.parse_args()
    torch.set_num_threads(1)
    host = load_host("nzsp")
    sites, space = host.sites(), list(build_space(host))
    chosen = [space[place] for place in np.random.default_rng(0).permutation(len(space))[: args.compositions]]
    done = set()
    if args.out.exists():
        with args.out.open() as file:
            done = {(row["composition"], int(row["ordering"])) for row in csv.DictReader(file)}
    else:
        args.out.write_text(",".join(COLUMNS) + "\n")
    started, computed = time.process_time(), 0
    for ordering in range(args.orderings):
        for composition, numbers in zip(chosen, draw_numbers(host, chosen, index=ordering), strict=True):
            if (composition.key, ordering) in done:
                continue
            atoms = sites.copy()
            atoms.numbers = numbers
            atoms = atoms[numbers > 0]
            with args.out.open("a") as file:
                energy = energy_eV_per_atom(atoms)
                file.write(f"{composition.key},{ordering},{len(atoms)},{energy:.6f}\n")
            computed += 1
            if computed % 100 == 0:
                spent = time.process_time() - started
                print(f"ordering {ordering}: {computed} computed, {spent / computed:.2f} CPU s each", flush=True)


if __name__ == "__main__":
    main()
