"""Quasi-random arrangements: less correlated than random ones, the same for the same seed, nothing lost."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import get_distances
from numpy.typing import NDArray

pytest.importorskip("sqsgenerator")

from agent.hosts import load_host
from agent.ordering import draw, draw_numbers
from agent.space import build_space
from agent.sqs import SAME_SHELL_A, SHELLS, least_correlated, quasi_random_order

NZSP = load_host("nzsp")
SPACE = build_space(NZSP).compositions


def correlation(sites: Atoms, arrangements: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The library's objective computed again: how far (m,) arrangements (m, n) are from an infinite random alloy.

    The sum over shells (weight 1/n) and ordered pairs of elements of |Warren-Cowley parameter|, 1 - P_ab / (x_a x_b).
    """
    kinds, counts = np.unique(arrangements[0], return_counts=True)
    n = arrangements.shape[1]
    _, distances = get_distances(sites.positions, cell=sites.cell, pbc=True)
    found = np.unique(distances[np.triu_indices(n, 1)])
    starts = found[np.concatenate([[True], np.diff(found) > SAME_SHELL_A])][:SHELLS]
    score = np.zeros(len(arrangements))
    for shell, start in enumerate(starts, start=1):
        near = (np.abs(distances - start) <= SAME_SHELL_A).astype(float)
        for a, b in itertools.product(range(len(kinds)), repeat=2):
            pairs = (((arrangements == kinds[a]).astype(float) @ near) * (arrangements == kinds[b])).sum(axis=1)
            score += np.abs(1 - pairs / (near.sum() * counts[a] * counts[b] / n**2)) / shell
    return score


def sublattice(host: str) -> Atoms:
    sites = load_host(host).sites()
    return sites[sites.arrays["sublattice"] == "substituted"]


def test_an_ordered_crystal_is_correlated_and_a_quasi_random_one_is_less_than_random_ones():
    rock_salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * 2  # alternating, on a simple cubic lattice
    numbers = rock_salt.numbers.astype(np.uint8)
    rng = np.random.default_rng(0)
    shuffled = np.array([rng.permutation(numbers) for _ in range(50)])
    ordered = correlation(rock_salt, numbers[None])[0]
    order = quasi_random_order(rock_salt, numbers, rng)
    best = correlation(rock_salt, numbers[order][None])[0]
    assert best < np.percentile(correlation(rock_salt, shuffled), 5) < ordered


def test_a_single_swap_changes_the_score_as_counted_by_hand():
    """Four sites in a row, two elements: A A B B has one A-B contact of four in the ring, A B A B has all four."""
    chain = Atoms("H4", positions=[[2.0 * i, 0, 0] for i in range(4)], cell=[8, 20, 20], pbc=True)
    scores = correlation(chain, np.array([[1, 1, 2, 2], [1, 2, 1, 2]], dtype=np.uint8))
    # First shell, ordered pairs out of 8: AA expected 2, found 2 or 0; AB (twice) 2, found 2 or 4; BB as AA.
    # Second shell, out of 4: AA expected 1, found 0 or 2; AB (twice) 1, found 2 or 0; its weight is 1/2.
    np.testing.assert_allclose(scores, [0.0 + 4 / 2, 4.0 + 4 / 2])


@pytest.mark.parametrize("which", [5, 300, 500])
def test_none_of_all_arrangements_is_less_correlated(which):
    """Eight sites: every arrangement can be counted. The library's best are exactly the best."""
    sites, composition = sublattice("nzsp"), SPACE[which]
    numbers = np.array(
        [z for z, (_, n) in enumerate(composition.amounts, start=20) for _ in range(n)], dtype=np.uint8
    )
    every = np.unique(list(set(itertools.permutations(numbers.tolist()))), axis=0).astype(np.uint8)
    scores = correlation(sites, every).round(9)
    assert least_correlated(sites, numbers).tolist() == every[scores == scores.min()].tolist()


def test_a_sublattice_with_too_many_arrangements_is_searched_alike_every_time():
    sites, numbers = sublattice("lzsp"), np.repeat([22, 40, 50, 72], 4).astype(np.uint8)
    first, again, other = (least_correlated(sites, numbers, seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    rng = np.random.default_rng(0)
    shuffled = np.array([rng.permutation(numbers) for _ in range(100)])
    assert correlation(sites, first.astype(np.uint8)).max() <= correlation(sites, shuffled).min()


def test_orderings_are_less_correlated_streamed_alike_and_the_same_in_another_process():
    sites, several = sublattice("nzsp"), SPACE[::60]
    zr = NZSP.sites().arrays["sublattice"] == "substituted"
    quasi = draw_numbers(NZSP, several, method="sqs")
    for row, composition in enumerate(several):
        single = draw(NZSP, composition, method="sqs")
        assert (single.numbers == quasi[row]).all()
        assert single.get_initial_charges().sum() == 0
        assert single.get_chemical_formula() == draw(NZSP, composition).get_chemical_formula()
        drawn = np.array([draw_numbers(NZSP, [composition], index)[0, zr] for index in range(10)])
        assert correlation(sites, quasi[row, zr][None])[0] <= correlation(sites, drawn).min() + 1e-9
    script = (
        "from agent.hosts import load_host; from agent.ordering import draw; from agent.space import build_space;"
        "host = load_host('nzsp');"
        "print(draw(host, build_space(host).compositions[60], method='sqs').numbers.tolist())"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(quasi[1].astype(int).tolist())
