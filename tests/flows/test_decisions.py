"""One line per decision, in a person's words."""

from __future__ import annotations

import pytest

from agent.ledger import NewProposal
from flows import decisions
from flows.config import Config, parse_config


def config(**acquisition: object) -> Config:
    return parse_config({"campaign": {"name": "c"}, "acquisition": acquisition})


def proposal(cluster: int, mean: float | None = 0.45, score: float = -0.41, reason: str = "") -> NewProposal:
    sigma = None if mean is None else 0.04
    return NewProposal("key", "formula", 0, "chgnet", "k", reason, cluster, mean, sigma, score)


def said(proposals: list[NewProposal], before: list[NewProposal], number: int = 4, **acquisition: object) -> str:
    return decisions.proposed(number, proposals, before, config(**acquisition), "bvse", "chgnet-neb")


def test_how_many_from_where_how_good_and_what_for() -> None:
    chosen = [proposal(1), proposal(2, score=-0.5), proposal(13), proposal(13)]
    assert said(chosen, [proposal(1), proposal(2)], strategy="lcb") == (
        "round 4: proposed 4 from 3 clusters; best LCB 0.410 eV (predicted 0.450 ± 0.040 eV); "
        "2 for exploration in cluster 13"
    )
    assert "clusters 5, 13" in said([proposal(13), proposal(5)], [proposal(1)])
    assert "proposed 1 from cluster 2;" in said([proposal(2)], [proposal(2)])


@pytest.mark.parametrize(
    ("strategy", "score", "words"),
    [
        ("ei", 0.012, "best EI 12.0 meV"),
        ("pi", 0.25, "best PI 25%"),
        ("top-k", -0.1, "best EI of the 18 best (predicted 0.450"),
        ("greedy", -0.45, "lowest mean (predicted 0.450"),
        ("max-sigma", 0.04, "largest sigma (predicted"),
        ("random", 1.0, "chosen by random"),
    ],
)
def test_in_the_measure_of_its_strategy(strategy: str, score: float, words: str) -> None:
    assert words in said([proposal(1, score=score)], [], strategy=strategy)


def test_without_labels_at_the_target() -> None:
    assert "maximin for want of labels at chgnet-neb" in said([proposal(1, None)], [], number=1)
    ranked = proposal(1, None, reason="low confidence bound, all at bvse: nothing is labelled at chgnet-neb yet")
    assert "ranked at bvse for want of labels" in said([ranked], [], number=1)
    assert said([proposal(1, None)], [], number=0).endswith("for pre-training with bvse")
    assert "learns from labels that landed late" in said([], [])
