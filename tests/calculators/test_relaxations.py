"""Relaxations that are computed once, with their verdicts; EMT and CHGNet are the real thing."""

import numpy as np
import pytest
from ase.build import bulk, make_supercell
from hypothesis import given, settings
from hypothesis import strategies as st

from calculators.relaxations import RelaxationSettings, Relaxed, Relaxer, framework_move_A


def rattled(scale=1.02, seed=1):
    atoms = make_supercell(bulk("Cu", cubic=True), np.eye(3))
    atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    atoms.rattle(0.05, seed=seed)
    return atoms


@pytest.fixture
def relaxer(tmp_path):
    return Relaxer("emt", tmp_path)


def test_a_relaxation(relaxer):
    found = relaxer(rattled(), "Cu")
    assert found.ok
    assert found.energy_eV < found.energy_before_eV
    assert found.fmax_eV_per_A < 0.05
    assert found.relaxation_energy_eV_per_atom == pytest.approx((found.energy_before_eV - found.energy_eV) / 4)
    assert found.volume_after_A3 == pytest.approx(found.atoms.cell.volume)
    assert 0 < found.framework_move_A < 0.2
    assert found.magmoms_muB == []  # EMT knows none


def test_nothing_is_computed_twice(relaxer, tmp_path):
    events = []
    relaxer.progress = events.append
    first = relaxer(rattled(), "Cu")
    told = len(events)
    again = Relaxer("emt", tmp_path, progress=events.append)(rattled(), "the same by another name")
    assert len(events) == told
    assert again.key == first.key
    assert again.energy_eV == first.energy_eV
    assert again.name == "the same by another name"


@pytest.mark.parametrize("changed", [{"fmax_eV_per_A": 0.01}, {"cell": False}, {"max_volume_change": 0.2}])
def test_another_setting_is_another_result(tmp_path, changed):
    key = Relaxer("emt", tmp_path).key(rattled())
    assert Relaxer("emt", tmp_path, RelaxationSettings(**changed)).key(rattled()) != key
    assert Relaxer("lj", tmp_path).key(rattled()) != key
    assert Relaxer("emt", tmp_path).key(rattled(seed=2)) != key
    assert Relaxer("emt", tmp_path).key(rattled(), "Cu") != key


def test_a_killed_run_repeats_only_what_it_had_not_finished(relaxer):
    class Killed(BaseException):
        pass

    def kill(event):
        if event["step"] == 2:
            raise Killed

    done = relaxer(rattled(), "done")
    relaxer.progress = kill
    relaxer(rattled(), "done")  # known: no step is taken
    with pytest.raises(Killed):
        relaxer(rattled(seed=5), "killed")
    assert relaxer.find(rattled(seed=5)) is None
    relaxer.progress = lambda event: None
    assert relaxer(rattled(seed=5), "killed").ok
    assert relaxer.find(rattled()) == done


def test_a_torn_file_is_computed_again(relaxer, tmp_path):
    found = relaxer(rattled(), "Cu")
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text()[:200])
    assert relaxer.find(rattled()) is None
    assert relaxer(rattled(), "Cu").energy_eV == pytest.approx(found.energy_eV)


def test_unconverged(tmp_path):
    found = Relaxer("emt", tmp_path, RelaxationSettings(steps=1))(rattled(), "Cu")
    assert found.verdict.startswith("unconverged: ")
    for value in ("energy_eV", "energy_eV_per_atom", "relaxation_energy_eV_per_atom"):
        with pytest.raises(ValueError, match="Cu with emt: unconverged"):
            getattr(found, value)
    assert Relaxed.model_validate_json(found.model_dump_json()) == found


def test_a_volume_that_changed_too_much(relaxer):
    found = relaxer(rattled(scale=1.09), "Cu")
    assert found.verdict.startswith("collapsed: the volume changed by -2")
    with pytest.raises(ValueError, match="collapsed"):
        found.checked()


def test_a_framework_that_moved_too_far(tmp_path):
    limit = RelaxationSettings(max_framework_move_A=0.01)
    assert "a framework atom moved" in Relaxer("emt", tmp_path, limit)(rattled(), "Cu").verdict
    assert Relaxer("emt", tmp_path, limit)(rattled(), "Cu", mobile="Cu").ok  # mobile ions may


@pytest.mark.parametrize(("plugin", "said"), [("NotANumber", "is no number"), ("Raising", "SCF did not converge")])
def test_a_calculator_that_fails_gives_a_verdict_that_is_remembered(tmp_path, plugin, said):
    relaxer = Relaxer(f"plugins:{plugin}", tmp_path)
    found = relaxer(rattled(), "Cu")
    assert found.verdict.startswith("invalid: ")
    assert said in found.verdict
    assert relaxer.find(rattled()) == found
    with pytest.raises(ValueError, match="invalid"):
        found.atoms  # noqa: B018


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="unknown; available"):
        Relaxer("nonesuch", tmp_path)
    with pytest.raises(ValueError, match="no energies and forces"):
        Relaxer("bvse", tmp_path)
    overlapping = rattled()
    overlapping.positions[1] = overlapping.positions[0] + 0.1
    with pytest.raises(ValueError, match="overlapping"):
        Relaxer("emt", tmp_path)(overlapping, "Cu")


@given(
    strain=st.floats(0.9, 1.1),
    drift=st.tuples(*[st.floats(-3, 3)] * 3),
    move=st.floats(0, 1),
)
@settings(deadline=None)
def test_neither_strain_nor_drift_is_a_move(strain, drift, move):
    before = make_supercell(bulk("Cu", cubic=True), np.eye(3))
    after = before.copy()
    after.positions[0, 0] += move  # one of four: 3/4 of it is left once the mean is taken off
    after.set_cell(after.cell * strain, scale_atoms=True)
    after.positions += drift
    assert framework_move_A(before, after) == pytest.approx(0.75 * move * strain, abs=1e-9)


def test_chgnet_predicts_moments(tmp_path):
    found = Relaxer("chgnet", tmp_path, RelaxationSettings(steps=20))(bulk("Fe"), "Fe")
    assert found.ok
    assert found.magmoms_muB[0] == pytest.approx(2.4, abs=0.3)  # bcc iron: 2.2 by experiment
    assert found.versions["chgnet"]
