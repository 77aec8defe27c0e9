"""Scatter between orderings, what is believed of a composition, and what one more label of it is worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.replicates import exchanged, knowledge_gradient, posterior, scatter_eV, standard_errors_eV


def test_scatter_is_pooled_and_starts_from_a_guess():
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    labels = {i: (v + 0.2 * rng.normal(size=3)).tolist() for i, v in enumerate(values)}
    assert scatter_eV(labels) == pytest.approx(0.2, rel=0.05)
    once = {i: [v] for i, v in enumerate(values)}
    assert scatter_eV(once) == pytest.approx(values.std() * np.sqrt(0.5), rel=1e-6)
    assert scatter_eV({}) == scatter_eV({1: [0.3]}) == 0.0


def test_labels_join_the_model_by_their_precision():
    mean, sigma = posterior(np.array([0.5, 0.5]), np.array([0.1, 0.1]), np.array([7, 8]), {7: [0.3, 0.3]}, 0.1)
    assert mean.tolist() == pytest.approx([(0.5 + 2 * 0.3) / 3, 0.5])
    assert sigma.tolist() == pytest.approx([0.1 / np.sqrt(3), 0.1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=6), st.floats(0.05, 1), st.floats(0, 0.5), st.integers(0, 2))
def test_the_knowledge_gradient_is_the_expected_gain(means, sigma, scatter, which):
    """Against its definition: E[min of the posterior means after a label] by quadrature."""
    mean, sigmas = np.array(means), np.linspace(sigma, 2 * sigma, len(means))
    moved = sigmas[which] ** 2 / np.sqrt(sigmas[which] ** 2 + scatter**2)
    z = np.linspace(-8, 8, 20_001)
    weights = np.exp(-(z**2) / 2)
    after = np.minimum(mean[which] + moved * z, np.delete(mean, which).min())
    expected = mean.min() - (after * weights).sum() / weights.sum()
    assert knowledge_gradient(mean, sigmas, scatter)[which] == pytest.approx(expected, abs=1e-5)


def test_what_is_known_well_is_not_worth_a_label():
    mean, sigma = np.array([0.2, 0.21, 0.5]), np.array([1e-4, 0.05, 0.05])
    gain = knowledge_gradient(mean, sigma, 0.03)
    assert gain[1] > gain[2]
    assert gain[0] < 1e-4
    assert knowledge_gradient(mean[:1], sigma[:1], 0.03).tolist() == [0.0]


def test_further_orderings_take_the_weakest_places_only_if_worth_more():
    gain = np.array([5.0, 1.0, 3.0, 4.0, 2.0, 0.5])
    again = np.array([False, False, False, True, True, True])
    assert exchanged(np.array([0, 1, 2]), gain, again).tolist() == [0, 3, 2]
    assert exchanged(np.array([0, 2]), gain * np.where(again, 0.1, 1), again).tolist() == [0, 2]
    assert exchanged(np.array([3, 4]), gain, again).tolist() == [3, 4]  # nothing new is left


def test_one_label_has_a_standard_error_as_soon_as_others_have_two():
    assert standard_errors_eV({1: [0.3], 2: [0.4]}) is None
    labels = {1: [0.3], 2: [0.40, 0.44], 3: [0.5, 0.52, 0.51, 0.53]}
    errors = standard_errors_eV(labels)
    assert errors[2] == pytest.approx(errors[1] / np.sqrt(2))
    assert errors[3] == pytest.approx(errors[1] / 2)
    assert errors[1] == pytest.approx(scatter_eV(labels))
