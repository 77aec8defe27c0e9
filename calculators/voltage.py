"""Average intercalation voltages from energies at several mobile-ion contents.

Between two contents the mean voltage against the metal of the mobile ion (charge 1 e) is

    V = -(E(n_high) - E(n_low) - (n_high - n_low) E_metal) / (n_high - n_low),

energies in eV per cell, n in ions per cell (Aydinol et al., Phys. Rev. B 56, 1354 (1997), with enthalpies for free
energies). Shim et al. (2024) call the steps of one ion per formula unit V43, V32 and V21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import units

from calculators.relaxations import Relaxed


def average_voltage_V(
    energy_low_eV: float, ions_low: int, energy_high_eV: float, ions_high: int, metal_eV: float
) -> float:
    """Mean voltage (V) between two contents of one cell.

    Args:
        energy_low_eV, energy_high_eV: of the cell with fewer and with more ions.
        ions_low, ions_high: mobile ions in the cell.
        metal_eV: energy per atom of the mobile ion's metal.

    Raises:
        ValueError: `ions_high` is not above `ions_low`, or an energy is no finite number.
    """
    if ions_high <= ions_low:
        raise ValueError(f"voltage: {ions_high} ions are not more than {ions_low}")
    if not np.isfinite([energy_low_eV, energy_high_eV, metal_eV]).all():
        raise ValueError("voltage: an energy is no finite number")
    inserted = ions_high - ions_low
    return -(energy_high_eV - energy_low_eV - inserted * metal_eV) / inserted


def capacity_mAh_per_g(ions_per_formula: float, molar_mass_g_per_mol: float) -> float:
    """Theoretical capacity of ions (charge 1 e) taken from a formula unit: n F / (3.6 M), with Faraday's constant F.

    Raises:
        ValueError: the mass is not above 0, or a negative number of ions.
    """
    if molar_mass_g_per_mol <= 0 or ions_per_formula < 0:
        raise ValueError(f"capacity: {ions_per_formula} ions of {molar_mass_g_per_mol} g/mol")
    return ions_per_formula * units._Nav * units._e / 3.6 / molar_mass_g_per_mol


@dataclass(frozen=True)
class Step:
    """One step of a voltage profile: contents per formula unit, and the mean voltage (V) between them."""

    low: float
    high: float
    voltage_V: float

    @property
    def name(self) -> str:
        """V43, V32, V21 for whole contents, "V(1.5-1)" otherwise."""
        if float(self.low).is_integer() and float(self.high).is_integer():
            return f"V{self.high:g}{self.low:g}"
        return f"V({self.high:g}-{self.low:g})"


def profile(energies_eV: Mapping[float, float], metal_eV: float, formula_units: int) -> tuple[Step, ...]:
    """Steps between neighbouring contents, from the lowest content up.

    Args:
        energies_eV: energy per cell by mobile ions per formula unit.
        metal_eV: energy per atom of the mobile ion's metal.
        formula_units: in the cell.

    Raises:
        ValueError: fewer than two contents, or contents that are no whole ions of the cell.
    """
    if len(energies_eV) < 2:
        raise ValueError("a voltage needs energies at two contents at least")
    ions = {content: round(content * formula_units) for content in sorted(energies_eV)}
    if any(abs(content * formula_units - count) > 1e-6 for content, count in ions.items()):
        raise ValueError(f"contents {sorted(energies_eV)}: not whole ions in a cell of {formula_units} formula units")
    return tuple(
        Step(low, high, average_voltage_V(energies_eV[low], ions[low], energies_eV[high], ions[high], metal_eV))
        for low, high in pairwise(ions)
    )


@dataclass(frozen=True)
class Electrode:
    """One arrangement of metals at several contents, relaxed, with what follows from it.

    `verdict` is "ok" only if every content relaxed well; otherwise it names the content and the reason, and there
    are no voltages.

    Attributes:
        steps: of the voltage profile, from the lowest content up; empty without a verdict "ok".
        relaxation_eV_per_atom: by content, where the relaxation was ok.
        volume_A3: of the relaxed cell by content, likewise.
    """

    name: str
    verdict: str
    steps: tuple[Step, ...]
    relaxation_eV_per_atom: dict[float, float]
    volume_A3: dict[float, float]

    def voltage_V(self, name: str) -> float | None:
        """Voltage of the step called V43, V32, ...; None if there is none."""
        return next((step.voltage_V for step in self.steps if step.name == name), None)

    def expansion(self, low: float, high: float) -> float | None:
        """Relative growth of the volume from content `low` to content `high`, of the smaller one; None if unknown."""
        if low not in self.volume_A3 or high not in self.volume_A3:
            return None
        return self.volume_A3[high] / self.volume_A3[low] - 1


def electrode(
    name: str, relaxed: Mapping[float, Relaxed], contents: Sequence[float], metal: Relaxed, formula_units: int
) -> Electrode:
    """Put the relaxations of one arrangement together.

    Args:
        relaxed: by content; one that is missing or has a bad verdict leaves the electrode without voltages.
        contents: that there should be.
        metal: the mobile ion's metal, by the same calculator.

    Raises:
        ValueError: the metal did not relax well, or energies are of different calculators or versions.
    """
    metal_eV = metal.energy_eV_per_atom
    good = {content: found for content, found in sorted(relaxed.items()) if found.ok}
    for found in good.values():
        if (found.calculator, found.versions) != (metal.calculator, metal.versions):
            raise ValueError(
                f"{name}: relaxed with {found.calculator} {found.versions}, but its reference metal with "
                f"{metal.calculator} {metal.versions}; energies of two methods cannot be subtracted"
            )
    relaxation = {content: found.relaxation_energy_eV_per_atom for content, found in good.items()}
    volumes = {content: found.volume_after_A3 for content, found in good.items() if found.volume_after_A3}
    problems = [
        f"content {content:g}: {relaxed[content].verdict if content in relaxed else 'not computed'}"
        for content in sorted(contents)
        if content not in good
    ]
    steps: tuple[Step, ...] = ()
    if not problems:
        steps = profile({content: found.energy_eV for content, found in good.items()}, metal_eV, formula_units)
    return Electrode(name, "; ".join(problems) or "ok", steps, relaxation, volumes)
