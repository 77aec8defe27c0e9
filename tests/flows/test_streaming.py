"""Streaming: the next proposal goes out when a label lands; kill -9 and Ctrl-C cost nothing."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import threading
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent.ledger import Ledger
from agent.stopping import StopReason
from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import label_key
from calculators.registry import find
from flows.campaign import Campaign
from flows.candidates import Candidates, build_candidates
from flows.config import Config, load_config, parse_config
from flows.interruption import Interruption
from flows.labelling import Progress
from flows.places import Interrupted
from flows.progress import Reporter
from flows.stage import BareStage
from flows.streaming import play_streaming
from tests.flows.sleepers import CHEAP, DEAR, value_eV
from tests.flows.test_kill import MOMENTS, content, finish, kill_when, reached, start
from tests.flows.toy import write_toy

STREAMING = """
[loop]
mode = "streaming"
"""


def write_streaming(folder: Path, **options: Any) -> Path:
    return write_toy(folder, extra=STREAMING, **options)


def rows(ledger: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(ledger) as connection:
        return connection.execute(query).fetchall()


def lessons(ledger: Path) -> list[dict[str, Any]]:
    return [
        json.loads(data) for (data,) in rows(ledger, "SELECT data FROM events WHERE kind = 'lessons' ORDER BY id")
    ]


def check_whole(ledger: Path, rounds: int, batch: int) -> None:
    """What is true of every streaming campaign that has ended by its budget of rounds, whatever happened to it."""
    found = content(ledger)
    assert found["campaign"] == [("finished", f"the budget of {rounds} rounds is spent ({rounds})")]
    assert [(number, state) for number, state, *_ in found["rounds"]] == [(n + 1, "done") for n in range(rounds)]
    asked = [(composition, ordering) for _, _, composition, ordering, *_ in found["proposals"]]
    assert len(asked) == len(set(asked)), "asked for twice"
    states = Counter(row[-1] for row in found["proposals"])
    assert states["labelled"] == rounds * batch
    assert not states["pending"]
    succeeded = [key for (key,) in rows(ledger, "SELECT label_key FROM attempts WHERE state = 'succeeded'")]
    assert len(succeeded) == len(set(succeeded)), "a label was computed twice"
    assert not rows(
        ledger, "SELECT 1 FROM attempts a JOIN proposals p ON p.id = a.proposal WHERE a.started < p.created"
    )
    learned = [i for lesson in lessons(ledger) for i in lesson["proposals"]]
    labelled = {i for (i,) in rows(ledger, "SELECT id FROM proposals WHERE state = 'labelled'")}
    assert sorted(learned) == sorted(labelled), "every label is learned from, once"
    ranked = [row[1] for row in found["ranking"] if row[-1] == "label"]
    assert len(ranked) == rounds * batch


@pytest.mark.slow
def test_killed_at_many_moments_it_loses_and_repeats_nothing(tmp_path: Path) -> None:
    write_streaming(tmp_path)
    ledger = tmp_path / "toy" / "ledger.sqlite"
    killed = 0
    process = start("run", "toy.toml", cwd=tmp_path)
    for moment in MOMENTS.values():
        killed += kill_when(process, ledger, moment)
        process = start("resume", "toy/", cwd=tmp_path)
    finish(process)
    assert killed >= 5
    check_whole(ledger, rounds=3, batch=3)


@pytest.mark.slow
def test_ctrl_c_pauses_and_resume_goes_on(tmp_path: Path) -> None:
    write_streaming(tmp_path)
    ledger = tmp_path / "toy" / "ledger.sqlite"
    process = start("run", "toy.toml", cwd=tmp_path)
    while not reached(ledger, MOMENTS["first label committed"]):
        assert process.poll() is None
        threading.Event().wait(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert content(ledger)["campaign"] == [("paused", "interrupted by a person")]
    assert "failed" not in {row[-1] for row in content(ledger)["proposals"]}
    finish(start("resume", "toy/", cwd=tmp_path))
    check_whole(ledger, rounds=3, batch=3)


# --- in this process, with an engine that the test conducts ---------------------------------------------------


class Conducted:
    """Answers at once, but for compositions that the test holds back or fails."""

    def __init__(self) -> None:
        self.first = threading.Event()
        self.held: str | None = None
        self.hold_first = False
        self.failing: set[str] = set()
        self.done: list[str] = []
        self.interrupted = threading.Event()
        self._lock = threading.Lock()

    def label(self, work: Work, folder: Path, timeout_s: float, on_event: Progress | None = None) -> Label:
        with self._lock:
            mine = self.hold_first and self.held is None
            if mine:
                self.held = work.name
        while mine and not self.first.wait(0.05):
            if self.interrupted.is_set():
                raise Interrupted
        label = Label(key=label_key(work), fidelity=find(work.calculator).fidelity, folder=str(folder))
        if work.calculator in self.failing:
            label.failure = Failure(kind=FailureKind.INVALID, reason="as the test wants it")
            return label
        label.value_eV, label.converged = value_eV(work), True
        self.done.append(work.name)
        return label


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Candidates:
    return build_candidates(load_config(write_streaming(tmp_path_factory.mktemp("space"))))


def campaign(folder: Path, candidates: Candidates, engine: Conducted, **changes: dict[str, Any]) -> Campaign:
    data = load_config(write_streaming(folder)).model_dump(mode="json")
    data["label"] |= {"calculators": [DEAR], "settings": {}}
    for section, fields in changes.items():
        data[section] |= fields
    config: Config = parse_config(data)
    config.folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(config.folder / "ledger.sqlite")
    if ledger.campaign("toy") is None:
        ledger.create_campaign("toy", "toy", "dear", 7, data)
    interruption = Interruption(lambda: None)
    engine.interrupted = interruption.event
    return Campaign(config, candidates, ledger, engine, Reporter(Console(quiet=True)), BareStage(), interruption)


def test_a_slow_label_does_not_idle_the_rest(tmp_path: Path, candidates: Candidates) -> None:
    """The first label does not land before all the others have, rounds beyond its own."""
    engine = Conducted()
    engine.hold_first = True
    made = campaign(tmp_path, candidates, engine)
    reasons: list[StopReason] = []
    running = threading.Thread(target=lambda: reasons.append(made.run(play_streaming)))
    running.start()
    for _ in range(600):
        others = made.ledger.proposals("toy")
        if sum(p.state == "labelled" for p in others) == 8:
            break
        threading.Event().wait(0.1)
    engine.first.set()
    running.join(60)
    assert {p.round for p in others if p.state == "labelled"} >= {1, 2}
    assert [(p.round, p.state) for p in others if p.state == "pending"] == [(1, "pending")]
    assert reasons[0].rule == "rounds"
    check_whole(tmp_path / "toy" / "ledger.sqlite", rounds=3, batch=3)


def test_the_next_decision_follows_from_the_ledger_alone(tmp_path: Path, candidates: Candidates) -> None:
    """Two drivers that find the same ledger choose the same, with the model trained again by each."""
    engine = Conducted()
    engine.hold_first = True
    made = campaign(tmp_path / "a", candidates, engine)

    def run() -> None:
        with pytest.raises(KeyboardInterrupt):
            made.run(play_streaming)

    running = threading.Thread(target=run)
    running.start()
    for _ in range(600):
        if any(row.state == "done" for row in made.ledger.rounds("toy")):
            break
        threading.Event().wait(0.05)
    made.interruption.ask()
    running.join(60)
    made.ledger.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    chosen = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        again = campaign(folder, candidates, Conducted())
        done = [row.number for row in again.ledger.rounds("toy") if row.state == "done"][-1]
        proposer = again.proposer
        rows = proposer.acquisition_rows(proposer.choose(again.learner.after(done), 2, (done + 1, 0), recent=1))
        assert rows[0].mean_eV is not None
        chosen.append(rows)
    assert chosen[0] == chosen[1]
    pending = {p.composition for p in again.ledger.proposals("toy", state="pending")}
    assert not pending & {row.composition for row in rows}, "pending proposals are conditioned on"


def test_a_fallback_frees_its_place(tmp_path: Path, candidates: Candidates) -> None:
    """Labels that went on to the next calculator of the chain no longer take the dear calculator's places."""
    engine = Conducted()
    engine.failing = {DEAR}
    made = campaign(tmp_path, candidates, engine, label={"calculators": [DEAR, CHEAP]}, stopping={"max_labels": 4})
    reason = made.run(play_streaming)
    assert reason.rule in {"circuit-breaker", "exhausted"}
    fidelities = {label.fidelity for _, label in made.ledger.labels("toy")}
    assert fidelities == {"cheap"}, "a fallback says what it is"


