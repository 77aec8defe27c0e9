"""Gain per cost: the limits that any such rule must have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fidelity import Fidelity, choose_fidelity, gain_per_cost, learned_correlation
from agent.scores import expected_improvement

CHEAP, DEAR = Fidelity("bvse", 1.0, 0.7), Fidelity("neb", 100.0)


@given(st.floats(-1, 1), st.floats(0.01, 1))
def test_the_target_fidelitys_gain_is_its_expected_improvement(mean, sigma):
    m, s = np.array([mean]), np.array([sigma])
    gain = gain_per_cost(m, s, 0.0, [DEAR])[0]
    assert gain == pytest.approx(expected_improvement(m, s, 0.0) / 100, abs=1e-12)


@given(st.floats(-1, 1), st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_better_correlated_label_never_gains_less(mean, sigma, one, other):
    m, s = np.array([mean]), np.array([sigma])
    low, high = sorted((one, other))
    gain = gain_per_cost(m, s, 0.0, [Fidelity("a", 1, low), Fidelity("b", 1, high)])[:, 0]
    assert gain[0] <= gain[1] + 1e-12


def test_cheap_first_where_it_tells_much_dear_where_it_tells_little():
    mean, sigma = np.array([0.1, -0.2]), np.array([0.2, 0.05])
    chosen, gain = choose_fidelity(mean, sigma, 0.0, [CHEAP, DEAR])
    assert chosen.tolist() == [0, 0]
    assert (gain > 0).all()
    useless = Fidelity("noise", 1.0, 0.0)
    assert choose_fidelity(mean, sigma, 0.0, [useless, DEAR])[0].tolist() == [1, 1]
    weak = Fidelity("weak", 1.0, 0.05)
    assert choose_fidelity(mean[1:], sigma[1:], 0.0, [weak, DEAR])[0].tolist() == [1]


def test_a_label_that_is_there_is_not_paid_for_again():
    known = np.array([[True], [False]])
    assert choose_fidelity(np.array([0.1]), np.array([0.2]), 0.0, [CHEAP, DEAR], known)[0].tolist() == [1]


def test_without_any_gain_the_target_fidelity_wins_the_tie():
    assert choose_fidelity(np.array([1.0]), np.array([0.0]), 0.0, [CHEAP, DEAR])[0].tolist() == [1]


def test_correlation_is_learned_from_pairs():
    rng = np.random.default_rng(0)
    dear = rng.normal(size=200)
    cheap = 0.8 * dear + 0.6 * rng.normal(size=200)
    assert learned_correlation(cheap, dear) == pytest.approx(0.8, abs=0.06)
    assert learned_correlation(cheap[:2], dear[:2], prior=0.4) == 0.4
    assert learned_correlation(np.ones(9), dear[:9], prior=0.4) == 0.4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fidelity("x", 0.0), "cost is 0.0"),
        (lambda: Fidelity("x", 1.0, 1.5), "correlation is 1.5"),
        (lambda: choose_fidelity(np.ones(1), np.ones(1), 0.0, []), "no fidelity"),
        (lambda: learned_correlation(np.ones(2), np.ones(3)), "no pairs"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
