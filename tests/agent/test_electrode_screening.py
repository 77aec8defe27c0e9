"""The paper's three rules at their boundaries, and the ranking."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.electrode_screening import Candidate, Rules, flatness, judge, screen


def candidate(V21=3.7, V32=3.4, V43=2.5, relaxation=(0.01, 0.02, 0.03, 0.02), name="A#0", problem=""):
    energies = dict(enumerate(relaxation, 1))
    return Candidate(name, name.partition("#")[0], V21, V32, V43, energies, problem)


def reasons(**given):
    return judge(candidate(**given), Rules()).reasons


def test_a_good_one_stays():
    found = judge(candidate(), Rules())
    assert found.passed
    assert found.score == pytest.approx((3.7 - 2.5) / 2.5)


@pytest.mark.parametrize(("V21", "stays"), [(3.49, True), (3.90, True), (3.4899, False), (3.9001, False)])
def test_the_window_of_v21_includes_its_ends(V21, stays):
    assert (not reasons(V21=V21)) is stays


@pytest.mark.parametrize("levels", [(3.7, 3.7, 2.5), (3.7, 3.4, 3.4), (3.7, 3.8, 2.5), (3.5, 3.0, 3.2)])
def test_steps_must_fall(levels):
    V21, V32, V43 = levels
    assert any("step shape" in reason for reason in reasons(V21=V21, V32=V32, V43=V43))


def test_the_variation_in_relaxation_energy_is_the_spread():
    assert not reasons(relaxation=(0.100, 0.149))
    assert any("relaxation" in reason for reason in reasons(relaxation=(0.0, 0.05)))  # not below the limit
    strict = Rules(relaxation_measure="largest")
    assert not judge(candidate(relaxation=(0.100, 0.149)), strict).passed
    assert judge(candidate(relaxation=(0.01, 0.0499)), strict).passed


def test_every_broken_rule_is_named():
    assert len(reasons(V21=4.2, V32=4.3, relaxation=(0.0, 0.2))) == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"V43": None},
        {"V21": math.nan},
        {"V32": math.inf},
        {"relaxation": ()},
        {"relaxation": (0.01, math.nan)},
        {"problem": "content 4: unconverged"},
    ],
)
def test_what_has_no_numbers_is_left_out_without_a_score(bad):
    found = judge(candidate(**bad), Rules())
    assert not found.passed
    assert found.score is None


@given(st.floats(-5, 0))
def test_a_voltage_that_is_not_positive_never_ranks(V43):
    assert flatness(3.7, V43) is None
    assert any("no ratio" in reason for reason in reasons(V43=V43))


def test_a_compound_is_ranked_by_its_best_arrangement():
    found = screen(
        [
            candidate(name="A#0", V43=2.5),
            candidate(name="A#1", V43=3.0),
            candidate(name="B#0", V43=2.8),
            candidate(name="C#0", V21=5.0),
        ]
    )
    assert [(one.candidate.name, one.rank) for one in found] == [("A#1", 1), ("B#0", 2), ("A#0", None), ("C#0", None)]


@given(st.lists(st.tuples(st.floats(3.2, 4.2), st.floats(2, 4), st.floats(0.1, 4)), max_size=20))
def test_ranks_follow_the_score(levels):
    found = screen(candidate(*three, name=f"M{i}#0") for i, three in enumerate(levels))
    ranked = [one for one in found if one.rank is not None]
    assert [one.rank for one in ranked] == list(range(1, len(ranked) + 1))
    assert [one.score for one in ranked] == sorted(one.score for one in ranked)
    assert len(found) == len(levels)


def test_bad_rules():
    with pytest.raises(ValidationError, match="empty"):
        Rules(min_V21_V=4.0, max_V21_V=3.0)
    with pytest.raises(ValidationError):
        Rules(relaxation_measure="mean")
