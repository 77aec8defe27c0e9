"""Drivers that really die: each runs in a forked process, which spares it the seconds of importing.

What a driver does is counted in steps: every SQL statement and commit, every file that it creates, renames or
deletes, every process that it starts. A driver can be told to kill itself with SIGKILL at a step, or some time after.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from sqlalchemy import Engine, event, select

from agent.ledger import Ledger
from agent.schema import AttemptRow, CampaignRow, EventRow, LabelRow, PredictionRow, ProposalRow, RoundRow
from flows.config import load_config
from flows.session import run_campaign
from tests.flows.toy import write_toy

for lazy in ("flows.rounds", "flows.streaming", "flows.candidates", "flows.engines", "flows.stage", "flows.export"):
    importlib.import_module(lazy)  # what a driver imports when it needs it, their parent does once for all

fork = multiprocessing.get_context("fork")
Content = dict[str, list[tuple[Any, ...]]]

#: What a driver is doing, by the innermost (file, function) of a stack that stands here; the first one that any
#: thread is doing counts.
PHASES: dict[str, tuple[tuple[str, str], ...]] = {
    "commit": (("labels.py", "finish_attempt"), ("labels.py", "fail_proposal"), ("labels.py", "adopt_label")),
    "submit": (("labels.py", "start_attempt"), ("subprocess.py", "__init__")),
    "proposal": (("ledger.py", "begin_round"), ("ledger.py", "extend_round"), ("acquisition.py", "propose")),
    "retrain": (("ledger.py", "finish_round"), ("retraining.py", "train"), ("retraining.py", "of")),
    "artifact": (("export.py", "export"), ("report.py", "write_report"), ("artifacts.py", "publish_round")),
    "label": (("labelling.py", "label"), ("supervisor.py", "label")),
    "start": (("session.py", "run_campaign"),),
}
WATCHED = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "subprocess.Popen"}


@dataclass(frozen=True)
class Death:
    """Kill at this step (counted from 1; of this phase, if one is named), or so long after it (s)."""

    step: int
    delay_s: float = 0.0
    phase: str = ""


@dataclass(frozen=True)
class Life:
    """How a driver ended: its exit code (-9: killed), the phase of each of its steps, and what it was doing last."""

    code: int
    phases: list[str]
    doing: str
    error: str

    def count(self) -> Counter[str]:
        return Counter(self.phases)


def write_campaign(folder: Path, url: str | None = None, prefect: bool = False, extra: str = "") -> Path:
    """The toy campaign that all these tests play, four rounds of three labels; returns where its ledger will be."""
    ledger = "" if url is None else f"\n[ledger]\nurl = {json.dumps(url)}\n"
    write_toy(folder, rounds=4, prefect=prefect, extra=ledger + extra)
    return folder / "toy" / "ledger.sqlite"


def live(
    folder: Path,
    death: Death | None = None,
    before: Callable[[], None] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Life:
    """Run or resume the campaign of `folder/toy.toml` in a forked driver, until it ends or dies.

    Args:
        before: called in the driver's process first, to make its world a harder one.
        meanwhile: called here while the driver runs. (A thread that is there before would be forked in mid-air,
            with whatever lock it holds.)
    """
    diary = folder / "diary.json"
    diary.unlink(missing_ok=True)
    child = fork.Process(target=_drive, args=(folder, death, diary, before))
    child.start()
    if meanwhile is not None:
        meanwhile()
    child.join(600)
    if child.exitcode is None:
        child.kill()
        raise AssertionError("the driver hangs")
    kept = json.loads(diary.read_text()) if diary.exists() else {}
    return Life(child.exitcode, kept.get("phases", []), kept.get("doing", ""), kept.get("error", ""))


def _drive(folder: Path, death: Death | None, diary: Path, before: Callable[[], None] | None) -> None:
    os.chdir(folder)
    os.environ["IONLOOP_HOME"] = str(folder / "home")
    phases: list[str] = []
    lock = threading.RLock()

    def write(doing: str = "", error: str = "") -> None:
        diary.write_text(json.dumps({"phases": phases, "doing": doing, "error": error}))

    def die(doing: str = "") -> None:
        with lock:
            write(doing=doing or phase_of_all_threads())
            os.kill(os.getpid(), signal.SIGKILL)

    def count(phase: str) -> int:
        return phases.count(phase) if phase else len(phases)

    def step(*_args: Any) -> None:
        with lock:
            phases.append(phase_of(sys._getframe(1)))
            if death is not None and death.phase in ("", phases[-1]) and count(death.phase) == death.step:
                if death.delay_s:
                    threading.Timer(death.delay_s, die).start()
                else:
                    die(phases[-1])

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name in WATCHED or (name == "open" and _creates(arguments) and str(diary) not in str(arguments[0])):
            step()

    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, moment, step)
    sys.addaudithook(audit)
    try:
        if before is not None:
            before()
        with Path(folder / "output.txt").open("a") as output:
            run_campaign(load_config(Path("toy.toml")), Console(file=output, width=200))
    except BaseException as error:  # noqa: BLE001 (the parent looks at it)
        write(error=f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        os._exit(1)
    write()
    os._exit(0)


def _creates(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = arguments
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & os.O_CREAT)
    return writes and isinstance(path, str | bytes | os.PathLike)


def phase_of(frame: FrameType | None) -> str:
    """What the code around a frame is doing."""
    while frame is not None:
        place = (os.path.basename(frame.f_code.co_filename), frame.f_code.co_name)
        for phase, places in PHASES.items():
            if place in places:
                return phase
        frame = frame.f_back
    return "start"


def phase_of_all_threads() -> str:
    doing = {phase_of(frame) for number, frame in sys._current_frames().items() if number != threading.get_ident()}
    return next(phase for phase in PHASES if phase in doing | {"start"})


def content(target: str | Path) -> Content:
    """What a campaign is, in any database, without the times and attempts that an interruption may add."""
    p, lab, rank = ProposalRow, LabelRow, PredictionRow
    asked = (p.round, p.rank, p.composition, p.ordering, p.label_key, p.cluster, p.mean_eV, p.sigma_eV, p.score)
    queries = {
        "proposals": select(*asked, p.reason, p.state).order_by(p.round, p.rank),
        "labels": select(lab.key, lab.composition, lab.ordering, lab.fidelity, lab.value_eV, lab.converged),
        "paths": select(lab.key, lab.data["force_calls"].as_integer(), lab.data["hops"]),
        "rounds": select(RoundRow.number, RoundRow.state, RoundRow.summary, RoundRow.metrics),
        "ranking": select(rank.rank, rank.composition, rank.mean_eV, rank.sigma_eV, rank.source),
        "decisions": select(EventRow.text).where(EventRow.kind == "decision").order_by(EventRow.id),
        "campaign": select(CampaignRow.state, CampaignRow.stop_reason),
    }
    ledger = Ledger.open(target)
    with ledger.transaction() as session:
        found = {name: [tuple(row) for row in session.execute(query)] for name, query in queries.items()}
    ledger.close()
    for name in ("labels", "paths", "rounds", "ranking"):
        found[name].sort(key=lambda row: row[0])
    return found


def attempts(target: str | Path) -> Counter[str]:
    """Attempts by state; a label key that succeeded twice fails the test."""
    ledger = Ledger.open(target)
    with ledger.transaction() as session:
        rows = session.execute(select(AttemptRow.state, AttemptRow.label_key)).all()
    ledger.close()
    paid = Counter(key for state, key in rows if state == "succeeded")
    assert not [key for key, times in paid.items() if times > 1], "a label was paid for twice"
    return Counter(state for state, _ in rows)
