"""How much voltages depend on where the sodium sits: Na_xV2(PO4)2F3 with several low-Ewald arrangements per content.

    python benchmarks/electrodes_sodium.py --results electrodes/results --ranks 3

At every content the symmetry-distinct sodium arrangements of lowest Ewald energy are relaxed, and the first of them
once more from a start in which every atom is moved at random (standard deviation 0.05 Å), so that nothing holds the
symmetry of the host. Printed: energies above the lowest, voltages of the arrangements of lowest Ewald energy,
voltages of those of lowest energy by the calculator, and the smallest and largest voltage of all pairs. Relaxations
are kept in the folder of `ionloop electrodes voltages` and found there again.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from agent.electrodes import CONTENTS, ElectrodeSpace
from agent.hosts import load_host
from calculators.elemental import reference
from calculators.relaxations import Relaxed, Relaxer
from calculators.voltage import average_voltage_V

RATTLE_A = 0.05


def relaxations(relaxer: Relaxer, ranks: int) -> dict[int, dict[str, Relaxed]]:
    """Relaxed cells by content and name of the start."""
    host = load_host("nvpf")
    found: dict[int, dict[str, Relaxed]] = {content: {} for content in CONTENTS}
    for rank in range(ranks):
        for content in CONTENTS:
            try:
                atoms = ElectrodeSpace(host, CONTENTS, {content: rank}).templates[content]
            except ValueError as error:  # a content has no arrangement of this rank
                print(f"Na{content}: {error}", flush=True)
                continue
            starts = {f"rank {rank}": atoms}
            if rank == 0:
                starts["rank 0, rattled"] = rattled = atoms.copy()
                rattled.rattle(RATTLE_A, seed=content)
            for name, start in starts.items():
                found[content][name] = one = relaxer(start, f"nvpf {host.mobile}{content} {name}", host.mobile)
                energy = one.energy_after_eV
                print(f"Na{content} {name}: {one.verdict}, {energy} eV, {one.force_calls} calls", flush=True)
    return found


def table(found: dict[int, dict[str, Relaxed]], metal_eV: float, formula_units: int) -> None:
    energies = {
        content: {name: one.energy_eV for name, one in starts.items() if one.ok} for content, starts in found.items()
    }
    print("\n| content | start | above the lowest, meV/atom | mean moment of V, μB (spread) | volume, Å³ |")
    print("|---|---|---|---|---|")
    for content, starts in found.items():
        lowest = min(energies[content].values())
        for name, one in starts.items():
            if not one.ok:
                print(f"| Na{content} | {name} | {one.verdict} | | |")
                continue
            vanadium = one.atoms.symbols == "V"
            moments = np.array(one.magmoms_muB)[vanadium]
            above = 1000 * (one.energy_eV - lowest) / len(one.atoms)
            print(
                f"| Na{content} | {name} | {above:.2f} | {moments.mean():.2f} ({np.ptp(moments):.2f}) | "
                f"{one.atoms.cell.volume:.1f} |"
            )
    print("\n| voltage, V | lowest by Ewald | lowest by the calculator | smallest | largest |")
    print("|---|---|---|---|---|")
    for low, high in pairwise(CONTENTS):
        ions = low * formula_units, high * formula_units

        def voltage(low_eV: float, high_eV: float, ions: tuple[int, int] = ions) -> float:
            return average_voltage_V(low_eV, ions[0], high_eV, ions[1], metal_eV)

        every = [voltage(a, b) for a in energies[low].values() for b in energies[high].values()]
        ewald = voltage(energies[low]["rank 0"], energies[high]["rank 0"])
        best = voltage(min(energies[low].values()), min(energies[high].values()))
        print(f"| V{high}{low} | {ewald:.2f} | {best:.2f} | {min(every):.2f} | {max(every):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("electrodes/results"))
    parser.add_argument("--calculator", default="chgnet")
    parser.add_argument("--ranks", type=int, default=3)
    given = parser.parse_args()
    relaxer = Relaxer(given.calculator, given.results)
    found = relaxations(relaxer, given.ranks)
    metal = reference("Na", relaxer)
    print(f"\nsodium metal: {metal.energy_eV_per_atom:.4f} eV/atom")
    table(found, metal.energy_eV_per_atom, load_host("nvpf").formula_units)


if __name__ == "__main__":
    main()
