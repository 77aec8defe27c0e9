"""Every rule stops a campaign exactly where it says, with a sentence for people."""

import pytest

from agent.stopping import Progress, StoppingConfig, should_stop


@pytest.mark.parametrize(
    ("config", "before", "after", "rule"),
    [
        ({"max_labels": 20}, {"labels": 19}, {"labels": 20}, "labels"),
        ({"max_rounds": 3}, {"rounds": 2}, {"rounds": 3}, "rounds"),
        ({"max_calculator_hours": 2}, {"calculator_hours": 1.9}, {"calculator_hours": 2.1}, "hours"),
        ({"max_wall_hours": 2}, {"wall_hours": 1.9}, {"wall_hours": 2.0}, "wall-time"),
        ({"target_eV": 0.3}, {"best_eV": 0.31}, {"best_eV": 0.3}, "target"),
        ({}, {"candidates_left": 1}, {"candidates_left": 0}, "exhausted"),
        (
            {"min_improvement_probability": 0.01, "patience": 2},
            {"improvement": [0.2, 0.02, 0.005]},
            {"improvement": [0.2, 0.02, 0.005, 0.004]},
            "improvement",
        ),
        (
            {"failures_in_a_row": 3},
            {"outcomes": ["invalid", "unconverged", "unconverged", None, "unconverged"]},
            {"outcomes": [None, "unconverged", "unconverged", "unconverged"]},
            "circuit-breaker",
        ),
    ],
)
def test_each_rule_stops_exactly_where_it_says(config, before, after, rule):
    settings = StoppingConfig(**config)
    assert should_stop(settings, Progress(**before)) is None
    reason = should_stop(settings, Progress(**after))
    assert reason is not None
    assert reason.rule == rule
    assert len(reason.text) > 15
    assert reason.healthy == (rule != "circuit-breaker")


def test_failures_of_different_kinds_do_not_trip_the_breaker():
    outcomes = ["invalid", "unconverged"] * 5
    assert should_stop(StoppingConfig(), Progress(outcomes=outcomes)) is None


def test_trouble_is_named_before_success_and_success_before_the_budget():
    config = StoppingConfig(max_labels=5, target_eV=1.0, failures_in_a_row=2)
    everything = Progress(labels=5, best_eV=0.5, outcomes=["invalid"] * 2)
    assert should_stop(config, everything).rule == "circuit-breaker"
    assert should_stop(config, Progress(labels=5, best_eV=0.5)).rule == "target"


def test_nothing_configured_never_stops():
    assert should_stop(StoppingConfig(), Progress(labels=10**6, rounds=10**6, wall_hours=1e6)) is None
