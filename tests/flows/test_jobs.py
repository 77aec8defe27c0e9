"""Ids of a scheduler's jobs in the ledger. The commands are stand-ins here; tests/flows/test_slurm_campaign.py has a
real Slurm.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ase.build import bulk
from rich.console import Console
from sqlalchemy import text

from agent.ledger import Ledger, NewProposal
from calculators.job_queue import saved_job
from calculators.jobs import JobOptions, JobQueue
from calculators.label import Structure, Work
from calculators.pipeline import label_key
from flows import tables
from flows.config import load_config
from flows.engines import InJobs
from flows.jobs import describe
from flows.labelling import Labeller
from flows.looks import Status
from flows.places import Interrupted, Places
from flows.view import CampaignView
from tests.flows.toy import write_toy
from tests.slurm_words import listed


@dataclass
class Scheduler:
    """Stand-ins for sbatch, which counts from 12, and squeue, which shows what a test writes into a file."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "queue").touch()
        (self.folder / "sent").touch()
        self._command("squeue", f"cat {self.folder}/queue")
        self._command(
            "sbatch",
            f"echo . >> {self.folder}/sent; echo Submitted batch job $((11 + $(wc -l < {self.folder}/sent)))",
        )

    def _command(self, name: str, line: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (self.folder / name).chmod(0o755)

    def queues(self, *lines: str) -> None:
        (self.folder / "queue").write_text("".join(f"{line}\n" for line in lines))

    def falls_silent(self) -> None:
        self._command("squeue", "exit 1")

    @property
    def submissions(self) -> int:
        return (self.folder / "sent").read_text().count("\n")


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Scheduler(tmp_path / "bin")


def work_of(composition: str, ordering: int, calculator: str) -> Work:
    structure = Structure.from_atoms(bulk("Cu", cubic=True))
    return Work(structure=structure, ion="Cu", calculator=calculator, settings={"max_hops": 1 + ordering})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Three pending proposals."""
    opened = Ledger.open(tmp_path / "ledger.sqlite")
    opened.create_campaign("toy", "toy", "emt-neb", 7, {})
    keys = [label_key(work_of("", ordering, "emt")) for ordering in range(3)]
    wanted = [NewProposal(f"c{i}", f"Cu{i}", i, "emt", key, "a reason") for i, key in enumerate(keys)]
    opened.begin_round("toy", 1, wanted, "round 1")
    yield opened
    opened.close()


def labeller(folder: Path, ledger: Ledger, arrays: bool = True) -> Labeller:
    """What a driver has; another one is what the next driver has."""
    config = load_config(write_toy(folder, extra="\n[slurm]\n"))
    interrupted = threading.Event()
    queue = JobQueue("slurm", JobOptions(arrays=arrays), poll_s=0.01)
    section = config.label.model_copy(update={"scheduler": "slurm"})
    places = Places({"emt": 3}, interrupted)
    engine = InJobs(queue, interrupted, {"emt": 3})
    return Labeller(ledger, engine, section, folder / "toy" / "labels", work_of, label_key, places, interrupted)


def forget_the_jobs(ledger: Ledger) -> None:
    """What a kill between sbatch and the commit of its answer leaves."""
    with ledger.transaction() as session:
        session.execute(text("DELETE FROM jobs"))


def pending(ledger: Ledger) -> list[str]:
    return [job.id for job in ledger.jobs("toy", "pending")]


def test_an_array_is_in_the_ledger_when_it_is_submitted_and_when_it_is_found_again(scheduler, ledger, tmp_path):
    proposals = ledger.proposals("toy")
    assert labeller(tmp_path, ledger).submit_together(proposals) == ["12_0", "12_1", "12_2"]
    assert [(job.proposal, job.id, job.calculator) for job in ledger.jobs("toy")] == [
        (row.id, f"12_{index}", "emt") for index, row in enumerate(proposals)
    ]
    assert [job.label_key for job in ledger.jobs("toy")] == [row.label_key for row in proposals]
    name = saved_job(tmp_path / "toy" / "labels" / proposals[0].label_key).name
    scheduler.queues(*(listed(f"12_{index}", "PD", name) for index in range(3)))
    forget_the_jobs(ledger)
    assert labeller(tmp_path, ledger).submit_together(proposals) == ["12_0", "12_1", "12_2"]
    assert pending(ledger) == ["12_0", "12_1", "12_2"]
    assert scheduler.submissions == 1


def follow(driver: Labeller, proposal: int) -> None:
    """Label until its job is known; then the driver is stopped."""
    with pytest.raises(Interrupted):
        driver.label(proposal, lambda event: driver.interrupted.set())


def test_a_job_of_its_own_is_in_the_ledger_before_it_is_waited_for(scheduler, ledger, tmp_path):
    first = ledger.proposals("toy")[0]
    follow(labeller(tmp_path, ledger, arrays=False), first.id)
    assert pending(ledger) == ["12"]
    name = saved_job(tmp_path / "toy" / "labels" / first.label_key).name
    scheduler.queues(listed(12, "R", name))
    forget_the_jobs(ledger)
    follow(labeller(tmp_path, ledger, arrays=False), first.id)
    assert pending(ledger) == ["12"]
    assert scheduler.submissions == 1
    scheduler.queues()
    follow(labeller(tmp_path, ledger, arrays=False), first.id)  # it was cancelled from outside
    assert pending(ledger) == ["12", "13"]


def shown(what) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def test_a_person_sees_the_job_of_a_pending_label(scheduler, ledger, tmp_path):
    driver = labeller(tmp_path, ledger)
    driver.submit_together(ledger.proposals("toy"))
    first = ledger.proposals("toy")[0]
    ledger.start_attempt(first.id, first.label_key, "emt", "")
    (running,) = Status.load(ledger, "toy").running
    assert running.job == "12_0"
    assert "job 12_0" in shown(tables.status(Status.load(ledger, "toy")))
    view = CampaignView.load(ledger, "toy", tmp_path)
    assert [a.job for a in view.acquisitions] == ["12_0", "12_1", "12_2"]
    assert "job 12_2" in shown(tables.acquisitions(view, 1))


def test_where_the_queue_is_silent_the_ledger_says_which_jobs_may_be_in_it(scheduler, ledger, tmp_path):
    driver = labeller(tmp_path, ledger)
    config = load_config(tmp_path / "toy.toml")
    config = config.model_copy(update={"label": driver.config})
    assert describe(config, ledger) == ""
    driver.submit_together(ledger.proposals("toy"))
    scheduler.falls_silent()
    assert describe(config, ledger).endswith("jobs may be in it: 12_0, 12_1, 12_2 by the ledger")
