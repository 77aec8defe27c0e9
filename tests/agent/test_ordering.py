"""Orderings: neutral, deterministic, streaming equals single, and the Ewald form is the Ewald sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.io.ase import AseAtomsAdaptor

from agent.composition import Composition
from agent.hosts import load_host, shipped_hosts
from agent.ordering import draw, draw_numbers, ewald_energy_eV
from agent.space import build_space

NZSP = load_host("nzsp")
SPACE = build_space(NZSP).compositions


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(SPACE) - 1), st.integers(0, 3), st.integers(0, 2))
def test_an_ordering_is_the_composition_and_neutral(which, index, seed):
    composition = SPACE[which]
    atoms = draw(NZSP, composition, index, seed)
    assert len(atoms) == 84
    assert np.isclose(atoms.get_initial_charges().sum(), 0)
    zr = atoms[atoms.arrays["sublattice"] == "substituted"]
    found = {e: int((zr.symbols == e).sum()) for e in set(zr.symbols)}
    assert found == dict(composition.amounts)
    mobile = atoms.numbers[atoms.arrays["sublattice"] == "mobile"]
    assert (mobile > 0).sum() == composition.mobile
    assert set(mobile) <= {0, 11}
    assert (atoms.get_initial_charges()[atoms.numbers == 0] == 0).all()
    np.testing.assert_allclose(atoms.positions, NZSP.sites().positions)
    assert (draw(NZSP, composition, index, seed).numbers == atoms.numbers).all()


def test_streaming_draws_the_same_as_one_by_one():
    block = draw_numbers(NZSP, iter(SPACE[:200]), index=1, seed=5)
    assert block.dtype == np.uint8
    assert block.shape == (200, 84)
    for row in range(0, 200, 23):
        assert (block[row] == draw(NZSP, SPACE[row], 1, 5).numbers).all()
    assert (draw_numbers(NZSP, SPACE[100:101], 1, 5)[0] == block[100]).all()


def test_orderings_differ_by_index_and_by_campaign():
    drawn = [draw(NZSP, SPACE[0], index, seed).numbers.tolist() for index in range(3) for seed in range(2)]
    assert len({tuple(d) for d in drawn}) == 6


@pytest.mark.parametrize("name", shipped_hosts())
def test_ewald_form_equals_pymatgens_sum_over_the_real_atoms(name):
    host = load_host(name)
    dopant = "Ti" if host.substituted == "V" else "Sc"
    atoms = draw(host, Composition.of(host, {dopant: 1, "Nb": 1} if dopant == "Sc" else {"Ti": 1}))
    real = atoms[atoms.numbers > 0]
    structure = AseAtomsAdaptor.get_structure(real)
    structure.add_oxidation_state_by_site(real.get_initial_charges().tolist())
    expected = EwaldSummation(structure, acc_factor=8).total_energy
    assert ewald_energy_eV(host, atoms.get_initial_charges()) == pytest.approx(expected, rel=1e-6)


def test_no_other_arrangement_of_the_mobile_ions_is_lower():
    atoms = draw(NZSP, SPACE[7])
    charges = atoms.get_initial_charges()
    mobile = np.flatnonzero(atoms.arrays["sublattice"] == "mobile")
    rng = np.random.default_rng(0)
    tried = np.tile(charges, (500, 1))
    for row in tried:
        row[mobile] = rng.permutation(row[mobile])
    assert ewald_energy_eV(NZSP, charges) <= ewald_energy_eV(NZSP, tried).min() + 2e-3


def test_swaps_find_a_low_arrangement_where_enumeration_is_out_of_reach():
    host = load_host("lzsp")
    atoms = draw(host, Composition.of(host, {"Sn": 4, "Sc": 4, "Nb": 4}))
    charges = atoms.get_initial_charges()
    mobile = np.flatnonzero(atoms.arrays["sublattice"] == "mobile")
    rng = np.random.default_rng(0)
    tried = np.tile(charges, (2_000, 1))
    for row in tried:
        row[mobile] = rng.permutation(row[mobile])
    assert ewald_energy_eV(host, charges) < ewald_energy_eV(host, tried).min()


def test_more_dopant_tries_never_raise_the_ewald_energy():
    composition = SPACE[3]
    energies = [
        float(ewald_energy_eV(NZSP, draw(NZSP, composition, 0, 0, tries).get_initial_charges()))
        for tries in (1, 4, 32)
    ]
    assert energies[0] + 2e-3 >= energies[1] >= energies[2] - 2e-3
    assert energies[2] < energies[0]


def test_a_composition_of_another_host_is_refused():
    with pytest.raises(ValueError, match="belongs to host lzsp"):
        draw(NZSP, Composition.of(load_host("lzsp"), {"Sn": 4}))


def test_an_empty_stream_gives_an_empty_block():
    assert draw_numbers(NZSP, []).shape == (0, 84)
