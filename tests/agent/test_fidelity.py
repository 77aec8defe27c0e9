"""Gain per cost: the limits that any such rule must have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fidelity import Fidelity, gain_per_cost, learned_correlation
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


def best(mean, sigma, *fidelities):
    """Which fidelity gains most per cost for each candidate."""
    return gain_per_cost(np.array(mean), np.array(sigma), 0.0, fidelities).argmax(axis=0).tolist()


def test_cheap_first_where_it_tells_much_dear_where_it_tells_little():
    mean, sigma = [0.1, -0.2], [0.2, 0.05]
    assert best(mean, sigma, CHEAP, DEAR) == [0, 0]
    assert best(mean, sigma, Fidelity("noise", 1.0, 0.0), DEAR) == [1, 1]
    assert best(mean[1:], sigma[1:], Fidelity("weak", 1.0, 0.05), DEAR) == [1]


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
        (lambda: learned_correlation(np.ones(2), np.ones(3)), "no pairs"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
