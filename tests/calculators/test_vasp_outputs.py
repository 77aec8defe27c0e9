"""Real outputs of VASP: a step of a VTST run from pymatgen's test files, and what ASE ships with its own tests."""

import shutil
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest

from calculators import vasp_neb

VTST = Path(__file__).parent / "data" / "vtst_fe31_OUTCAR"
ASE_DATA = Path(ase.__file__).parent / "test" / "testdata" / "vasp"
needs_ase_data = pytest.mark.skipif(not ASE_DATA.is_dir(), reason="this ASE comes without its test data")


def test_the_last_step_of_a_real_vtst_run(tmp_path):
    """Values as they stand in the file; VASP itself prints the largest force as 0.070074 eV/Å."""
    shutil.copy(VTST, tmp_path / "OUTCAR")
    image = vasp_neb.read_last_step(tmp_path)
    assert image.get_chemical_formula() == "Fe31"
    assert image.get_potential_energy() == -255.98097765
    assert image.get_potential_energy(force_consistent=True) == -256.31561198
    assert np.linalg.norm(image.get_forces(), axis=1).max() == pytest.approx(0.070074, abs=2e-6)
    np.testing.assert_allclose(image.cell.lengths(), 7.267193)
    np.testing.assert_allclose(image.positions[-1], [5.46264, 5.45278, 3.62062])


def test_a_band_of_outcars_is_read_and_a_cut_off_one_is_named(tmp_path):
    end = ase.io.read(VTST, format="vasp-out", index=-1)
    for number in ("00", "01", "02"):
        (tmp_path / number).mkdir()
    shutil.copy(VTST, tmp_path / "01" / "OUTCAR")
    band = vasp_neb.read_band(tmp_path, end, end)
    assert len(band) == 3
    np.testing.assert_allclose(band[1].get_forces(), end.get_forces())
    assert band[1].get_potential_energy() == end.get_potential_energy()
    text = VTST.read_text()
    (tmp_path / "01" / "OUTCAR").write_text(text[: text.index("FREE ENERGIE")])
    with pytest.raises(ValueError, match="01/OUTCAR holds no complete step"):
        vasp_neb.read_band(tmp_path, end, end)


@needs_ase_data
@pytest.mark.parametrize(("name", "target"), [("OUTCAR_example_1", "OUTCAR"), ("vasprun_pstress.xml", "vasprun.xml")])
def test_outputs_that_ase_ships_are_read(tmp_path, name, target):
    shutil.copy(ASE_DATA / name, tmp_path / target)
    image = vasp_neb.read_last_step(tmp_path)
    assert np.isfinite(image.get_potential_energy())
    assert image.get_forces().shape == (len(image), 3)
