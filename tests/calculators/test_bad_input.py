"""Input that makes no sense and is not met elsewhere: its kind of failure and its message."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from calculators.barrier import BarrierRun
from calculators.failures import CalculationFailed
from calculators.label import FailureKind, Structure, Work
from calculators.pipeline import label_work
from calculators.settings import neb_settings
from calculators.structures import split


def test_a_hop_onto_an_occupied_site(tmp_path):
    copper = bulk("Cu", cubic=True) * 2
    run = BarrierRun(EMT, neb_settings({}), tmp_path)
    onto = copper.positions[1] - copper.positions[0]
    with pytest.raises(CalculationFailed, match=r"overlapping atoms: Cu 0 and Cu 1 are 0\.00 Å apart") as caught:
        run.final_state(copper, 0, onto)
    assert caught.value.failure.kind is FailureKind.INVALID
    assert caught.value.failure.stage == "end points"


def test_a_wrong_cell(tmp_path):
    flat = Atoms("CuX", positions=[[0, 0, 0], [0, 0, 2]], cell=[4, 4, 0], pbc=True)
    work = Work(structure=Structure.from_atoms(flat), ion="Cu", calculator="emt")
    failure = label_work(work, tmp_path).failure
    assert failure.kind is FailureKind.INVALID
    assert "cell: needs three lattice vectors and at least 1 Å^3 an atom" in failure.reason


def test_positions_that_are_no_numbers(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.numbers[0] = 0
    atoms.positions[1] = np.nan
    with pytest.raises(ValueError, match="not all of them are finite"):
        split(atoms, "Cu")