# --- per-calculator concurrency, with real worker processes ---------------------------------------------------

TWO_FIDELITIES = f"""
[loop]
mode = "streaming"
pretrain_first = false
[label.concurrency]
"{CHEAP}" = 3
"{DEAR}" = 2
"""


def test_each_calculator_has_its_own_places_and_both_work_at_once(tmp_path: Path) -> None:
    path = write_toy(tmp_path, rounds=2, extra=TWO_FIDELITIES)
    text = path.read_text().replace('calculators = ["emt"]', f'calculators = ["{DEAR}"]')
    settings = text[text.index("[label.settings.emt]") : text.index("[model]")]
    text = text.replace(settings, f'[label.settings."{DEAR}"]\nseconds = 1.0\n')
    cheap = f'[pretrain]\ncalculator = "{CHEAP}"\nlabels = 12\nsettings = {{ seconds = 1.0 }}\n'
    path.write_text(text.replace("[pretrain]\nlabels = 0\n", cheap))
    finish(start("run", "toy.toml", cwd=tmp_path))
    ledger = tmp_path / "toy" / "ledger.sqlite"
    attempts = rows(ledger, "SELECT calculator, started, ended FROM attempts WHERE state = 'succeeded'")
    assert most_at_once(attempts, CHEAP) == 3
    assert most_at_once(attempts, DEAR) == 2
    assert most_at_once(attempts, CHEAP, DEAR) >= 4, "the fidelities did not overlap"
    assert [number for number, *_ in content(ledger)["rounds"]] == [0, 1, 2]
    assert [lesson["round"] for lesson in lessons(ledger)] == [0, 1, 2], "rounds close in order"


def most_at_once(attempts: list[tuple[Any, ...]], *calculators: str) -> int:
    """The largest number of attempts of these calculators that ran at the same time."""
    mine = [attempt for attempt in attempts if attempt[0] in calculators]
    times = [(datetime.fromisoformat(started), 1) for _, started, _ in mine]
    times += [(datetime.fromisoformat(ended), -1) for _, _, ended in mine]
    level = most = 0
    for _, step in sorted(times):
        level += step
        most = max(most, level)
    return most
