"""Quasi-random arrangements: less correlated than random ones, the same for the same seed, nothing lost."""

import subprocess
import sys

import numpy as np
from ase import Atoms
from ase.build import bulk

from agent.hosts import load_host
from agent.ordering import draw, draw_numbers
from agent.space import build_space
from agent.sqs import correlation, quasi_random_order

NZSP = load_host("nzsp")
SPACE = build_space(NZSP).compositions


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
    # First shell, ordered pairs out of 8: AA expected 8/6, found 2 or 0; AB (once) 8/3, found 2 or 4; BB as AA.
    # Second shell, out of 4: AA expected 4/6, found 0 or 2; AB 4/3, found 2 or 0; BB as AA; its weight is 1/2.
    first = (2 * abs(1 - 2 / (8 / 6)) + abs(1 - 2 / (8 / 3)), 2 * 1.0 + abs(1 - 4 / (8 / 3)))
    second = (2 * 1.0 + abs(1 - 2 / (4 / 3)), 2 * abs(1 - 2 / (4 / 6)) + 1.0)
    np.testing.assert_allclose(scores, [a + b / 2 for a, b in zip(first, second, strict=True)])


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
