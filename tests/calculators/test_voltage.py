"""Voltages by hand, and what must not change them."""

import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from calculators.elemental import formation_energy_eV_per_atom, reference, reference_phase
from calculators.relaxations import RelaxationSettings, Relaxed, Relaxer
from calculators.voltage import average_voltage_V, capacity_mAh_per_g, electrode, profile

SODIUM_EV = -1.3
#: Four formula units; by hand: V21 = 3.7, V32 = 3.4, V43 = 2.0 V against a metal of -1.3 eV per atom.
ENERGIES = {1: -100.0, 2: -100.0 - 4 * 5.0, 3: -100.0 - 4 * 5.0 - 4 * 4.7, 4: -100.0 - 4 * 5.0 - 4 * 4.7 - 4 * 3.3}

energies = st.floats(-1e4, 1e4)


def test_by_hand():
    steps = {step.name: step.voltage_V for step in profile(ENERGIES, SODIUM_EV, 4)}
    assert steps == pytest.approx({"V21": 3.7, "V32": 3.4, "V43": 2.0})


def test_one_cell_by_hand():
    # Na2X -> 2 Na + X: X -10 eV, Na2X -17 eV, Na -1 eV: (-17 + 10 + 2) / -2 = 2.5 V
    assert average_voltage_V(-10.0, 0, -17.0, 2, -1.0) == pytest.approx(2.5)


@given(energies, energies, st.floats(-5, 0), st.floats(-1e4, 1e4), st.integers(0, 10), st.integers(1, 10))
def test_a_shift_of_the_host_does_not_matter(low, high, metal, shift, ions, more):
    plain = average_voltage_V(low, ions, high, ions + more, metal)
    assert average_voltage_V(low + shift, ions, high + shift, ions + more, metal) == pytest.approx(plain, abs=1e-6)


@given(energies, energies, st.floats(-5, 0), st.floats(-5, 5))
def test_a_shift_of_every_ion_does_not_matter(low, high, metal, shift):
    plain = average_voltage_V(low, 4, high, 8, metal)
    shifted = average_voltage_V(low + 4 * shift, 4, high + 8 * shift, 8, metal + shift)
    assert shifted == pytest.approx(plain, abs=1e-6)


@given(energies, energies, st.floats(-5, 0), st.integers(1, 6))
def test_the_size_of_the_cell_does_not_matter(low, high, metal, cells):
    plain = average_voltage_V(low, 1, high, 3, metal)
    assert average_voltage_V(cells * low, cells, cells * high, 3 * cells, metal) == pytest.approx(plain, abs=1e-6)


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4), st.floats(-5, 0))
def test_steps_average_to_the_whole(values, metal):
    given_energies = dict(enumerate(values, 1))
    steps = profile(given_energies, metal, 4)
    whole = profile({1: values[0], 4: values[3]}, metal, 4)[0]
    assert whole.name == "V41"
    assert sum(step.voltage_V for step in steps) / 3 == pytest.approx(whole.voltage_V, abs=1e-9)


def test_a_voltage_is_a_difference_of_formation_energies():
    potentials = {"Na": SODIUM_EV, "X": -3.0}
    counts = {1: {"Na": 4, "X": 16}, 2: {"Na": 8, "X": 16}}
    formation = {n: formation_energy_eV_per_atom(ENERGIES[n], counts[n], potentials) * (16 + 4 * n) for n in counts}
    assert -(formation[2] - formation[1]) / 4 == pytest.approx(3.7)


@pytest.mark.parametrize(
    "bad", [(-1.0, 4, -2.0, 4, -1.3), (-1.0, 5, -2.0, 4, -1.3), (float("nan"), 1, -2.0, 4, -1.3)]
)
def test_bad_steps(bad):
    with pytest.raises(ValueError, match="voltage"):
        average_voltage_V(*bad)


def test_bad_profiles():
    with pytest.raises(ValueError, match="two contents"):
        profile({3: -1.0}, SODIUM_EV, 4)
    with pytest.raises(ValueError, match="whole ions"):
        profile({3: -1.0, 3.1: -2.0}, SODIUM_EV, 4)


