"""Slurm, PBS and Grid Engine (SGE) through QToolKit, which writes the head of a batch script, gives the commands and
reads their answers.

Ours is what it lacks: a time limit for the commands, Slurm's arrays shown element by element, the states of SGE that
the library does not know (one of them would make the whole queue unreadable), and that any trouble with an answer
means *unknown*, never *no job*. docs/slurm-vasp.md says more.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
from itertools import takewhile
from pathlib import Path
from typing import Any

from qtoolkit.core.data_objects import QJob
from qtoolkit.core.exceptions import QTKError
from qtoolkit.io import PBSIO, SGEIO, SlurmIO

SCHEDULERS = {"slurm": SlurmIO, "pbs": PBSIO, "sge": SGEIO}

#: A command that takes longer does not answer (s).
ANSWER_S = 60
#: What reading an answer in another form than expected ends in.
_UNREADABLE = (QTKError, ValueError, LookupError, TypeError, AttributeError)
_SGE_STATE = re.compile(r"<state>(\w+)</state>")


class SchedulerError(RuntimeError):
    """The scheduler refused something, gives no answer, or is not there; the message says which."""


class NoAnswer(SchedulerError):
    """The queue cannot be read: nobody knows what is in it."""


class Scheduler:
    """One kind of scheduler.

    Args:
        name: "slurm", "pbs" or "sge".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._io: Any = SCHEDULERS[name]()

    @property
    def arrays(self) -> bool:
        """Whether the elements of a job array can be told apart: the library reads them for Slurm only."""
        return self.name == "slurm"

    def script(self, words: dict[str, Any], lines: list[str]) -> str:
        """A batch script. `words` are the identifiers of the library's template for this scheduler."""
        return str(self._io.get_submission_script(lines, {key: word for key, word in words.items() if word})) + "\n"

    def submit(self, script: Path) -> str:
        """Returns the job's id.

        Raises:
            SchedulerError: refused.
        """
        done = run(self._io.get_submit_cmd(shlex.quote(str(script))))
        try:
            job_id = self._io.parse_submit_output(done.returncode, done.stdout, done.stderr).job_id
        except _UNREADABLE:
            job_id = None
        if not job_id:
            raise SchedulerError(" ".join((done.stderr or done.stdout).split()) or "refused without a word")
        return str(job_id)

    def jobs(self) -> list[QJob]:
        """All jobs of this user that have not ended, in one look.

        Raises:
            NoAnswer: it fails, or answers in another form than expected.
            SchedulerError: it is not there.
        """
        command = self._io.get_jobs_list_cmd(None, _user())
        done = run(command, {"SQUEUE_ARRAY": "1"})
        text = _SGE_STATE.sub(lambda found: f"<state>{_known_state(found[1])}</state>", done.stdout)
        try:
            return list(self._io.parse_jobs_list_output(done.returncode, text, done.stderr))
        except _UNREADABLE as error:
            raise NoAnswer(" ".join(str(error).split())) from None

    def cancel(self, job_ids: list[str]) -> None:
        """Raises SchedulerError if one of them is refused."""
        for job_id in job_ids:
            done = run(self._io.get_cancel_cmd(job_id))
            if done.returncode:  # what SGE says of a success is not what the library expects
                raise SchedulerError(" ".join((done.stderr or done.stdout).split()) or "refused without a word")

    def ending(self, job_id: str) -> str:
        """How a job ended, e.g. "NODE_FAIL"; "" where that is forgotten (by Slurm after minutes) or never said."""
        if self.name != "slurm" or not job_id:
            return ""
        done = run(self._io.get_job_cmd(job_id))
        # A path or comment with a blank in it gives words that the library trips over.
        words = [word for line in done.stdout.splitlines()[:1] for word in line.split() if "=" in word]
        try:
            job = self._io.parse_job_output(done.returncode, " ".join(words), done.stderr)
            return str(job.sub_state.value)
        except _UNREADABLE:
            return ""


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name, as in some containers: Slurm takes the number
        return str(os.getuid())


def _known_state(letters: str) -> str:
    """A state of SGE (a combination of letters, see its manual's page sge_status) as one that the library knows."""
    if "E" in letters:
        return "Eqw"
    if "d" in letters:  # being deleted: there until it is gone
        return "r"
    if set("qw") & set(letters):
        return "hqw" if "h" in letters else "qw"
    return "s" if set("sST") & set(letters) else "r"


def run(command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a scheduler's command, without a shell; one that does not answer counts as failed.

    Raises:
        SchedulerError: the command is not there.
    """
    words = shlex.split(command)
    given = dict(word.split("=", 1) for word in takewhile(_is_assignment, words))
    told = os.environ | given | (environment or {})
    try:
        return subprocess.run(
            words[len(given) :], capture_output=True, text=True, check=False, timeout=ANSWER_S, env=told
        )
    except FileNotFoundError:
        program = _program(command)
        raise SchedulerError(f"no {program} on this machine: is the scheduler installed and in PATH?") from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"no answer within {ANSWER_S} s")


def _is_assignment(word: str) -> bool:
    return "=" in word and not word.startswith("-")


def _program(command: str) -> str:
    return next(word for word in shlex.split(command) if not _is_assignment(word))
