"""What one call costs and how it grows with atoms: CHGNet's own calculator against ours, bvlain against ours.

Processor seconds of one thread, best of `--repeats` calls at displaced positions. `--memory` measures instead what a
pass over several images keeps in memory until its derivative is done: the same tensors on any device.

    OMP_NUM_THREADS=1 python benchmarks/calculator_calls.py [--memory]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase import Atoms

from agent.composition import Composition
from agent.hosts import load_host
from agent.ordering import draw
from calculators.bondvalence import SiteEnergy, percolation_barriers
from calculators.chgnet import ChgnetCalculator, shared_network


def ordering() -> Atoms:
    """80 atoms, Na12 with Hf, Sn, Ge and Ti on the zirconium sites, vacancies taken out."""
    amounts = (("Ge", 2), ("Hf", 2), ("Sn", 2), ("Ti", 2))
    valences = tuple((element, 4) for element, _ in amounts)
    drawn = draw(load_host("nzsp"), Composition(host="nzsp", amounts=amounts, valences=valences, mobile=12))
    atoms = drawn[drawn.numbers != 0]
    atoms.rattle(0.02, seed=0)
    return atoms


def best_cpu_s(call: Callable[[int], Any], repeats: int) -> float:
    """Least processor time of a call; the first one, which warms up, does not count."""
    call(-1)
    spent = []
    for number in range(repeats):
        start = time.process_time()
        call(number)
        spent.append(time.process_time() - start)
    return min(spent)


def chgnet_calls(base: Atoms, repeats: int) -> None:
    from chgnet.model import CHGNet
    from chgnet.model.dynamics import CHGNetCalculator

    stock = CHGNetCalculator(model=CHGNet.load(use_device="cpu", verbose=False), use_device="cpu")
    print("| atoms | CHGNetCalculator, s | ours, s | ratio | largest force difference, eV/Å |")
    print("|---|---|---|---|---|")
    for atoms in (base, base * (1, 2, 1), base * (2, 2, 1)):
        seconds, forces = [], []
        for calculator in (stock, ChgnetCalculator()):
            probe = atoms.copy()
            probe.calc = calculator

            def call(number: int, probe: Atoms = probe, atoms: Atoms = atoms) -> None:
                probe.positions[0, 0] = atoms.positions[0, 0] + 1e-3 * (number + 1)
                probe.get_forces()

            seconds.append(best_cpu_s(call, repeats))
            forces.append(probe.get_forces())
        worst = np.abs(forces[0] - forces[1]).max()
        print(f"| {len(atoms)} | {seconds[0]:.3f} | {seconds[1]:.3f} | {seconds[0] / seconds[1]:.2f} | {worst:.1e} |")


def bond_valence(base: Atoms, spacing_A: float) -> None:
    from bvlain import Lain
    from pymatgen.core import Lattice, Structure

    charges = base.get_initial_charges()
    start = time.process_time()
    ours = percolation_barriers(SiteEnergy(base, charges, "Na").grid(spacing_A))
    our_seconds = time.process_time() - start
    structure = Structure(Lattice(base.cell.array), base.numbers, base.get_scaled_positions())
    structure.add_oxidation_state_by_site(charges.tolist())
    start = time.process_time()
    lain = Lain(verbose=False)
    lain.read_structure(structure, oxi_check=False)
    lain.bvse_distribution("Na1+", r_cut=10, resolution=spacing_A, k=100)
    found = lain.percolation_barriers()
    seconds = time.process_time() - start
    theirs = [float(found[f"E_{n}D"]) for n in (1, 2, 3)]
    print(f"\nbond valence, {len(base)} atoms, grid {spacing_A} Å: bvlain {seconds:.1f} s, ours {our_seconds:.2f} s,")
    print(f"ratio {seconds / our_seconds:.1f}; E_1D/2D/3D {theirs} against {list(ours)} eV")


def memory(base: Atoms) -> None:
    """Bytes that one pass over so many images of a band keeps for its derivative, and what the process grew by."""
    network = shared_network("0.3.0", "cpu")
    network.evaluate([base])
    weights = sum(parameter.nbytes for parameter in network.model.parameters())
    print(f"weights {weights / 2**20:.1f} MiB\n")
    print("| atoms | images in one pass | kept for the derivative, MiB | per image, MiB | peak of the process, MiB |")
    print("|---|---|---|---|---|")
    for atoms in (base, base * (1, 2, 1)):
        for images in (1, 3, 5, 7):
            kept: dict[int, int] = {}

            def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
                kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                network.evaluate([atoms.copy() for _ in range(images)])
            total = sum(kept.values()) / 2**20
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(f"| {len(atoms)} | {images} | {total:.0f} | {total / images:.0f} | {peak:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    base = ordering()
    if arguments.memory:
        memory(base)
        return
    chgnet_calls(base, arguments.repeats)
    bond_valence(base, 0.2)


if __name__ == "__main__":
    main()