def relaxed(energy=-100.0, verdict="ok", calculator="emt", before=-99.0):
    structure = {
        "numbers": [11, 11],
        "cell_A": [[5.0, 0, 0], [0, 5.0, 0], [0, 0, 5.0]],
        "positions_A": [[0, 0, 0]] * 2,
    }
    return Relaxed(
        key="k",
        name="x",
        calculator=calculator,
        versions={},
        settings=RelaxationSettings(),
        verdict=verdict,
        energy_before_eV=before,
        energy_after_eV=energy,
        volume_after_A3=125.0,
        structure=structure,
    )


METAL = relaxed(2 * SODIUM_EV)


def test_the_papers_capacities():
    """Shim et al. (2024): 128 mAh/g for Na3V2(PO4)2F3, and 150 % of it with a third sodium."""
    mass = float(Composition("Na3V2(PO4)2F3").weight)
    assert capacity_mAh_per_g(2, mass) == pytest.approx(128.3, abs=0.1)
    assert capacity_mAh_per_g(3, mass) / capacity_mAh_per_g(2, mass) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="capacity"):
        capacity_mAh_per_g(1, 0)


def test_an_electrode():
    found = electrode("V2#0", {n: relaxed(e, before=e + 0.2) for n, e in ENERGIES.items()}, (1, 2, 3, 4), METAL, 4)
    assert found.verdict == "ok"
    assert found.voltage_V("V43") == pytest.approx(2.0)
    assert found.relaxation_eV_per_atom == pytest.approx(dict.fromkeys(ENERGIES, 0.1))
    assert found.expansion(1, 3) == 0
    assert found.expansion(1, 5) is None
    assert found.voltage_V("V54") is None


@pytest.mark.parametrize(
    "verdict", ["unconverged: 0.3 eV/Å", "collapsed: the volume changed by -20 %", "invalid: NaN"]
)
def test_a_bad_relaxation_leaves_no_voltage(verdict):
    runs = {n: relaxed(e) for n, e in ENERGIES.items()} | {3: relaxed(verdict=verdict)}
    found = electrode("V2#0", runs, (1, 2, 3, 4), METAL, 4)
    assert found.steps == ()
    assert found.verdict == f"content 3: {verdict}"
    assert sorted(found.relaxation_eV_per_atom) == [1, 2, 4]


def test_a_missing_content_leaves_no_voltage():
    runs = {n: relaxed(e) for n, e in ENERGIES.items() if n != 4}
    assert electrode("V2#0", runs, (1, 2, 3, 4), METAL, 4).verdict == "content 4: not computed"


def test_two_methods_are_never_subtracted():
    runs = {n: relaxed(e, calculator="lj") for n, e in ENERGIES.items()}
    with pytest.raises(ValueError, match="two methods"):
        electrode("V2#0", runs, (1, 2, 3, 4), METAL, 4)
    with pytest.raises(ValueError, match="unconverged"):
        electrode("V2#0", {}, (1, 2), relaxed(verdict="unconverged: x"), 4)


@pytest.mark.parametrize(("element", "atoms"), [("Na", 1), ("Mn", 29), ("P", 8), ("O", 2), ("Ti", 2), ("Hg", 1)])
def test_reference_phases(element, atoms):
    name, found = reference_phase(element)
    assert name
    assert len(found) == atoms
    assert found.pbc.all()


@pytest.mark.parametrize(
    "metals",
    ["Sc Ti V Cr Mn Fe Co Ni Cu Zn", "Y Zr Nb Mo Tc Ru Rh Pd Ag Cd", "La Hf Ta W Re Os Ir Pt Au Hg"],
)
def test_every_transition_metal_has_a_phase(metals):
    for element in metals.split():
        assert set(reference_phase(element)[1].get_chemical_symbols()) == {element}


def test_an_element_without_a_phase():
    with pytest.raises(ValueError, match="no reference phase"):
        reference_phase("Xx")
    with pytest.raises(ValueError, match="no chemical potential for O"):
        formation_energy_eV_per_atom(-1.0, {"Na": 1, "O": 1}, {"Na": -1.3})


def test_a_reference_is_relaxed(tmp_path):
    found = reference("Cu", Relaxer("emt", tmp_path))
    assert found.ok
    assert found.name == "Cu (fcc)"
    assert found.energy_eV_per_atom == pytest.approx(0.0, abs=0.01)  # EMT's own zero
    assert len(bulk("Cu")) == len(found.atoms)
