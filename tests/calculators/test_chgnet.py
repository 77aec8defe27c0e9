import numpy as np
import pytest
from cells import nasicon_ordering

from calculators.chgnet import ChgnetCalculator


@pytest.fixture(scope="module")
def atoms():
    ordering = nasicon_ordering(("Sn", "Sc", "Ge", "Nb"))
    atoms = ordering[ordering.numbers != 0]
    atoms.rattle(0.05, seed=1)
    return atoms


def test_agrees_with_chgnets_own_calculator(atoms):
    from chgnet.model.dynamics import CHGNetCalculator

    atoms.calc = CHGNetCalculator(use_device="cpu")
    expected = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    atoms.calc = ChgnetCalculator()
    assert atoms.get_potential_energy() == pytest.approx(expected[0], abs=1e-3)
    np.testing.assert_allclose(atoms.get_forces(), expected[1], atol=5e-4)
    np.testing.assert_allclose(atoms.get_stress(), expected[2], atol=1e-5)


def test_stress_is_only_computed_when_asked_for(atoms):
    atoms.calc = ChgnetCalculator()
    atoms.get_forces()
    assert "stress" not in atoms.calc.results
    atoms.get_stress()
    assert "stress" in atoms.calc.results


def test_calculators_share_one_network():
    first, second = ChgnetCalculator(), ChgnetCalculator()
    assert first is not second
    assert first.network is second.network
