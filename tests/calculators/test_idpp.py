import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.mep import NEB
from ase.mep.neb import IDPP, idpp_interpolate
from cells import nasicon_ordering
from hypothesis import given, settings
from hypothesis import strategies as st

from calculators.idpp import PairDistances, close_pairs, separations
from calculators.neb import interpolated, path_lengths


def calculator(start: Atoms, end: Atoms, part: float, cutoff_A: float) -> PairDistances:
    first, second, offset = close_pairs((start, end), cutoff_A)
    offsets_A = offset @ start.cell.array
    ends = [np.linalg.norm(separations(atoms, first, second, offsets_A), axis=1) for atoms in (start, end)]
    return PairDistances(first, second, offsets_A, (1 - part) * ends[0] + part * ends[1])


def test_of_a_molecule_it_is_ases_own_to_the_last_digit():
    """No periodic images, no cutoff in reach: the same function."""
    start = molecule("CH3CH2OH", cell=[30, 30, 30], pbc=True)
    end = start.copy()
    end.rattle(0.3, seed=1)
    between = start.copy()
    between.rattle(0.2, seed=2)
    target = (start.get_all_distances() + end.get_all_distances()) / 2
    results = []
    for made in (IDPP(target, mic=False), calculator(start, end, 0.5, 12.0)):
        between.calc = made
        results.append((between.get_potential_energy(), between.get_forces()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_forces_are_minus_the_slope_and_the_place_of_the_cell_does_not_matter(seed):
    start = bulk("NaCl", "rocksalt", a=5.64)
    start.rattle(0.1, seed=seed)
    end = start.copy()
    end.rattle(0.4, seed=seed + 1)
    between = start.copy()
    between.positions = (start.positions + end.positions) / 2
    between.calc = calculator(start, end, 0.3, 6.0)
    forces = between.get_forces()
    assert np.abs(forces.sum(axis=0)).max() < 1e-10
    direction = np.random.default_rng(seed).normal(size=forces.shape)
    energies = []
    for step in (1e-5, -1e-5):
        moved = between.copy()
        moved.positions += step * direction
        moved.calc = between.calc
        energies.append(moved.get_potential_energy())
    assert -(energies[0] - energies[1]) / 2e-5 == pytest.approx((forces * direction).sum(), rel=1e-5, abs=1e-8)


def test_in_a_crystal_the_path_is_that_of_all_pairs():
    """ASE takes the nearest image of every pair at any distance; what that adds moves no atom by 0.01 Å."""
    full = nasicon_ordering()
    vacancy = int(np.flatnonzero(full.numbers == 0)[0])
    ions = np.flatnonzero(full.symbols == "Na")
    vectors = full.get_distances(vacancy, ions, mic=True, vector=True)
    nearest = int(np.linalg.norm(vectors, axis=1).argmin())
    real = np.flatnonzero(full.numbers != 0)
    start, end = full[real], full[real]
    end.positions[int(np.flatnonzero(real == ions[nearest])[0])] -= vectors[nearest]
    ours = interpolated(start, end, 3)
    theirs = [start.copy()]
    for step in (1, 2, 3):
        image = start.copy()
        image.positions += (end.positions - start.positions) * step / 4
        theirs.append(image)
    theirs.append(end.copy())
    straight = [image.positions.copy() for image in theirs]
    idpp_interpolate(NEB(theirs, method="improvedtangent"), traj=None, log=None, mic=True, steps=50)
    moved = [np.abs(image.positions - line).max() for image, line in zip(ours, straight, strict=True)]
    assert max(moved) > 0.05  # IDPP does something here
    for one, other in zip(ours, theirs, strict=True):
        assert np.linalg.norm(one.positions - other.positions, axis=1).max() < 0.01
    assert all(image.calc is None for image in ours)


def test_a_line_through_another_atom_gives_numbers_and_no_more():
    """Two atoms in one place have no direction to part in; the path is refused later, when its energies are known."""
    start = Atoms("Na3", positions=[[2, 5, 5], [5, 5, 5], [5, 8, 5]], cell=[10] * 3, pbc=True)
    end = start.copy()
    end.positions[0, 0] = 8
    band = interpolated(start, end, 1)
    assert np.isfinite([image.positions for image in band]).all()
    assert np.isfinite(path_lengths(band)).all()
