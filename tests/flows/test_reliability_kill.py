"""kill -9 at fifty random moments of one campaign, on both databases, and at some under Prefect."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.agent.test_ledger import POSTGRES, fresh_postgres_database
from tests.flows.lives import Content, Death, Life, attempts, content, live, write_campaign

#: In each of the four rounds a driver is killed so often in each phase; the artifacts at the end get what is left.
ROUNDS = 4
IN_A_ROUND = {"proposal": 2, "start": 1, "submit": 2, "label": 4, "commit": 2, "retrain": 1}
#: Of the moments in labels, so many fall a random time after a step: in the middle of a calculation.
LATE = 0.5


def moments(kills: int, draw: random.Random) -> list[Death]:
    """Random moments, spread over the phases of a round and over the rounds."""
    kinds = [phase for _ in range(ROUNDS) for phase, times in IN_A_ROUND.items() for _ in range(times)]
    kinds += ["artifact"] * max(2, kills - len(kinds))
    chosen = sorted(draw.sample(range(len(kinds)), kills))
    return [_moment(kinds[i], draw) for i in chosen]


def _moment(phase: str, draw: random.Random) -> Death:
    late = phase == "label" and draw.random() < LATE
    return Death(1 + int(draw.expovariate(1 / 4)), draw.uniform(0.0, 0.6) if late else 0.0, phase)


def kill_often(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill one campaign so many times. A moment that the campaign is past is replaced by one of its end."""
    draw = random.Random(seed)
    doing: Counter[str] = Counter()
    for moment in moments(kills, draw):
        life = live(folder, moment)
        while life.code == 0:
            life = live(folder, _moment("artifact", draw))
        assert life.code == -9, life.error
        doing[life.doing] += 1
    return doing


def check(folder: Path, target: str | Path, expected: Content, kills: int, doing: Counter[str]) -> None:
    last = live(folder)
    assert last.code == 0, last.error
    assert content(target) == expected
    counted = attempts(target)
    assert set(counted) <= {"succeeded", "lost"}
    print(f"killed {kills} times while: {dict(doing.most_common())}; attempts: {dict(counted)}")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_end_like_an_uninterrupted_campaign(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    expected = uninterrupted[1]
    ledger = write_campaign(tmp_path)
    doing = kill_often(tmp_path, 50, seed=6)
    check(tmp_path, ledger, expected, 50, doing)
    assert set(doing) >= {"proposal", "submit", "label", "commit", "retrain", "artifact"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not POSTGRES, reason="IONLOOP_TEST_POSTGRES is not set")
def test_kills_on_postgresql(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    expected = uninterrupted[1]
    with fresh_postgres_database() as url:
        write_campaign(tmp_path, url)
        doing = kill_often(tmp_path, 20, seed=7)
        check(tmp_path, url, expected, 20, doing)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_under_prefect(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    expected = uninterrupted[1]
    ledger = write_campaign(tmp_path, prefect=True)
    doing = kill_often(tmp_path, 10, seed=8)
    check(tmp_path, ledger, expected, 10, doing)


@pytest.mark.slow
def test_one_kill_in_every_phase(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    """The short form of the above: the first moment of each phase, one after the other in one campaign."""
    ledger = write_campaign(tmp_path)
    phases = ("proposal", "submit", "label", "commit", "retrain", "artifact")
    lives = [live(tmp_path, Death(1, phase=phase)) for phase in phases]
    assert [life.code for life in lives] == [-9] * len(phases), [life.error for life in lives]
    assert [life.doing for life in lives] == list(phases)
    check(tmp_path, ledger, uninterrupted[1], len(phases), Counter(phases))
