import numpy as np
import plugins
import pytest
from ase.calculators.emt import EMT

from calculators.conformance import as_table, check
from calculators.registry import UnknownCalculator


@pytest.mark.parametrize("name", ["emt", "lj", "bvse", "chgnet"])
def test_built_in_calculators_conform(name):
    checks = list(check(name))
    table = as_table(checks)
    assert all(entry.passed for entry in checks), table
    assert len(table.splitlines()) == len(checks)


class WrongForces(EMT):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["forces"] = self.results["forces"] * 1.1


class Noisy(EMT):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["energy"] += np.random.default_rng().normal() * 0.05


class ForgetsPeriodicity(EMT):
    def calculate(self, atoms, *args, **kwargs):
        super().calculate(atoms, *args, **kwargs)
        self.results["energy"] += 0.01 * atoms.positions[0].sum()


@pytest.mark.parametrize(
    ("broken", "found_by"),
    [
        (WrongForces, "forces are minus the energy's slope"),
        (Noisy, "deterministic between two objects"),
        (ForgetsPeriodicity, "translation"),
    ],
)
def test_a_broken_calculator_is_found_out(broken, found_by, monkeypatch):
    monkeypatch.setattr(plugins, "Broken", broken, raising=False)
    checks = {entry.name: entry.passed for entry in check("plugins:Broken")}
    assert checks["runs"]
    assert not checks[found_by]


def test_a_calculator_that_cannot_run_says_so():
    checks = list(check("plugins:Raising"))
    assert not checks[-1].passed
    assert "not on" in checks[-1].found
    with pytest.raises(UnknownCalculator):
        list(check("nonesuch"))


class Directed(EMT):
    """Runs in a folder, as one that starts an executable does, and takes an option."""

    def __init__(self, directory, scale=1.0):
        super().__init__()
        directory.mkdir(parents=True)
        self.scale = scale

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results = {name: self.scale * value for name, value in self.results.items()}


def test_a_calculator_that_needs_a_folder_and_options_is_checked_as_any_other():
    """vasp and espresso are of this kind."""
    checks = list(check("test_conformance:Directed", options={"scale": 2.0}))
    assert all(entry.passed for entry in checks), as_table(checks)
    refused = list(check("test_conformance:Directed", options={"colour": "red"}))[-1]
    assert refused.name == "can be made"
    assert "unexpected keyword argument 'colour'" in refused.found
