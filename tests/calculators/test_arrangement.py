"""The mobile ions of an ordering: many arrangements ranked cheaply, the best few relaxed, the lowest kept."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from cells import nasicon_ordering

from calculators import arrangement
from calculators.label import Structure, Work
from calculators.pipeline import label_key, label_work
from calculators.storage import read_images
from calculators.structures import split


def silver_in_copper():
    """Six Ag on eight sites of a rattled alloy: EMT, and no two arrangements alike."""
    from ase.build import bulk

    atoms = bulk("Cu", cubic=True) * 2
    sites = np.arange(0, 32, 4)
    atoms.numbers[sites] = 47
    atoms.numbers[sites[:2]] = 0
    atoms.rattle(0.1, seed=1)
    return atoms


def work(**settings) -> Work:
    fast = {"images": 1, "relax": "atoms", "relax_steps": 5, "relax_must_converge": False, "hop_cutoff_A": 4.5}
    fast |= {"steps": 3, "endpoint_fmax_eV_per_A": 0.5, "fmax_eV_per_A": 1.0, "rule": "easiest"}
    structure = Structure.from_atoms(silver_in_copper())
    return Work(structure=structure, ion="Ag", calculator="emt", settings=fast | settings)


def test_all_arrangements_or_a_sample_of_them():
    atoms = silver_in_copper()
    every = arrangement.arrangements(atoms, "Ag", 100)
    assert every.shape == (comb(8, 2), 8)
    assert (every.sum(axis=1) == 2).all()
    some = arrangement.arrangements(atoms, "Ag", 10, seed=3)
    assert len(some) <= 11
    assert (some == arrangement.arrangements(atoms, "Ag", 10, seed=3)).all()
    own = atoms.numbers[(atoms.symbols == "Ag") | (atoms.numbers == 0)] == 0
    assert (some == own).all(axis=1).any()


def test_ewald_energies_are_those_of_pymatgen():
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Structure

    atoms = nasicon_ordering(("Hf",) * 4)
    empty = arrangement.arrangements(atoms, "Na", 3)
    tried = [arrangement.arranged(atoms, "Na", row) for row in empty]
    found = arrangement.ewald_energies(tried)
    for structure, energy in zip(tried, found, strict=True):
        real = structure[structure.numbers != 0]
        whole = Structure(Lattice(real.cell.array), real.numbers, real.get_scaled_positions())
        whole.add_oxidation_state_by_site(real.get_initial_charges().tolist())
        assert energy == pytest.approx(EwaldSummation(whole).total_energy, abs=1e-3)


def test_the_lowest_of_the_relaxed_is_kept_and_all_is_said(tmp_path):
    label = label_work(work(arrangements=3), tmp_path)
    facts = label.provenance["arrangements"]
    assert facts["tried"] == 28
    assert facts["ranked_by"] == "single points"
    assert len(facts["relaxed_eV"]) == 3
    assert facts["relaxed_eV"][facts["kept"]] == min(facts["relaxed_eV"])
    assert label.extra["energy_eV"] == pytest.approx(min(facts["relaxed_eV"]), abs=1e-3)
    kept = read_images(tmp_path / "arrangements" / str(facts["kept"]) / "relaxed.extxyz")[0]
    assert np.allclose(read_images(tmp_path / "relaxed.extxyz")[0].positions, kept.positions)
    assert label.force_calls > 3 * 5
    # The best of the cheap ranking is lower than what was given.
    given = split(silver_in_copper(), "Ag").atoms
    from calculators.registry import find

    given.calc = find("emt").factory()
    best = arrangement.ranked(silver_in_copper(), "Ag", find("emt").factory)[0][0]
    best = best[best.numbers != 0]
    best.calc = find("emt").factory()
    assert best.get_potential_energy() <= given.get_potential_energy()


def test_as_given_is_the_default_and_keeps_its_address():
    assert label_key(work()) == label_key(work(arrangements=1)) != label_key(work(arrangements=2))
