"""Features of a composition as a set of ions."""

import numpy as np
import pytest

from agent.hosts import load_host
from agent.ions import ion_features, ion_properties
from agent.space import build_space


@pytest.fixture(scope="module")
def compositions():
    return build_space(load_host("nzsp")).compositions


def test_a_sum_over_ions_is_linear_in_the_features(compositions):
    features = ion_features(compositions)
    rng = np.random.default_rng(0)
    effect = {e: rng.normal() for c in compositions for e, _ in c.amounts}
    y = np.array([sum(effect[e] * n for e, n in c.amounts) for c in compositions])
    fitted = features @ np.linalg.lstsq(features, y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(fitted, y - y.mean(), atol=1e-8)
    assert (features**2).mean() == pytest.approx(1)


def test_similar_ions_are_neighbours(compositions):
    """Exchanging dysprosium for erbium moves a composition less than exchanging it for aluminium."""
    by_elements = {frozenset(e for e, _ in c.amounts): i for i, c in enumerate(compositions)}
    features = ion_features(compositions)
    others = [s - {"Dy"} for s in by_elements if "Dy" in s]
    ratios = []
    for rest in others:
        if all(rest | {e} in by_elements for e in ("Er", "Al")) and not rest & {"Er", "Al"}:
            dy, er, al = (features[by_elements[rest | {e}]] for e in ("Dy", "Er", "Al"))
            ratios.append(np.linalg.norm(dy - er) / np.linalg.norm(dy - al))
    assert ratios
    assert max(ratios) < 0.7


def test_what_is_not_tabulated_takes_the_mean():
    table = ion_properties([("Zr", 4), ("Ti", 4), ("Zr", 7)])
    assert np.isfinite(table).all()
    assert table[2, 1] == pytest.approx(table[:2, 1].mean())
