"""The dynamics of our CHGNet against plain ASE with CHGNet's own calculator."""

import numpy as np
from ase import units
from ase.build import bulk
from ase.constraints import FixCom
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from chgnet.model.dynamics import CHGNetCalculator

from calculators.chgnet import ChgnetCalculator
from calculators.md import MdSettings, last_frame, run_md


def test_our_chgnet_and_chgnet_s_own_calculator_drive_the_same_trajectory(tmp_path):
    """100 steps of plain ASE with `CHGNetCalculator`, and ours; single precision is all that may be between them."""
    salt = bulk("NaCl", "rocksalt", a=5.7, cubic=True)
    run_md(salt, ChgnetCalculator(), 1000, MdSettings(ps=0.1, equilibration_ps=0), tmp_path / "ours.traj")
    atoms = salt.copy()
    MaxwellBoltzmannDistribution(atoms, temperature_K=1000, rng=np.random.default_rng(0))
    Stationary(atoms)
    atoms.set_constraint(FixCom())
    atoms.calc = CHGNetCalculator(use_device="cpu")
    NVTBerendsen(atoms, units.fs, temperature_K=1000, taut=100 * units.fs).run(100)
    last = last_frame(tmp_path / "ours.traj")
    assert np.linalg.norm(last.positions - salt.positions, axis=1).max() > 0.3
    np.testing.assert_allclose(last.positions, atoms.positions, atol=2e-3)
