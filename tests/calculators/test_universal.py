"""Universal potentials are optional: listed with what they need, loaded through matcalc where that is there."""

import sys
from types import ModuleType

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from calculators import registry, universal
from calculators.labeller import distribution_version


@pytest.mark.parametrize("name", universal.MODELS)
def test_it_is_listed_with_its_fidelity_and_what_it_needs(name):
    entry = {found.name: found for found in registry.describe()}[name]
    assert entry.fidelity == f"{name}-neb"
    assert entry.versions["model"] == universal.MODELS[name][1]
    needed = ("matcalc", universal.MODELS[name][0])
    if all(distribution_version(package) != "missing" for package in needed):
        assert entry.problem is None
    else:
        assert f"pip install 'ionloop[{name}]'" in entry.problem


def test_images_share_the_weights_and_nothing_else(monkeypatch):
    """matcalc itself is not installed with the tests; in its place a module with its one function that we call."""
    loads = []
    matcalc = ModuleType("matcalc")
    matcalc.PESCalculator = type(
        "PESCalculator", (), {"load_universal": staticmethod(lambda name: loads.append(name) or EMT())}
    )
    monkeypatch.setitem(sys.modules, "matcalc", matcalc)
    universal._loaded.cache_clear()
    first, second = bulk("Cu"), bulk("Cu")
    second.rattle(0.1, seed=1)
    for atoms in (first, second):
        atoms.calc = universal.mace.factory()
    energies = [first.get_potential_energy(), second.get_potential_energy(), first.get_potential_energy()]
    universal._loaded.cache_clear()
    assert loads == ["MACE-MPA-0-medium"]
    assert first.calc is not second.calc
    assert energies[0] == energies[2]
    assert np.isfinite(energies).all()
