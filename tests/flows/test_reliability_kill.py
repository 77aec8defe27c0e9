"""kill -9 at fifty random moments of one campaign, on both databases, and at some under Prefect."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.agent.test_ledger import POSTGRES, fresh_postgres_database
from tests.flows.lives import Content, Death, Life, attempts, content, live, write_campaign

#: Of all moments, so many fall a random time after the step that was drawn: in the middle of labels, mostly.
LATE = 0.5


def kill_often(folder: Path, kills: int, whole: Life, seed: int) -> Counter[str]:
    """Kill one campaign so many times, with as many steps between deaths as spreads them over all of it."""
    draw = random.Random(seed)
    beginning = whole.phases.index("proposal")
    share = (len(whole.phases) - beginning) / kills
    doing: Counter[str] = Counter()
    while doing.total() < kills:
        step = 1 + int(draw.uniform(0, beginning) if draw.random() < 0.1 else beginning + draw.expovariate(1 / share))
        life = live(folder, Death(step, draw.uniform(0.0, 0.6) if draw.random() < LATE else 0.0))
        assert life.code in (0, -9), life.error
        if life.code == -9:
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
    whole, expected = uninterrupted
    ledger = write_campaign(tmp_path)
    doing = kill_often(tmp_path, 50, whole, seed=6)
    check(tmp_path, ledger, expected, 50, doing)
    assert set(doing) >= {"proposal", "submit", "label", "commit", "retrain", "artifact"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not POSTGRES, reason="IONLOOP_TEST_POSTGRES is not set")
def test_kills_on_postgresql(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    whole, expected = uninterrupted
    with fresh_postgres_database() as url:
        write_campaign(tmp_path, url)
        doing = kill_often(tmp_path, 20, whole, seed=7)
        check(tmp_path, url, expected, 20, doing)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_under_prefect(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    whole, expected = uninterrupted
    ledger = write_campaign(tmp_path, prefect=True)
    doing = kill_often(tmp_path, 10, whole, seed=8)
    check(tmp_path, ledger, expected, 10, doing)


@pytest.mark.slow
def test_one_kill_in_every_phase(tmp_path: Path, uninterrupted: tuple[Life, Content]) -> None:
    """The short form of the above: the first moment of each phase, one after the other in one campaign."""
    whole, expected = uninterrupted
    ledger = write_campaign(tmp_path)
    doing: Counter[str] = Counter()
    for phase in ("proposal", "submit", "commit", "retrain", "artifact"):
        life = live(tmp_path, Death(whole.phases.index(phase) + 1 if phase != "artifact" else len(whole.phases)))
        doing[life.doing if life.code == -9 else "ended"] += 1
    assert doing.total() - doing["ended"] >= 4
    check(tmp_path, ledger, expected, doing.total(), doing)
