"""Structural features: distances of known crystals, invariances, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from models.structural_features import (
    Framework,
    entropy_R,
    feature_sets,
    feature_table,
    first_peak_A,
    structural_features,
)

SODIUM = Framework(mobile="Na", geometries=("O:6", "O:6", "T:4"))


def nasicon(distortion_A: float = 0.0, seed: int = 0) -> Atoms:
    """The R-3c NASICON framework, Na on Na1, with two sorts of metals and of tetrahedra."""
    from ase.spacegroup import crystal

    atoms = crystal(
        ("Na", "Zr", "P", "O", "O"),
        [(0, 0, 0), (0, 0, 0.1456), (0.2904, 0, 0.25), (0.1820, -0.0278, 0.1945), (0.1890, 0.1697, 0.0864)],
        spacegroup=167,
        cellpar=[8.81, 8.81, 22.75, 90, 90, 120],
        primitive_cell=True,
    )
    symbols = np.array(atoms.get_chemical_symbols())
    symbols[np.flatnonzero(symbols == "P")[:4]] = "Si"
    symbols[np.flatnonzero(symbols == "Zr")[:1]] = "Hf"
    atoms.set_chemical_symbols(symbols.tolist())
    atoms.rattle(distortion_A, seed=seed)
    return atoms


def distances(atoms: Atoms, one: str, other: str) -> np.ndarray:
    i, j, d = neighbor_list("ijd", atoms, 6.5)
    symbols = np.array(atoms.get_chemical_symbols())
    return d[(symbols[i] == one) & (symbols[j] == other)]


@pytest.mark.parametrize(
    ("crystal", "pair", "expected_A"),
    [
        (bulk("NaCl", "rocksalt", 5.64), ("Na", "Cl"), 5.64 / 2),
        (bulk("ZnS", "zincblende", 5.41), ("Zn", "S"), 5.41 * math.sqrt(3) / 4),
        (bulk("CsCl", "cesiumchloride", 4.123), ("Cs", "Cl"), 4.123 * math.sqrt(3) / 2),
    ],
)
def test_the_first_peak_of_known_crystals_is_their_bond_length(crystal, pair, expected_A) -> None:
    assert first_peak_A(distances(crystal, *pair), 0.05) == pytest.approx(expected_A, abs=2e-3)
    assert first_peak_A(distances(crystal, *pair)) == pytest.approx(expected_A, abs=0.03)  # shells blend at 0.5 Å


@given(st.floats(1.3, 4.5), st.floats(0.05, 0.5), st.integers(1, 50))
def test_a_single_shell_stays_where_it_is_whatever_the_smearing(distance, sigma, count) -> None:
    assert first_peak_A(np.full(count, distance), sigma) == pytest.approx(distance, abs=2e-3)


def test_nothing_near_is_no_peak() -> None:
    for far in (np.array([]), np.array([6.0])):
        with pytest.raises(ValueError, match="no cation and anion within"):
            first_peak_A(far)


def test_there_are_seventeen_and_the_published_framework_has_its_bond_lengths() -> None:
    found = structural_features(nasicon(), SODIUM)
    assert len(feature_sets(found)["structural"]) == 17
    assert set(feature_sets(found)["multinary"]) & {"entropy_R", "volume_A3_per_formula", "M-O_A"} == {"entropy_R"}
    assert found["Na_per_formula"] == pytest.approx(1.0)
    assert found["M-O_A"] == pytest.approx(2.07, abs=0.02)  # Zr-O 2.06 and 2.08 Å
    assert found["P-O_A"] == pytest.approx(1.545, abs=0.02)  # 1.53 and 1.56 Å
    assert found["csm_M_mean"] < 1.0
    assert found["csm_P_mean"] < 0.5
    assert found["entropy_R"] == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_origin_rotation_and_the_order_of_atoms_do_not_matter(seed: int) -> None:
    atoms = nasicon(0.05)
    rng = np.random.default_rng(seed)
    other = atoms[rng.permutation(len(atoms))]
    other.set_cell(other.cell.array @ Rotation.random(rng=rng).as_matrix(), scale_atoms=True)
    other.translate(rng.normal(size=3) * 5)
    other.wrap()
    here, there = structural_features(atoms, SODIUM), structural_features(other, SODIUM)
    for name, value in here.items():
        assert there[name] == pytest.approx(value, abs=2e-4), name


def test_a_supercell_has_the_same_polyhedra_and_other_lengths() -> None:
    atoms = nasicon(0.05)
    small = structural_features(atoms, SODIUM)
    large = structural_features(make_supercell(atoms, np.diag([2, 1, 1])), SODIUM)
    for name, value in small.items():
        expected = 2 * value if name == "a_A" else value
        assert large[name] == pytest.approx(expected, abs=1e-4), name


def test_distortion_shows_in_the_measures() -> None:
    calm, shaken = (structural_features(nasicon(x), SODIUM) for x in (0.0, 0.1))
    for name in ("csm_M_mean", "csm_M_sd", "csm_P_mean", "csm_Si_mean"):
        assert shaken[name] > calm[name]


def test_vacant_sites_are_not_there() -> None:
    atoms = nasicon()
    with_vacancy = atoms + Atoms("X", positions=[[1.0, 1.0, 1.0]])
    assert structural_features(with_vacancy, SODIUM) == structural_features(atoms, SODIUM)


@given(st.lists(st.sampled_from(["Zr", "Hf", "Sn", "Ti"]), min_size=1, max_size=30))
def test_entropy_is_that_of_the_shares(symbols: list[str]) -> None:
    shares = np.array([symbols.count(s) for s in set(symbols)]) / len(symbols)
    assert entropy_R(symbols) == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-12)
    assert entropy_R(symbols * 3) == pytest.approx(entropy_R(symbols))
    assert 0 <= entropy_R(symbols) <= math.log(4) + 1e-12


def without(*symbols: str) -> Atoms:
    atoms = nasicon()
    return atoms[~np.isin(atoms.get_chemical_symbols(), symbols)]


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (without("Na"), "no mobile ion Na"),
        (without("P"), "no framework P"),
        (without("O"), "no O in"),
        (without("Zr", "Hf"), "no substituted sublattice in"),
        (Atoms("NaZrSiPO", positions=np.arange(15).reshape(5, 3), cell=[20] * 3), "anions within 4 Å; a polyhedron"),
        (Atoms("Na"), "a periodic structure"),
        (Atoms(), "a periodic structure"),
    ],
)
def test_a_structure_that_lacks_something_gets_a_verdict(atoms: Atoms, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        structural_features(atoms, SODIUM)


def test_positions_that_are_no_numbers_get_a_verdict() -> None:
    atoms = nasicon()
    atoms.positions[0] = np.nan
    with pytest.raises(ValueError, match="finite positions"):
        structural_features(atoms, SODIUM)


def test_roles_must_be_elements_and_polyhedra_known() -> None:
    with pytest.raises(ValueError, match="'Qq' is no element"):
        Framework(mobile="Qq")
    with pytest.raises(ValueError, match="'O:5' is not one of"):
        Framework(geometries=("O:5", "O:6", "T:4"))


def test_a_table_leaves_out_the_unusable_and_says_so() -> None:
    table, refused = feature_table([("good", nasicon()), ("bad", without("P")), ("better", nasicon(0.05))], SODIUM)
    assert list(table.index) == ["good", "better"]
    assert isinstance(table, pd.DataFrame)
    assert "no framework P" in refused["bad"]
    with pytest.raises(ValueError, match=r"no structure is usable; the first: .*no framework P"):
        feature_table([("bad", without("P"))], SODIUM)
    double = make_supercell(nasicon(), np.diag([1, 1, 2]))
    with pytest.raises(ValueError, match="cells of the same size"):
        feature_table([("one", nasicon()), ("two", double)], SODIUM)
