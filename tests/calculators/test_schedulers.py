"""What is asked of PBS and SGE, and how their answers are read. A real SGE is in test_sge.py, no PBS anywhere."""

from pathlib import Path

import pytest

from calculators.job_queue import JobState, look
from calculators.job_script import JobOptions, label_script
from calculators.schedulers import SCHEDULERS, NoAnswer, Scheduler, SchedulerError

HEADS = {
    "slurm": ["#SBATCH --time=90", "#SBATCH --mem=6144M", "#SBATCH --cpus-per-task=4", "#SBATCH --partition=long"],
    "pbs": [
        "#PBS -N label-k",
        "#PBS -l walltime=01:30:00",
        "#PBS -l select=1:ncpus=4:mem=6144mb",
        "#PBS -q long",
        "#PBS -A project-42",
        "#PBS -V",
    ],
    "sge": [
        "#$ -N label-k",
        "#$ -l h_rt=01:30:00",
        "#$ -l h_vmem=1536M",
        "#$ -pe smp 4",
        "#$ -q long",
        "#$ -P project-42",
        "#$ -V",
    ],
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_script_asks_for_what_was_given(name, tmp_path):
    given = {"partition": "long", "account": "project-42", "extra": ["-x y"], "setup": ["module load x"]}
    options = JobOptions(time_minutes=90, memory_GB=6, cores=4, **given)
    lines = label_script(Scheduler(name), options, "label-k", tmp_path).splitlines()
    for line in [*HEADS[name], HEADS[name][0].split()[0] + " -x y", "module load x"]:
        assert line in lines
    assert not [line for line in lines if "$$" in line]
    assert any(line.startswith("timeout --kill-after=10 5370 ") for line in lines)  # half a minute before the limit


def test_another_parallel_environment_stands_in_the_place_of_smp(tmp_path):
    options = JobOptions(cores=4, extra=["-pe mpi 4"])
    text = label_script(Scheduler("sge"), options, "label-k", tmp_path)
    assert "#$ -pe mpi 4" in text
    assert "smp" not in text


def answers(folder: Path, monkeypatch, text: str, status: int = 0) -> None:
    (folder / "answer").write_text(text)
    (folder / "qstat").write_text(f"#!/bin/sh\ncat {folder}/answer\nexit {status}\n")
    (folder / "qstat").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def qstat_sge(*states: str) -> str:
    jobs = "".join(
        f"<job_list><JB_job_number>{number}</JB_job_number><JB_name>label-{number}</JB_name><JB_owner>me</JB_owner>"
        f"<state>{state}</state></job_list>"
        for number, state in enumerate(states)
    )
    return f"<?xml version='1.0'?><job_info><queue_info>{jobs}</queue_info></job_info>"


def test_every_state_of_sge_is_read(tmp_path, monkeypatch):
    """The library alone stops at the first that it does not know, such as Rr, and nothing could be submitted."""
    running, waiting = ("r", "t", "Rr", "Rt", "dr", "dRr", "dt"), ("qw", "hqw", "hRwq", "s", "S", "tS", "T", "Rs")
    answers(tmp_path, monkeypatch, qstat_sge(*running, *waiting, "Eqw", "EhRqw"))
    states = [state for state, _ in look(Scheduler("sge")).jobs.values()]
    expected = [JobState.RUNNING] * len(running) + [JobState.WAITING] * len(waiting) + [JobState.STUCK] * 2
    assert states == expected


PBS_JOB = """Job Id: 12.head
    Job_Name = label-0123456789abcdef0123456789abcdef-01234567
    Job_Owner = me@node
    job_state = {state}
    queue = workq
    Resource_List.ncpus = 4
    Resource_List.nodect = 1
    Resource_List.walltime = 01:30:00
"""


def test_a_job_of_pbs_is_found_by_its_whole_name(tmp_path, monkeypatch):
    name = "label-0123456789abcdef0123456789abcdef-01234567"
    for state, seen in (("Q", JobState.WAITING), ("R", JobState.RUNNING), ("E", JobState.RUNNING)):
        answers(tmp_path, monkeypatch, PBS_JOB.format(state=state))
        assert look(Scheduler("pbs")).jobs == {(name, None): (seen, "12.head")}


@pytest.mark.parametrize("name", ["pbs", "sge"])
def test_an_answer_that_cannot_be_read_is_no_answer(name, tmp_path, monkeypatch):
    for text, status in (("Job Id: 12.head\n  Job_Name = x\n", 0), ("cannot connect to server", 1)):
        answers(tmp_path, monkeypatch, text, status)
        with pytest.raises(NoAnswer):
            Scheduler(name).jobs()
        assert look(Scheduler(name)).trouble


@pytest.mark.parametrize(("name", "command"), [("slurm", "squeue"), ("pbs", "qstat"), ("sge", "qstat")])
def test_without_the_scheduler_it_says_so(name, command, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerError, match=f"no {command} on this machine"):
        look(Scheduler(name))
