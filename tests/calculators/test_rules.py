"""What one band says about the barrier to be crossed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calculators.label import Hop
from calculators.rules import crossing_barrier, saddle_is_end_point


def hop(path):
    top = max(path)
    fields = {"forward_eV": top - path[0], "backward_eV": top - path[-1], "path_eV": [e - path[0] for e in path]}
    return Hop.model_construct(**fields)


def test_a_dip_below_both_ends_has_to_be_left():
    """Found in a campaign: 0.023 eV by the end points, although the ion rests 0.063 eV below the first."""
    dipping = hop([0.0, -0.012, -0.058, -0.063, -0.023])
    assert dipping.backward_eV == pytest.approx(0.023)
    assert crossing_barrier(dipping) == pytest.approx(0.063)
    assert saddle_is_end_point(dipping)


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=9))
def test_crossing_is_the_same_in_both_directions_and_never_below_an_end_point_barrier(path):
    here, back = hop(path), hop(path[::-1])
    assert crossing_barrier(here) == pytest.approx(crossing_barrier(back), abs=1e-9)
    assert crossing_barrier(here) >= max(here.forward_eV, here.backward_eV) - 1e-9


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_without_a_dip_it_is_the_saddle_above_the_lower_end(end, rise, share):
    saddle = max(0.0, end) + rise
    path = [0.0, share * saddle if saddle * share >= min(0.0, end) else 0.0, saddle, end]
    assert crossing_barrier(hop(path)) == pytest.approx(max(saddle, saddle - end), abs=1e-9)
