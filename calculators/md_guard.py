"""What tells that a run has left physics: it is stopped with the reason, and no number is made of it."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list

from calculators.failures import invalid

STAGE = "md"
#: The potential energy may not change by more than this in one step (eV per atom). A cell of 80 atoms at 1500 K
#: changes by 0.01; what changes by more meets a hole or a wall of the potential.
ENERGY_JUMP_EV = 0.2
#: Two atoms may not come closer than this share of the sum of their covalent radii (Zr-O: 1.2 Å, P-O: 0.9 Å).
CLOSEST_SHARE = 0.5


class Guard:
    """Watches one run at one temperature."""

    def __init__(self, atoms: Atoms, temperature_K: float) -> None:
        degrees_of_freedom = max(3 * len(atoms) - 3, 1)
        # The temperature of few atoms fluctuates by sqrt(2 / degrees of freedom); six sigma above thrice the target.
        self.hottest_K = temperature_K * (3 + 6 * np.sqrt(2 / degrees_of_freedom))
        self.closest_A = natural_cutoffs(atoms, mult=CLOSEST_SHARE)
        self.energy_eV: float | None = None

    def step(self, step: int, atoms: Atoms, temperature_K: float) -> None:
        """Look at energy, forces and temperature after a step.

        Raises:
            CalculationFailed: `invalid`, with the step and what is wrong.
        """
        energy = float(atoms.get_potential_energy())
        if not (np.isfinite(energy) and np.isfinite(atoms.get_forces(apply_constraint=False)).all()):
            raise invalid(f"step {step}: the calculator returned an energy or force that is no number", STAGE)
        if not temperature_K < self.hottest_K:
            raise invalid(
                f"step {step}: {temperature_K:.0f} K, more than {self.hottest_K:.0f} K: the run heats up by itself "
                "(a time step that is too long, a start that is not relaxed, or a calculator beyond its range)",
                STAGE,
            )
        jump = 0.0 if self.energy_eV is None else (energy - self.energy_eV) / len(atoms)
        if abs(jump) > ENERGY_JUMP_EV:
            raise invalid(
                f"step {step}: the potential energy jumps by {jump:+.2f} eV an atom in one step "
                f"(at most {ENERGY_JUMP_EV} is believed)",
                STAGE,
            )
        self.energy_eV = energy

    def frame(self, step: int, atoms: Atoms) -> None:
        """Look for atoms that have come too close (dearer than `step`, so once a frame).

        Raises:
            CalculationFailed: `invalid`, naming the pair.
        """
        i, j, distance_A = neighbor_list("ijd", atoms, self.closest_A)
        if len(distance_A):
            worst = distance_A.argmin()
            first, second = sorted((int(i[worst]), int(j[worst])))
            raise invalid(
                f"step {step}: {atoms.symbols[first]} {first} and {atoms.symbols[second]} {second} are only "
                f"{distance_A[worst]:.2f} Å apart",
                STAGE,
            )
