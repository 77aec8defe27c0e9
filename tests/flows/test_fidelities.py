"""Cheap labels on demand: what the ledger tells about cost and worth, and a campaign that acts on it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from agent.acquisition import Proposal
from agent.composition import Composition
from agent.ledger import Ledger, NewProposal
from agent.schema import AttemptRow
from calculators.label import Failure, FailureKind, Label
from flows.candidates import build_candidates
from flows.config import parse_config
from flows.errors import ConfigError
from flows.fidelities import Fidelities
from flows.proposing import Proposer
from models.surrogates import CompositionForest
from tests.flows.toy import write_toy

FIDELITY = {"bvse": "bvse", "chgnet": "chgnet-neb", "emt": "emt-neb"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    opened.create_campaign("one", "nzsp", "chgnet-neb", 7, {})
    yield opened
    opened.close()


def composition(number: int) -> Composition:
    return Composition("nzsp", (("Sn", number),), (("Sn", 4),), 12)


def key(number: int) -> str:
    return composition(number).key


def labelled(
    ledger: Ledger,
    calculator: str,
    values: Mapping[str, float | None],
    seconds: float,
    predicted: Mapping[str, float] | None = None,
) -> None:
    """A round of one calculator that took so long per attempt; None is a failure."""
    rows = [
        NewProposal(key, "f", 0, calculator, f"{calculator} {key}", "", 0, (predicted or {}).get(key), 0.1)
        for key in values
    ]
    number = len(ledger.rounds("one"))
    ledger.begin_round("one", number, rows, "")
    for row, value in zip(ledger.proposals("one", number), values.values(), strict=True):
        failure = None if value is not None else Failure(kind=FailureKind.TRANSIENT, reason="no luck", stage="neb")
        label = Label(key=row.label_key, fidelity=FIDELITY[calculator], value_eV=value, failure=failure)
        attempt = ledger.start_attempt(row.id, row.label_key, calculator, "")
        ledger.finish_attempt(attempt, label)
        with ledger.transaction() as session:
            session.get_one(AttemptRow, attempt).seconds = seconds


def proposals(*numbers: int, mean_eV: float = 0.3, sigma_eV: float = 0.1) -> list[Proposal]:
    return [Proposal(n, composition(n), 0, mean_eV, sigma_eV, 0.0, 1, 0, "lowest bound") for n in numbers]


def learned(ledger: Ledger) -> Fidelities | None:
    return Fidelities.learned(ledger, "one", "bvse", "chgnet")


def test_nothing_is_known_before_both_have_succeeded(ledger: Ledger) -> None:
    assert learned(ledger) is None
    labelled(ledger, "bvse", {key(1): 0.5, key(2): 0.6}, 1.0)
    assert learned(ledger) is None
    labelled(ledger, "chgnet", {key(1): None}, 100.0)
    assert learned(ledger) is None
    labelled(ledger, "chgnet", {key(2): 0.3}, 100.0)
    found = learned(ledger)
    assert found is not None
    assert found.best_eV == 0.3
    assert (found.cheap.cost, found.dear.cost) == (1.0, 200.0)  # the failure was paid for too


def test_the_cheap_label_comes_first_once_and_only_where_it_is_cheap(ledger: Ledger) -> None:
    labelled(ledger, "bvse", {key(1): 0.5, key(2): 0.6}, 1.0)
    labelled(ledger, "chgnet", {key(1): 0.3}, 100.0)
    found = learned(ledger)
    assert found is not None
    first, second = found.cheap_first(proposals(1, 3))
    assert first == "", "it has its cheap label"
    assert "bvse first" in second
    assert "1 s against 1e+02 s" in second
    labelled(ledger, "bvse", {key(4): 0.5}, 1e5)
    found = learned(ledger)
    assert found is not None
    assert found.cheap_first(proposals(1, 3)) == ["", ""]
    assert found.cheap_first([]) == []
    assert found.cheap_first(proposals(5, mean_eV=np.nan, sigma_eV=np.nan)) == [""], "no prediction, no gain"


@pytest.mark.parametrize("tells", [True, False])
def test_correlation_is_of_what_the_model_did_not_know(ledger: Ledger, tells: bool) -> None:
    """Both labels follow the prediction; the cheap one counts as correlated only where it tells more than that."""
    rng = np.random.default_rng(0)
    predicted, surprise, noise = rng.random(30), rng.normal(size=30) / 10, rng.normal(size=30) / 10
    cheap, dear = 2 * predicted + (surprise if tells else noise), predicted + surprise
    keys = [key(n) for n in range(30)]
    labelled(ledger, "bvse", dict(zip(keys, cheap.tolist(), strict=True)), 1.0)
    known = dict(zip(keys, predicted.tolist(), strict=True))
    labelled(ledger, "chgnet", dict(zip(keys, dear.tolist(), strict=True)), 100.0, known)
    found = learned(ledger)
    assert found is not None
    assert (found.cheap.correlation > 0.9) is tells
    assert abs(found.cheap.correlation) < 0.5 or tells


def test_a_cheap_label_leaves_its_composition_open_for_the_dear_one(ledger: Ledger, tmp_path: Path) -> None:
    text = write_toy(tmp_path).read_text().replace("labels = 0", "labels = 3\non_demand = true")
    config = parse_config(tomllib.loads(text.replace('name = "toy"', 'name = "one"', 1)))
    candidates = build_candidates(config)
    proposer = Proposer(config, candidates, ledger)
    keys = [composition.key for composition in candidates.compositions]
    labelled(ledger, "bvse", {keys[0]: 0.5}, 1.0)
    labelled(ledger, "emt", {keys[1]: 0.3, keys[2]: 0.4, keys[3]: 0.5}, 100.0)
    known = np.array([1, 2, 3])
    forest = CompositionForest(candidates.features).fit(known[:, None], np.array([0.3, 0.4, 0.5]))

    chosen = proposer.choose(forest, 4, (2,))
    rows = proposer.acquisition_rows(chosen)
    assert {row.calculator for row in rows} == {"bvse"}
    assert all("; bvse first: " in row.reason for row in rows)
    ledger.begin_round("one", 2, rows, "")

    again = proposer.acquisition_rows(proposer.choose(forest, 4, (2,)))
    assert [row.composition for row in again] == [row.composition for row in rows]
    assert {row.calculator for row in again} == {"emt"}
    assert not any("first:" in row.reason for row in again)


CHGNET = {"label": {"calculators": ["chgnet"]}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pretrain": {"on_demand": True, "labels": 0}} | CHGNET, "pretrain.labels"),
        ({"pretrain": {"on_demand": True}, "loop": {"mode": "streaming"}} | CHGNET, "loop.mode"),
        ({"pretrain": {"on_demand": True, "calculator": "chgnet"}} | CHGNET, "another calculator"),
        ({"pretrain": {"on_demand": True}}, "another calculator"),
    ],
)
def test_what_it_needs_is_said(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config({"campaign": {"name": "c"}, **changes})
