import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from calculators.failures import CalculationFailed
from calculators.label import FailureKind
from calculators.neb import interpolated, path_lengths, run_band, saved_band, unwrapped
from calculators.relax import relax
from calculators.settings import NebSettings

QUICK = NebSettings(images=3, fmax_eV_per_A=0.05)


def end_points(hop=1):
    """A vacancy hop in fcc copper, relaxed: one atom moves by `hop` lattice translations into a vacancy."""
    full = bulk("Cu", cubic=True) * 2
    vector = full.positions[0] - full.positions[1]
    initial = full[[i for i in range(len(full)) if i != 0]]
    final = initial.copy()
    final.positions[0] += vector
    states = [relax(atoms, EMT(), fmax_eV_per_A=0.02, steps=50).atoms for atoms in (initial, final)]
    return states[0], states[1]


@pytest.fixture(scope="module")
def ends():
    return end_points()


def test_a_symmetric_hop_has_its_saddle_in_the_middle(ends):
    images = interpolated(*ends, 3)
    images[0].calc, images[-1].calc = ends[0].calc, ends[1].calc
    band = run_band(images, EMT, QUICK)
    assert band.converged
    assert band.fmax_eV_per_A < 0.05
    assert band.forward_eV == pytest.approx(band.backward_eV, abs=2e-3)
    assert np.argmax(band.path_eV) == 2
    # EMT's vacancy migration barrier in copper is between 0.6 and 0.9 eV.
    assert 0.6 < band.forward_eV < 0.9
    assert band.force_calls == 3 * (band.steps + 1)


def test_the_climbing_image_really_is_a_saddle(ends):
    """Its true force, not only the projected one, is below fmax; on the others it need not be."""
    images = interpolated(*ends, 3)
    images[0].calc, images[-1].calc = ends[0].calc, ends[1].calc
    band = run_band(images, EMT, QUICK)
    top = band.images[int(np.argmax(band.path_eV))]
    assert np.linalg.norm(top.get_forces(), axis=1).max() < 0.06


def test_a_wrapped_end_point_does_not_send_the_atom_through_the_cell(ends):
    wrapped = ends[1].copy()
    wrapped.positions[0] += wrapped.cell.array[1]
    wrapped.positions[7] -= wrapped.cell.array[2]
    images = interpolated(ends[0], unwrapped(ends[0], wrapped), 3)
    assert path_lengths(images)[-1] < 4
    steps = np.diff([image.positions[0] for image in images], axis=0)
    assert np.linalg.norm(steps, axis=1).max() < 1.5


def test_end_points_of_different_matter_or_cell_are_refused(ends):
    with pytest.raises(ValueError, match="same atoms"):
        unwrapped(ends[0], ends[1][:-1])
    stretched = ends[1].copy()
    stretched.set_cell(stretched.cell * 1.1)
    with pytest.raises(ValueError, match="cells differ"):
        unwrapped(ends[0], stretched)


def test_a_run_goes_on_from_its_last_band(ends, tmp_path):
    file = tmp_path / "band.extxyz"
    images = interpolated(*ends, 3)
    images[0].calc, images[-1].calc = ends[0].calc, ends[1].calc
    cut = run_band(images, EMT, QUICK.model_copy(update={"steps": 4}), band_file=file)
    assert not cut.converged
    again = saved_band(file, *ends, 3)
    assert again is not None
    again[0].calc, again[-1].calc = ends[0].calc, ends[1].calc
    rest = run_band(again, EMT, QUICK, band_file=file)
    assert rest.converged
    images = interpolated(*ends, 3)
    images[0].calc, images[-1].calc = ends[0].calc, ends[1].calc
    whole = run_band(images, EMT, QUICK)
    assert rest.forward_eV == pytest.approx(whole.forward_eV, abs=2e-3)
    assert rest.steps < whole.steps
    # A band of another number of images, or between other end points, is not taken.
    assert saved_band(file, *ends, 5) is None
    assert saved_band(file, ends[1], ends[0], 3) is None
    file.write_text(file.read_text()[:1000])
    assert saved_band(file, *ends, 3) is None


def test_colliding_images_are_invalid(ends):
    images = interpolated(*ends, 3)
    images[0].calc, images[-1].calc = ends[0].calc, ends[1].calc
    images[2].positions[0] = images[2].positions[1] + [0.05, 0, 0]
    with pytest.raises(CalculationFailed) as caught:
        run_band(images, EMT, QUICK)
    assert caught.value.failure.kind is FailureKind.INVALID
    assert caught.value.failure.stage == "neb"
