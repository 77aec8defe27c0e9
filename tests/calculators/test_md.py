"""Dynamics: an Einstein crystal, energy conservation, resuming after kill -9, and runs that explode."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io.trajectory import Trajectory
from cells import Springs

from calculators.failures import CalculationFailed
from calculators.md import MdSettings, frames_of, run_md
from calculators.md_guard import Guard
from calculators.thermostats import temperature_K


def frames(path):
    with Trajectory(path) as trajectory:
        return list(trajectory)


def copper():
    return bulk("Cu", cubic=True)


# Resuming.

CHILD = """
import sys
from pathlib import Path
from ase.build import bulk
from ase.calculators.emt import EMT
from calculators.md import MdSettings, run_md

settings = MdSettings(thermostat=sys.argv[1], ps=0.3, equilibration_ps=0, frame_every=5)
def told(event):
    print(event["step"], flush=True)

run_md(bulk("Cu", cubic=True), EMT(), 600, settings, Path(sys.argv[2]), told)
"""


@pytest.mark.parametrize("thermostat", ["berendsen", "langevin", "nose-hoover"])
def test_a_run_killed_with_kill_9_goes_on_as_if_nothing_had_happened(tmp_path, thermostat):
    settings = MdSettings(thermostat=thermostat, ps=0.3, equilibration_ps=0, frame_every=5)
    run_md(copper(), EMT(), 600, settings, tmp_path / "whole.traj")
    killed = tmp_path / "killed.traj"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, thermostat, str(killed)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for line in child.stdout:
        if int(line) >= 100:
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    assert child.returncode == -signal.SIGKILL
    before = frames_of(killed)
    assert 20 < before < 61
    done = run_md(copper(), EMT(), 600, settings, killed)
    assert done == 300 - 5 * (before - 1)
    whole, resumed = frames(tmp_path / "whole.traj"), frames(killed)
    assert len(whole) == len(resumed) == 61
    for first, second in zip(whole, resumed, strict=True):
        assert first.info["step"] == second.info["step"]
        # EMT sums over neighbour lists whose order depends on where they were built: equal but for rounding.
        np.testing.assert_allclose(first.positions, second.positions, atol=1e-9)
        np.testing.assert_allclose(first.get_velocities(), second.get_velocities(), atol=1e-9)


@pytest.mark.parametrize("thermostat", ["berendsen", "langevin", "nose-hoover", "none"])
def test_a_calculator_without_memory_resumes_to_the_last_bit(tmp_path, thermostat):
    atoms = copper()
    for name, lengths in (("whole", [0.2]), ("parts", [0.05, 0.13, 0.2])):
        for ps in lengths:  # a longer run extends a shorter one
            settings = MdSettings(thermostat=thermostat, ps=ps, equilibration_ps=0)
            run_md(atoms, Springs(atoms.positions), 600, settings, tmp_path / f"{name}.traj")
    pairs = list(zip(frames(tmp_path / "whole.traj"), frames(tmp_path / "parts.traj"), strict=True))
    assert len(pairs) == 21
    for whole, parts in pairs:
        np.testing.assert_allclose(whole.positions, parts.positions, rtol=0, atol=1e-13)


def test_a_frame_cut_off_in_the_middle_is_written_again(tmp_path):
    path = tmp_path / "run.traj"
    settings = MdSettings(ps=0.05, equilibration_ps=0)
    run_md(copper(), EMT(), 600, settings, path)
    with path.open("ab") as stream:
        stream.write(os.urandom(300))
    assert frames_of(path) == 6
    run_md(copper(), EMT(), 600, settings.model_copy(update={"ps": 0.1}), path)
    steps = [frame.info["step"] for frame in frames(path)]
    assert steps == list(range(0, 101, 10))


def test_a_finished_run_costs_nothing(tmp_path):
    settings = MdSettings(ps=0.02, equilibration_ps=0.01)
    assert run_md(copper(), EMT(), 600, settings, tmp_path / "run.traj") == 30
    assert run_md(copper(), None, 600, settings, tmp_path / "run.traj") == 0


def test_two_processes_do_not_write_one_trajectory(tmp_path):
    path = tmp_path / "run.traj"
    settings = MdSettings(ps=0.02, equilibration_ps=0)

    def meanwhile(event):
        with pytest.raises(BlockingIOError, match="another process"):
            run_md(copper(), EMT(), 600, settings, path)

    run_md(copper(), EMT(), 600, settings, path, meanwhile)
    assert frames_of(path) == 3


def test_frames_carry_velocities_energy_and_time(tmp_path):
    events = []
    settings = MdSettings(time_step_fs=2, ps=0.04, equilibration_ps=0, frame_every=5)
    run_md(copper(), EMT(), 600, settings, tmp_path / "run.traj", events.append)
    found = frames(tmp_path / "run.traj")
    assert [frame.info["time_fs"] for frame in found] == [0, 10, 20, 30, 40]
    assert np.linalg.norm(found[-1].get_velocities()) > 0
    atoms = found[-1].copy()
    atoms.calc = EMT()
    assert found[-1].get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    assert [event["step"] for event in events] == [0, 5, 10, 15, 20]
    assert events[-1]["steps"] == 20


# Physics.


def einstein(count=2):
    """Springs of many strengths, so that a chain, too, reaches every state."""
    atoms = bulk("Cu", cubic=True) * count
    strengths = np.random.default_rng(0).uniform(1, 4, (len(atoms), 1))
    return atoms, Springs(atoms.positions, strengths)


@pytest.mark.parametrize("thermostat", ["langevin", "nose-hoover"])
def test_equipartition_of_an_einstein_crystal(tmp_path, thermostat):
    """Kinetic and potential energy are each kT/2 per degree of freedom, 3N - 3 of each."""
    atoms, calculator = einstein()
    settings = MdSettings(thermostat=thermostat, time_step_fs=4, ps=10, equilibration_ps=1, frame_every=5)
    run_md(atoms, calculator, 300, settings, tmp_path / "run.traj")
    found = frames(tmp_path / "run.traj")[50:]
    kelvins = [temperature_K(frame) for frame in found]
    freedom = 3 * len(atoms) - 3
    assert np.mean(kelvins) == pytest.approx(300, rel=0.05)
    assert np.allclose(found[-1].get_momenta().sum(axis=0), 0, atol=1e-6) or thermostat == "nose-hoover"
    if thermostat == "langevin":
        potential_eV = np.mean([frame.get_potential_energy() for frame in found])
        assert potential_eV * 2 / (units.kB * freedom) == pytest.approx(300, rel=0.06)
        # Canonical, not merely of the right mean: the temperature fluctuates by sqrt(2 / degrees of freedom).
        assert np.std(kelvins) / 300 == pytest.approx(np.sqrt(2 / freedom), rel=0.25)


def test_berendsen_brings_a_crystal_to_its_temperature(tmp_path):
    atoms = copper()
    settings = MdSettings(time_step_fs=4, ps=3, equilibration_ps=1, frame_every=5)
    run_md(atoms, EMT(), 500, settings, tmp_path / "run.traj")
    assert np.mean([temperature_K(frame) for frame in frames(tmp_path / "run.traj")[50:]]) == pytest.approx(
        500, rel=0.03
    )


def test_without_a_thermostat_energy_is_conserved(tmp_path):
    settings = MdSettings(thermostat="none", time_step_fs=2, ps=0.5, equilibration_ps=0, frame_every=5)
    run_md(copper(), EMT(), 600, settings, tmp_path / "run.traj")
    total = [frame.get_total_energy() / len(frame) for frame in frames(tmp_path / "run.traj")]
    assert np.ptp(total) < 1e-3  # eV/atom; the kinetic energy alone fluctuates by 0.03


def test_the_same_seed_gives_the_same_run_and_another_one_another(tmp_path):
    ends = []
    for number, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.traj"
        atoms, calculator = einstein(1)
        run_md(
            atoms, calculator, 600, MdSettings(thermostat="langevin", ps=0.05, equilibration_ps=0, seed=seed), path
        )
        ends.append(frames(path)[-1].positions)
    assert np.array_equal(ends[0], ends[1])
    assert not np.allclose(ends[0], ends[2], atol=1e-3)


# Runs that leave physics.


class Spoilt(Springs):
    """Springs until a call, then `spoil`."""

    def __init__(self, rest_A, at_call, spoil):
        super().__init__(rest_A)
        self.at_call, self.spoil, self.calls = at_call, spoil, 0

    def calculate(self, *given, **named):
        super().calculate(*given, **named)
        self.calls += 1
        if self.calls >= self.at_call:
            self.spoil(self.results)


def no_number(results):
    results["forces"] = results["forces"] * np.nan


def hole(results):
    results["energy"] -= 50


@pytest.mark.parametrize(("spoil", "said"), [(no_number, "no number"), (hole, "jumps by -12.50 eV an atom")])
def test_a_calculator_beyond_its_range_stops_the_run(tmp_path, spoil, said):
    atoms = copper()
    with pytest.raises(CalculationFailed, match=said) as error:
        run_md(atoms, Spoilt(atoms.positions, 15, spoil), 600, MdSettings(ps=0.1), tmp_path / "run.traj")
    assert error.value.failure.kind == "invalid"
    assert "step 14" in error.value.failure.reason
    assert frames_of(tmp_path / "run.traj") == 2  # what was sound stays


def test_an_integrator_that_heats_up_is_stopped(tmp_path):
    atoms = copper()
    stiff = Springs(atoms.positions, k_eV_per_A2=500.0)  # period 14 fs: 10 fs a step cannot follow
    with pytest.raises(CalculationFailed, match=r"heats up by itself|jumps by"):
        run_md(atoms, stiff, 300, MdSettings(thermostat="none", time_step_fs=10, ps=1), tmp_path / "run.traj")


def test_temperature_runaway_is_named():
    atoms = copper()
    atoms.calc = EMT()
    with pytest.raises(CalculationFailed, match="step 7: 9000 K, more than"):
        Guard(atoms, 1000).step(7, atoms, 9000)


def test_atoms_on_top_of_each_other_are_named():
    atoms = Atoms("NaO", positions=[[0, 0, 0], [0, 0, 0.9]], cell=[9, 9, 9], pbc=True)
    with pytest.raises(CalculationFailed, match=r"step 3: Na 0 and O 1 are only 0\.90 Å apart"):
        Guard(atoms, 1000).frame(3, atoms)


@pytest.mark.parametrize("bad", [{"ps": 0}, {"time_step_fs": 50}, {"thermostat": "andersen"}, {"frame_every": 0}])
def test_settings_are_checked(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        MdSettings(**bad)
