"""Reference phases of the elements, and formation energies against them by one calculator.

Metals stand in the phase that ASE lists for them at ambient conditions (`ase.data.reference_states`); what ASE cannot
build is listed here with its source. Chemical potentials are energies per atom of these phases by the same
calculator, so a formation energy never mixes two methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from ase.spacegroup import crystal

from calculators.relaxations import Relaxed, Relaxer

#: Box (Å) around a diatomic molecule, longer than any cutoff of the network.
MOLECULE_BOX_A = 14.0
#: Limit of |V_after / V_before - 1| of a reference phase.
MAX_VOLUME_CHANGE = 0.6


def _black_phosphorus() -> Atoms:
    """Brown and Rundqvist, Acta Cryst. 19, 684 (1965)."""
    return crystal("P", [(0, 0.10168, 0.08056)], spacegroup=64, cellpar=[3.3136, 10.478, 4.3763, 90, 90, 90])


def _alpha_manganese() -> Atoms:
    """Oberteuffer and Ibers, Acta Cryst. B26, 1499 (1970): 29 atoms in the primitive cell, without its magnetism."""
    places = [(0, 0, 0), (0.31765, 0.31765, 0.31765), (0.35711, 0.35711, 0.03470), (0.08968, 0.08968, 0.28211)]
    return crystal(["Mn"] * 4, places, spacegroup=217, cellpar=[8.9125] * 3 + [90] * 3, primitive_cell=True)


def _molecule(element: str, bond_A: float) -> Callable[[], Atoms]:
    def build() -> Atoms:
        atoms = Atoms([element] * 2, positions=[(0, 0, 0), (0, 0, bond_A)], cell=[MOLECULE_BOX_A] * 3, pbc=True)
        atoms.center()
        return atoms

    return build


#: Phases that ASE does not build, or not as the element's own.
SPECIAL: Mapping[str, tuple[str, Callable[[], Atoms]]] = {
    "P": ("black phosphorus", _black_phosphorus),
    "Mn": ("alpha-Mn", _alpha_manganese),
    "O": ("O2 molecule", _molecule("O", 1.21)),
    "F": ("F2 molecule", _molecule("F", 1.41)),
    "La": ("fcc (beta-La)", lambda: bulk("La", "fcc", a=5.30)),
}


def reference_phase(element: str) -> tuple[str, Atoms]:
    """Name and structure of an element's reference phase.

    Raises:
        ValueError: none is known.
    """
    if element in SPECIAL:
        name, build = SPECIAL[element]
        return name, build()
    state = reference_states[atomic_numbers[element]] if element in atomic_numbers else None
    if not state or state["symmetry"] not in ("bcc", "fcc", "hcp", "rhombohedral", "diamond", "bct"):
        raise ValueError(f"no reference phase is known for {element!r}")
    return state["symmetry"], bulk(element)


def reference(element: str, relaxer: Relaxer) -> Relaxed:
    """An element's reference phase, relaxed (or found relaxed) with a calculator.

    Its volume may change by up to `MAX_VOLUME_CHANGE`: layers of black phosphorus, which van der Waals forces hold,
    drift apart with PBE at nearly no energy.
    """
    phase, atoms = reference_phase(element)
    return relaxer.but(max_volume_change=MAX_VOLUME_CHANGE)(atoms, f"{element} ({phase})")


def formation_energy_eV_per_atom(
    energy_eV: float, counts: Mapping[str, int], potentials_eV: Mapping[str, float]
) -> float:
    """(E - sum N_i mu_i) / N (eV/atom): equation 1 of Shim et al. (2024), per atom.

    Args:
        energy_eV: of the cell.
        counts: atoms of every element in it.
        potentials_eV: energy per atom of every element's reference phase.

    Raises:
        ValueError: an element without a chemical potential, or no atoms.
    """
    if missing := sorted(set(counts) - set(potentials_eV)):
        raise ValueError(f"no chemical potential for {', '.join(missing)}")
    if not sum(counts.values()):
        raise ValueError("a formation energy needs atoms")
    return (energy_eV - sum(number * potentials_eV[element] for element, number in counts.items())) / sum(
        counts.values()
    )
