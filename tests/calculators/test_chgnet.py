import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from cells import nasicon_ordering

from calculators.chgnet import ChgnetCalculator, load_model, shared_network
from calculators.chgnet_graph import build_graph
from calculators.chgnet_network import Network
from calculators.neb import interpolated, run_band
from calculators.settings import NebSettings


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
    # Both run in single precision; the rearranged network is the closer one to double precision.
    assert atoms.get_potential_energy() == pytest.approx(expected[0], abs=1e-3)
    np.testing.assert_allclose(atoms.get_forces(), expected[1], atol=2e-3)
    np.testing.assert_allclose(atoms.get_stress(), expected[2], atol=1e-5)


def test_the_graph_is_chgnets(atoms):
    from pymatgen.core import Lattice, Structure

    converter = load_model("0.3.0", "cpu").graph_converter
    theirs = converter(Structure(Lattice(atoms.cell.array), atoms.numbers, atoms.get_scaled_positions()))
    ours = build_graph([atoms], 6, 3)
    assert len(ours.center) == len(theirs.atom_graph)
    assert len(ours.vectors_A) == len(theirs.undirected2directed)
    assert len(ours.angle_i) == len(theirs.bond_graph)
    pairs = np.column_stack([ours.center, ours.neighbour])
    assert sorted(map(tuple, pairs)) == sorted(map(tuple, theirs.atom_graph.tolist()))


@pytest.mark.parametrize("cell", [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.6), bulk("Si")], ids=str)
def test_small_cells_whose_atoms_meet_their_own_images(cell):
    from chgnet.model.dynamics import CHGNetCalculator

    cell.rattle(0.05, seed=2)
    cell.calc = CHGNetCalculator(use_device="cpu")
    expected = cell.get_potential_energy(), cell.get_forces()
    cell.calc = ChgnetCalculator()
    assert cell.get_potential_energy() == pytest.approx(expected[0], abs=1e-4)
    np.testing.assert_allclose(cell.get_forces(), expected[1], atol=1e-3)


def test_several_structures_in_one_pass(atoms):
    network = shared_network("0.3.0", "cpu")
    salt = bulk("NaCl", "rocksalt", a=5.6)
    together = network.evaluate([atoms, salt])
    for structure, result in zip([atoms, salt], together, strict=True):
        (alone,) = network.evaluate([structure])
        assert result.energy_eV == pytest.approx(alone.energy_eV, abs=1e-4)
        np.testing.assert_allclose(result.forces, alone.forces, atol=1e-3)
        np.testing.assert_allclose(result.stress, alone.stress, atol=1e-5)


def test_an_isolated_atom_feels_no_force():
    lonely = Atoms("Na", positions=[[0, 0, 0]], cell=[20, 20, 20], pbc=True, calculator=ChgnetCalculator())
    assert np.isfinite(lonely.get_potential_energy())
    assert (lonely.get_forces() == 0).all()


def test_calculators_share_one_network():
    first, second = ChgnetCalculator(), ChgnetCalculator()
    assert first is not second
    assert first.network is second.network


def test_a_model_of_another_architecture_is_refused():
    model = copy.copy(load_model("0.3.0", "cpu"))
    model.model_args = model.model_args | {"gMLP_norm": "batch"}
    with pytest.raises(ValueError, match="gMLP_norm='batch'"):
        Network(model)


def test_on_a_gpu_the_images_go_together_and_on_a_cpu_one_by_one():
    calculator = ChgnetCalculator()
    assert not calculator.batches()
    calculator.network = SimpleNamespace(device=torch.device("cuda"))
    assert calculator.batches()


def test_a_band_in_one_pass_is_the_same_band(monkeypatch):
    """What a GPU does, done on a CPU: every step is one evaluation of the network with all images in it."""
    full = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    initial, final = full[1:], full[1:]
    final.positions[0] += 0.6 * (full.positions[0] - final.positions[0])
    passes: list[int] = []
    evaluate = Network.evaluate

    def counted(self, structures):
        passes.append(len(structures))
        return evaluate(self, structures)

    monkeypatch.setattr(Network, "evaluate", counted)
    bands, sizes = [], []
    for batches in (False, True):
        monkeypatch.setattr(ChgnetCalculator, "batches", lambda self, batches=batches: batches)
        images = interpolated(initial, final, 2)
        for end in (images[0], images[-1]):
            end.calc = ChgnetCalculator()
            end.get_forces()
        passes.clear()
        bands.append(run_band(images, ChgnetCalculator, NebSettings(images=2, steps=3)))
        sizes.append(list(passes))
    assert bands[0].path_eV == pytest.approx(bands[1].path_eV, abs=1e-4)
    for one, other in zip(bands[0].images, bands[1].images, strict=True):
        np.testing.assert_allclose(one.get_forces(), other.get_forces(), atol=1e-3)
    assert sizes == [[1] * 8, [2] * 4]
