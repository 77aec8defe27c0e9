"""Universal potentials are optional: listed with what they need, loaded through matcalc where that is there."""

import socket
import sys
from types import ModuleType

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from cells import copper_with_vacancy

from calculators import conformance, registry, universal
from calculators.conformance import metal_probe
from calculators.label import FailureKind, Structure, Work
from calculators.labeller import distribution_version
from calculators.pipeline import label_work


@pytest.mark.parametrize("name", universal.MODELS)
def test_it_is_listed_with_its_fidelity_and_what_it_needs(name):
    entry = {found.name: found for found in registry.describe()}[name]
    assert entry.fidelity == f"{name}-neb"
    potential = universal.MODELS[name]
    assert entry.versions["model"] == potential.model
    if sys.version_info < potential.python:
        assert f"{potential.distribution} needs Python 3.12" in entry.problem
    elif all(distribution_version(package) != "missing" for package in ("matcalc", potential.distribution)):
        assert entry.problem is None
        assert bool(entry.remark) is not potential.shipped
    else:
        assert f"pip install 'ionloop[{potential.extra}]'" in entry.problem
        assert entry.remark == ""


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


def test_weights_that_cannot_be_had_are_one_clear_line_and_no_fault_of_the_structure(monkeypatch, tmp_path):
    """Without a network the library fails on its first use; later the same label may work."""

    def offline(name):
        try:
            raise socket.gaierror("Name or service not known")
        except OSError:
            raise RuntimeError("Model download failed and no local model found\ntraceback") from None

    matcalc = ModuleType("matcalc")
    matcalc.PESCalculator = type("PESCalculator", (), {"load_universal": staticmethod(offline)})
    monkeypatch.setitem(sys.modules, "matcalc", matcalc)
    monkeypatch.setattr(universal.mace, "unavailable", lambda: None)
    universal._loaded.cache_clear()
    work = Work(structure=Structure.from_atoms(copper_with_vacancy()), ion="Cu", calculator="mace")
    label = label_work(work, tmp_path)
    assert label.failure.kind is FailureKind.TRANSIENT
    assert label.failure.reason.startswith("the weights of MACE-MPA-0-medium could not be loaded (the download fails")
    assert "load them once where there is a network" in label.failure.reason
    last = list(conformance.check("mace"))[-1]  # said once, not for every probe
    assert (last.name, last.passed, last.found) == ("can be made", False, label.failure.reason)


def test_only_a_download_that_fails_is_called_one():
    """Seen: a library too old for matcalc, and a torchvision built for another torch."""
    said = universal.why_not_loaded("M", ImportError("Provider 'orb' requires orb-models >= 0.6"))
    assert said == "the weights of M could not be loaded (Provider 'orb' requires orb-models >= 0.6)"
    said = universal.why_not_loaded("M", RuntimeError("operator torchvision::nms does not exist"))
    assert "the download fails" not in said
    assert "if nothing could be downloaded" in said


def test_a_real_mace_with_weights_of_ones_own(tmp_path, monkeypatch):
    """Random weights, since none can be downloaded here; what is tested is the way in, not the chemistry."""
    modules = pytest.importorskip("mace.modules", reason="pip install 'ionloop[mace]'")
    import torch
    from e3nn import o3

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=1,
        hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("8x0e"),
        atomic_energies=np.array([-1.0]),
        avg_num_neighbors=20.0,
        atomic_numbers=[29],
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=0.3,
        atomic_inter_shift=0.0,
    ).double()
    torch.save(model, tmp_path / "own.model")
    monkeypatch.setenv("OWN_MACE", str(tmp_path / "own.model"))
    assert registry.find("plugins:own_mace").fidelity == "own-mace-neb"
    checks = list(conformance.check("plugins:own_mace", metal_probe()))
    assert all(found.passed for found in checks), conformance.as_table(checks)
    settings = {"relax": "none", "images": 1, "steps": 2, "hop_cutoff_A": 3.0, "endpoint_fmax_eV_per_A": 10.0}
    work = Work(
        structure=Structure.from_atoms(copper_with_vacancy()),
        ion="Cu",
        calculator="plugins:own_mace",
        settings=settings | {"fmax_eV_per_A": 10.0, "rule": "easiest"},
    )
    label = label_work(work, tmp_path / "label")
    assert label.fidelity == "own-mace-neb"
    assert label.ok or label.failure.kind is FailureKind.INVALID, label.failure
    assert label.force_calls > 0


@pytest.mark.parametrize("name", ["sevennet-0", "sevennet-l3i5"])
def test_weights_that_lie_in_the_package_need_no_network(name):
    """A real universal potential, wherever SevenNet is installed."""
    for package in ("sevenn", "matcalc"):
        pytest.importorskip(package, reason="pip install 'ionloop[sevennet]'")
    checks = list(conformance.check(name))
    assert all(found.passed for found in checks), conformance.as_table(checks)
