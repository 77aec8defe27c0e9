"""Diffusion, conductivity and stability: walks and lines whose answer is known, and no answer where there is none."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from calculators.arrhenius import ArrheniusVerdict, Point, fit_arrhenius, nernst_einstein_mS_per_cm
from calculators.displacements import Displacements, displacements, read_displacements
from calculators.stability import framework_stability
from calculators.transport import TransportSettings, Verdict, diffusion, msd_curve

D_A2_PER_PS = 0.5  # 5e-5 cm^2/s


def walk(seed, ions=12, frames=500, frame_ps=0.04, d_A2_per_ps=D_A2_PER_PS):
    """Brownian displacements (frames, ions, 3): variance 2 D Δt along each axis."""
    steps = np.random.default_rng(seed).normal(scale=np.sqrt(2 * d_A2_per_ps * frame_ps), size=(frames - 1, ions, 3))
    return np.concatenate([np.zeros((1, ions, 3)), np.cumsum(steps, axis=0)])


def moved(mobile_A, frame_ps=0.04, framework_A=None):
    framework_A = np.zeros((len(mobile_A), 2, 3)) if framework_A is None else framework_A
    return Displacements("Na", frame_ps, mobile_A, framework_A, ["Zr"] * framework_A.shape[1], 1000.0)


# Diffusion coefficients.


def test_random_walks_give_their_diffusion_coefficient_within_its_error():
    found = [diffusion(moved(walk(seed))) for seed in range(6)]
    assert all(one.verdict is Verdict.DIFFUSIVE for one in found)
    d = np.array([one.d_cm2_per_s for one in found]) / (D_A2_PER_PS * 1e-4)
    errors = np.array([one.d_error_cm2_per_s for one in found]) / (D_A2_PER_PS * 1e-4)
    assert d.mean() == pytest.approx(1, abs=0.15)
    assert (np.abs(d - 1) < 2 * errors).all()
    assert (errors < 0.4).all()  # and not by being useless


@pytest.mark.slow
def test_error_bars_cover_the_truth_as_often_as_they_say():
    """100 walks: 68 % within one standard error, give or take; kinisi is a little cautious, never much too sure."""
    found = [diffusion(moved(walk(seed))) for seed in range(100)]
    true = D_A2_PER_PS * 1e-4
    inside = [abs(one.d_cm2_per_s - true) < one.d_error_cm2_per_s for one in found if one.d_cm2_per_s]
    twice = [abs(one.d_cm2_per_s - true) < 2 * one.d_error_cm2_per_s for one in found if one.d_cm2_per_s]
    assert len(inside) >= 95
    assert 0.6 < np.mean(inside) < 0.93
    assert np.mean(twice) > 0.93


def test_twice_the_diffusion_is_twice_the_coefficient():
    once, twice = diffusion(moved(walk(3))), diffusion(moved(np.sqrt(2) * walk(3)))
    assert twice.d_cm2_per_s == pytest.approx(2 * once.d_cm2_per_s, rel=0.05)


def test_the_paper_s_window_and_its_mean_msd():
    """100 ps: 20 to 80 ps, the MSD's mean over which is Fu et al.'s MSD."""
    found = diffusion(moved(walk(0, ions=40, frames=1001, frame_ps=0.1), frame_ps=0.1))
    assert found.window_ps == pytest.approx((20, 80))
    assert found.window_msd_A2 == pytest.approx(6 * D_A2_PER_PS * 50, rel=0.25)


def test_the_global_random_numbers_are_left_alone():
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    diffusion(moved(walk(0)))
    assert np.array_equal(np.random.random(3), expected)  # noqa: NPY002


@given(seed=st.integers(0, 1000), ions=st.integers(1, 4), frames=st.integers(8, 30))
@settings(max_examples=20, deadline=None)
def test_the_msd_is_its_definition(seed, ions, frames):
    track = walk(seed, ions, frames)
    curve = msd_curve(track, 0.04, lags=10)
    for lag_ps, value in zip(curve.lag_ps, curve.msd_A2, strict=True):
        lag = round(lag_ps / 0.04)
        squares = [
            sum((track[start + lag, ion, axis] - track[start, ion, axis]) ** 2 for axis in range(3))
            for ion in range(ions)
            for start in range(frames - lag)
        ]
        assert value == pytest.approx(np.mean(squares))


# No diffusion coefficient.


def test_a_vibrating_solid_is_not_diffusive():
    rattle = np.random.default_rng(0).normal(scale=0.3, size=(500, 12, 3))
    found = diffusion(moved(rattle))
    assert found.verdict is Verdict.NOT_DIFFUSIVE
    assert found.d_cm2_per_s is None
    assert "less than one hop of 3 Å squared (9.00 Å^2)" in found.reason


def test_the_hop_length_is_the_user_s():
    rattle = np.random.default_rng(0).normal(scale=0.6, size=(500, 12, 3))
    assert "1.5 Å squared (2.25" in diffusion(moved(rattle), TransportSettings(hop_length_A=1.5)).reason


def test_flying_atoms_are_not_diffusive():
    velocities = np.random.default_rng(0).normal(size=(12, 3))
    found = diffusion(moved(velocities * 0.04 * np.arange(500)[:, None, None]))
    assert found.verdict is Verdict.NOT_LINEAR
    assert found.exponent == pytest.approx(2, abs=0.01)
    assert "faster than diffusion" in found.reason


def test_going_back_and_forth_over_a_hop_is_not_diffusive():
    there = np.random.default_rng(1).integers(0, 2, size=(500, 12, 1)) * np.array([4.0, 2.0, 1.0])
    found = diffusion(moved(there))
    assert found.verdict is Verdict.NOT_LINEAR
    assert "slower than diffusion" in found.reason


def test_a_run_shorter_than_its_window_says_what_it_needs():
    found = diffusion(moved(walk(0, frames=50)))
    assert (found.verdict, found.d_cm2_per_s) == (Verdict.TOO_SHORT, None)
    assert "needs at least 2.5 ps" in found.reason
    found = diffusion(moved(walk(0)), TransportSettings(window_ps=(20, 80)))
    assert found.verdict is Verdict.TOO_SHORT
    assert "19.96 ps do not cover the window of 20 to 80 ps" in found.reason


def test_one_hop_of_one_ion_is_too_uncertain():
    track = np.zeros((500, 1, 3))
    track[100:, 0, 0], track[300:, 0, 1] = 5, 5
    assert diffusion(moved(track)).verdict in (Verdict.UNCERTAIN, Verdict.NOT_DIFFUSIVE, Verdict.NOT_LINEAR)
    found = diffusion(moved(walk(5, ions=1, frames=300)))
    assert found.verdict is not Verdict.DIFFUSIVE or found.d_error_cm2_per_s < 0.5 * found.d_cm2_per_s


def test_an_error_above_the_limit_takes_the_number_away():
    found = diffusion(moved(walk(0)), TransportSettings(max_relative_error=0.01))
    assert (found.verdict, found.d_cm2_per_s) == (Verdict.UNCERTAIN, None)
    assert "run longer" in found.reason


@pytest.mark.parametrize(
    "bad", [{"window": (0.8, 0.2)}, {"window": (0.2, 1.2)}, {"window_ps": (20, 10)}, {"lags": 1}]
)
def test_windows_are_checked(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TransportSettings(**bad)


def test_without_kinisi_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'ionloop\[transport\]'"):
        diffusion(moved(walk(0)))


# Displacements.


def salt_frames(track, cell):
    base = np.array([[1.0, 1, 1], [4, 4, 4], [2, 5, 1]])
    symbols = ["Na", "Cl", "Cl"]
    return [Atoms(symbols, positions=base + shift, cell=cell, pbc=True) for shift in track]


@given(seed=st.integers(0, 100), drift=st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=3))
@settings(max_examples=15, deadline=None)
def test_neither_wrapping_nor_drift_changes_displacements(seed, drift):
    cell = [[6.0, 0, 0], [2, 6, 0], [1, 1, 7]]
    track = np.zeros((40, 3, 3))
    track[:, :1] = walk(seed, ions=1, frames=40)
    drifting = track + np.arange(40)[:, None, None] * np.array(drift)
    plain = displacements(salt_frames(track, cell), "Na", 0.04)
    wrapped = salt_frames(drifting, cell)
    for frame in wrapped:
        frame.wrap()
    np.testing.assert_allclose(displacements(wrapped, "Na", 0.04).mobile_A, plain.mobile_A, atol=1e-9)
    np.testing.assert_allclose(plain.mobile_A, track[:, :1], atol=1e-9)


def test_equilibration_is_left_out_but_the_start_remains_the_reference():
    track = np.zeros((40, 3, 3))
    track[:, :1] = walk(0, ions=1, frames=40)
    found = displacements(salt_frames(track, [6, 6, 6]), "Na", 0.04, skip=10)
    np.testing.assert_allclose(found.mobile_A, track[10:, :1], atol=1e-9)
    assert found.length_ps == pytest.approx(29 * 0.04)
    with pytest.raises(ValueError, match=r"1\.56 ps, of which 1\.56 ps are equilibration"):
        displacements(salt_frames(track, [6, 6, 6]), "Na", 0.04, skip=39)


def test_what_cannot_be_read_is_named(tmp_path):
    frames = salt_frames(np.zeros((3, 3, 3)), [6, 6, 6])
    with pytest.raises(ValueError, match="no mobile ion Li in"):
        displacements(frames, "Li", 0.04)
    with pytest.raises(ValueError, match="at least two frames"):
        displacements(frames[:1], "Na", 0.04)
    with pytest.raises(ValueError, match="frame 1 does not hold the atoms"):
        displacements([frames[0], frames[1][:2]], "Na", 0.04)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_displacements(tmp_path / "missing.traj", "Na")


# Framework.


def test_a_vibrating_framework_is_stable():
    framework = np.random.default_rng(0).normal(scale=0.15, size=(200, 20, 3))
    found = framework_stability(moved(walk(0, frames=200), framework_A=framework))
    assert found.stable is True
    assert found.rmsd_A == pytest.approx(0.15 * np.sqrt(3), rel=0.05)
    assert found.by_element_A == pytest.approx({"Zr": found.rmsd_A}, rel=0.02)


def test_a_melting_framework_is_not():
    found = framework_stability(moved(walk(0, frames=200), framework_A=walk(1, ions=20, frames=200)))
    assert found.stable is False
    assert "more than 1 Å" in found.reason


def test_one_atom_that_leaves_its_site_is_found():
    framework = np.zeros((200, 20, 3))
    framework[80:, 7] = [2, 0, 0]
    found = framework_stability(moved(walk(0, frames=200), framework_A=framework))
    assert (found.stable, found.shifted) == (False, "Zr 7")
    assert "moved by 2.00 Å" in found.reason


def test_a_run_that_is_too_short_says_nothing_of_a_framework():
    found = framework_stability(moved(walk(0, frames=20), framework_A=np.zeros((20, 20, 3))))
    assert (found.stable, found.rmsd_A) == (None, None)
    assert "0.76 ps are too short" in found.reason


def test_without_a_framework_nothing_is_said_of_it():
    found = framework_stability(moved(walk(0, frames=20), framework_A=np.zeros((20, 0, 3))))
    assert found.stable is None


# Conductivity.


def test_nernst_einstein_by_hand():
    # 1e22 ions/cm^3, D = 1e-6 cm^2/s, 1000 K: 1e22 (1.60218e-19)^2 1e-6 / (1.38065e-23 1000) = 0.018593 S/cm.
    assert nernst_einstein_mS_per_cm(1e-6, 10, 1000.0, 1000.0) == pytest.approx(18.593, rel=1e-4)
    assert nernst_einstein_mS_per_cm(1e-6, 10, 1000.0, 1000.0, charge_e=2) == pytest.approx(4 * 18.593, rel=1e-4)


def test_nernst_einstein_is_pymatgen_s():
    from pymatgen.analysis.diffusion.analyzer import get_conversion_factor
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.cubic(7), ["Na+", "Na+", "Cl-", "Cl-"], np.eye(4, 3) * 0.5)
    theirs = get_conversion_factor(structure, "Na+", 300)  # from cm^2/s to mS/cm
    assert nernst_einstein_mS_per_cm(1.0, 2, 343.0, 300.0) == pytest.approx(theirs, rel=1e-6)


K_B = 8.617333262e-5  # eV/K


def line(temperatures, ea_eV=0.35, d0=1e-3, ln_d_error=0.1, seed=None):
    noise = (
        np.zeros(len(temperatures)) if seed is None else np.random.default_rng(seed).normal(size=len(temperatures))
    )
    d = d0 * np.exp(-ea_eV / (K_B * np.array(temperatures)) + ln_d_error * noise)
    return [Point(float(kelvin), float(value), ln_d_error) for kelvin, value in zip(temperatures, d, strict=True)]


@given(ea=st.floats(0.05, 1.5), d0=st.floats(1e-5, 1e-1))
@settings(max_examples=30, deadline=None)
def test_an_exact_line_gives_back_its_activation_energy(ea, d0):
    found = fit_arrhenius(line([700, 900, 1100, 1300], ea, d0), ions=12, volume_A3=1000)
    assert found.ea_eV == pytest.approx(ea, rel=1e-6)
    assert np.exp(found.ln_d0) == pytest.approx(d0, rel=1e-5)
    assert found.d_room_cm2_per_s == pytest.approx(d0 * np.exp(-ea / (K_B * 300)), rel=1e-4)
    expected = nernst_einstein_mS_per_cm(found.d_room_cm2_per_s, 12, 1000, 300)
    assert found.sigma_room_mS_per_cm == pytest.approx(expected)


def test_errors_of_energy_and_conductivity_cover_the_truth():
    """Of 300 noisy lines about 68 % hold the truth within one standard error."""
    temperatures = [800, 1000, 1200, 1400]
    true = nernst_einstein_mS_per_cm(1e-3 * np.exp(-0.35 / (K_B * 300)), 12, 1000, 300)
    fits = [fit_arrhenius(line(temperatures, seed=seed), 12, 1000) for seed in range(300)]
    fits = [fit for fit in fits if fit.verdict is ArrheniusVerdict.ARRHENIUS]
    assert len(fits) > 290  # 1 % scatter more than is believed
    energies = [abs(fit.ea_eV - 0.35) < fit.ea_error_eV for fit in fits]
    rooms = [abs(np.log(fit.sigma_room_mS_per_cm / true)) < fit.ln_sigma_room_error for fit in fits]
    assert np.mean(energies) == pytest.approx(0.68, abs=0.08)
    assert np.mean(rooms) == pytest.approx(0.68, abs=0.08)


def test_equal_errors_give_pymatgen_s_line():
    from pymatgen.analysis.diffusion.analyzer import fit_arrhenius as theirs

    points = line([800, 1000, 1200, 1400], seed=4)
    ea, c, _ = theirs([point.temperature_K for point in points], [point.d_cm2_per_s for point in points])
    found = fit_arrhenius(points, 12, 1000)
    assert found.ea_eV == pytest.approx(ea, rel=1e-4)
    assert found.ln_d0 == pytest.approx(np.log(c), rel=1e-4)


def test_two_temperatures_are_too_few_for_a_line():
    found = fit_arrhenius(line([1200, 1500]), 12, 1000)
    assert (found.verdict, found.ea_eV, found.sigma_room_mS_per_cm) == (ArrheniusVerdict.TOO_FEW, None, None)
    again = fit_arrhenius(line([1200, 1200, 1500]), 12, 1000)
    assert again.verdict is ArrheniusVerdict.TOO_FEW


def test_points_off_the_line_give_no_energy():
    points = line([800, 1000, 1200, 1400])
    points[1] = Point(1000.0, points[1].d_cm2_per_s * 3, 0.1)
    found = fit_arrhenius(points, 12, 1000)
    assert (found.verdict, found.ea_eV) == (ArrheniusVerdict.SCATTERED, None)
    assert "scatter" in found.reason


def test_diffusion_that_falls_with_temperature_gives_no_energy():
    found = fit_arrhenius(line([800, 1000, 1200], ea_eV=-0.2), 12, 1000)
    assert (found.verdict, found.ea_eV) == (ArrheniusVerdict.FALLING, None)


def test_an_activation_energy_that_cannot_be_told_from_none_gives_no_room_temperature_conductivity():
    """D of Na3Zr2Si2PO12 by CHGNet at five temperatures: 0.03 +- 0.05 eV would promise 1 S/cm at 300 K."""
    measured = {
        600: (4.9e-5, 0.57),
        700: (2.8e-5, 0.55),
        900: (5.2e-5, 0.49),
        1200: (9.4e-5, 0.56),
        1500: (4.8e-5, 0.39),
    }
    found = fit_arrhenius([Point(t, d, error) for t, (d, error) in measured.items()], 6, 566.7)
    assert (found.verdict, found.ea_eV, found.sigma_room_mS_per_cm) == (ArrheniusVerdict.FALLING, None, None)
    assert "0.03 ± 0.05 eV; below 0.12 eV with 95 %" in found.reason


def test_errors_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        fit_arrhenius(line([800, 1000, 1200], ln_d_error=0.0), 12, 1000)
