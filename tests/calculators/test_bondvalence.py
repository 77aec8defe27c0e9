import numpy as np
import pytest
from ase import Atoms
from cells import CHARGES, nasicon_host, nasicon_ordering
from hypothesis import given, settings
from hypothesis import strategies as st

from calculators.bondvalence import (
    SiteEnergy,
    formal_charges,
    pair_energy,
    percolation_barriers,
    percolation_dimension,
)


@pytest.fixture(scope="module")
def ordering() -> Atoms:
    return nasicon_ordering(("Hf", "Sn", "Ge", "Ti"))


def charges(atoms: Atoms) -> np.ndarray:
    return np.array([CHARGES[symbol] for symbol in atoms.get_chemical_symbols()], float)


def test_the_minimum_of_a_pair_lies_where_the_table_says():
    from calculators.bondvalence import pair_parameters

    pair = pair_parameters("Na", 1, "O", -2)
    r = np.linspace(1.5, 5, 3501)
    energy = pair_energy(r, "Na", 1, "O", -2)
    assert r[energy.argmin()] == pytest.approx(pair.r_min_A, abs=2e-3)
    assert energy.min() == pytest.approx(-pair.d0_eV / 2, abs=1e-5)
    assert (pair_energy(r, "Na", 1, "Zr", 4) > 0).all()


def test_unknown_pairs_say_so():
    with pytest.raises(ValueError, match=r"no softBV parameters for Na\+1 with O-1"):
        pair_energy(np.ones(1), "Na", 1, "O", -1)


def test_grid_and_points_agree(ordering):
    landscape = SiteEnergy(ordering, charges(ordering), "Na")
    grid = landscape.grid(0.6)
    shape = np.array(grid.shape)
    index = np.random.default_rng(0).integers(0, shape, (40, 3))
    points = landscape.at(index / shape @ ordering.cell.array)
    np.testing.assert_allclose(grid[tuple(index.T)], points, rtol=1e-4, atol=2e-3)


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.floats(-20, 20)] * 3), st.integers(0, 2**31))
def test_translation_and_permutation_change_nothing(shift, seed):
    atoms = nasicon_host()
    point = np.array([[1.0, 2.0, 3.0]])
    before = SiteEnergy(atoms, charges(atoms), "Na").at(point)
    order = np.random.default_rng(seed).permutation(len(atoms))
    moved = atoms[order]
    moved.positions += shift
    after = SiteEnergy(moved, charges(moved), "Na").at(point + shift)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=2e-3)


def test_agrees_with_bvlain(ordering):
    from bvlain import Lain
    from pymatgen.core import Lattice, Structure

    real = ordering[ordering.numbers != 0]
    structure = Structure(Lattice(real.cell.array), real.numbers, real.get_scaled_positions())
    structure.add_oxidation_state_by_site(charges(real).tolist())
    lain = Lain(verbose=False)
    lain.read_structure(structure, oxi_check=False)
    lain.bvse_distribution("Na1+", r_cut=10, resolution=0.5, k=100)
    low = lain.distribution < lain.distribution.min() + 5
    ours = SiteEnergy(ordering, charges(ordering), "Na", cutoff_A=8).at(
        lain.cell.cartesian_positions(lain.mesh_)[low]
    )
    assert np.abs(ours - lain.distribution[low]).max() < 2e-3


def test_percolation_by_hand():
    """cos(x) + 2 cos(y) + 4 cos(z): saddles lie 2, 6 and 14 above the minimum of -7."""
    x, y, z = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in (24, 20, 28)), indexing="ij")
    barriers = percolation_barriers(np.cos(x) + 2 * np.cos(y) + 4 * np.cos(z), limit_eV=20)
    assert barriers == pytest.approx((2, 4, 8), abs=2e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_channel_is_one_dimensional_in_every_direction(axis):
    region = np.zeros((7, 8, 9), dtype=bool)
    line: list[int | slice] = [2, 3, 4]
    line[axis] = slice(None)
    region[tuple(line)] = True
    assert percolation_dimension(region) == 1
    line[axis] = slice(0, 5)
    region[:] = False
    region[tuple(line)] = True
    assert percolation_dimension(region) == 0


def test_a_diagonal_channel_crosses_the_corner():
    region = np.zeros((6, 6, 6), dtype=bool)
    region[range(6), range(6), range(6)] = True
    assert percolation_dimension(region) == 1
    assert percolation_dimension(np.ones((3, 3, 3), dtype=bool)) == 3


def test_two_crossing_channels_that_do_not_meet_are_one_dimensional():
    region = np.zeros((10, 10, 10), dtype=bool)
    region[:, 2, 2] = True
    region[2, :, 7] = True
    assert percolation_dimension(region) == 1


def test_charges_are_guessed_only_where_none_are_given():
    salt = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[4, 4, 4], pbc=True)
    assert formal_charges(salt).tolist() == [1, -1]
    salt.set_initial_charges([2, -2])
    assert formal_charges(salt).tolist() == [2, -2]
