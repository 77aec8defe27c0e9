"""What a job of labels asks for, and its batch script: one label, or an array of many."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from calculators.job_run import OUT_OF_TIME
from calculators.schedulers import Scheduler
from calculators.settings import validated

#: A job ends itself so long before its time limit (s) or so much of it, whichever is less, and says so.
MARGIN_S, MARGIN = 30, 0.05


class JobOptions(BaseModel):
    """What a job asks for. `extra` are further options of the scheduler, `setup` shell lines that come first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_minutes: int = Field(24 * 60, ge=1, description="Wall-time limit of a job, minutes.")
    memory_GB: float = Field(8.0, gt=0, description="Memory of a job, GB.")
    cores: int = Field(1, ge=1, description="CPU cores of a job.")
    partition: str = Field("", description="Partition (Slurm) or queue; the cluster's default if empty.")
    account: str = Field("", description="Account (SGE, LSF: project) to charge; the user's default if empty.")
    extra: list[str] = Field(
        default_factory=list, description="Further options as sbatch or qsub takes them, e.g. ['--nodes=2']."
    )
    setup: list[str] = Field(default_factory=list, description="Shell lines before the computation (modules, ...).")
    arrays: bool = Field(True, description="Slurm: the labels of a round as one job array, not one by one.")
    by_calculator: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What differs for a calculator, e.g. {vasp = {cores = 32, memory_GB = 64}}."
    )

    @model_validator(mode="after")
    def _every_calculators_options_are_options(self) -> Self:
        for calculator in self.by_calculator:
            self.of(calculator)
        return self

    def of(self, calculator: str) -> JobOptions:
        """The options of this calculator's jobs."""
        given = self.by_calculator.get(calculator, {})
        general = self.model_dump(exclude={"by_calculator"})
        return validated(JobOptions, general | given, f"jobs.by_calculator.{calculator}") if given else self


def label_script(scheduler: Scheduler, options: JobOptions, name: str, folder: Path) -> str:
    """The batch script of one label, which lies in `folder`."""
    asked = _asked(scheduler, options) | {"job_name": name, "qout_path": _quoted(folder / "scheduler.out")}
    return scheduler.script(asked, _lines(options, f"folder={_quoted(folder)}"))


def array_script(
    scheduler: Scheduler, options: JobOptions, name: str, folder: Path, size: int, running: int = 0
) -> str:
    """The batch script of `size` labels, whose folders stand in `folder`/folders.txt, one a line.

    Args:
        running: how many may run at once; 0: as many as the scheduler lets.
    """
    array = f"0-{size - 1}" + (f"%{running}" if running else "")
    asked = _asked(scheduler, options) | {"job_name": name, "array": array, "qout_path": _quoted(folder / "%a.out")}
    which = f'folder=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {_quoted(folder / "folders.txt")})'
    return scheduler.script(asked, _lines(options, which))


def _asked(scheduler: Scheduler, options: JobOptions) -> dict[str, Any]:
    """What the job asks for, under the identifiers of the library's templates.

    Its own resource model (`QResources`) serves neither memory per job on Slurm nor anything but select= on SGE.
    """
    memory_MB = round(1024 * options.memory_GB)
    walltime = f"{options.time_minutes // 60:02d}:{options.time_minutes % 60:02d}:00"
    extra = list(options.extra)
    if scheduler.name == "slurm":
        return {
            "time": options.time_minutes,
            "mem": f"{memory_MB}M",
            "cpus_per_task": options.cores,
            "partition": options.partition,
            "account": options.account,
            "qverbatim": _verbatim("#SBATCH", ["--open-mode=append", *extra]),
        }
    if scheduler.name == "pbs":
        return {
            "walltime": walltime,
            "select": f"select=1:ncpus={options.cores}:mem={memory_MB}mb",
            "queue": options.partition,
            "account": options.account,
            "qverbatim": _verbatim("#PBS", ["-V", "-S /bin/bash", "-j oe", *extra]),
        }
    # SGE counts memory by slot; slots on one node come from a parallel environment, mostly called smp.
    own = options.cores == 1 or any(line.startswith("-pe ") for line in extra)
    return {
        "walltime": walltime,
        "select": f"h_vmem={-(-memory_MB // options.cores)}M",
        "model": "" if own else f"smp {options.cores}",
        "queue": options.partition,
        "device": options.account,
        "qverbatim": _verbatim("#$", ["-V", "-S /bin/bash", "-j y", *extra]),
    }


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _verbatim(mark: str, options: list[str]) -> str:
    return "\n".join(f"{mark} {option}" for option in options)


def _lines(options: JobOptions, which: str) -> list[str]:
    """Shell lines: `which` sets $folder, where all that is said goes; a limit that is met is written down."""
    path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
    limit_s = 60 * options.time_minutes
    return [
        which,
        'exec >> "$folder/job.out" 2>&1',
        f"cd {shlex.quote(os.getcwd())}",
        f"export OMP_NUM_THREADS={options.cores} PYTHONPATH={shlex.quote(path.rstrip(os.pathsep))}",
        *options.setup,
        f"timeout --kill-after=10 {round(limit_s - min(MARGIN_S, MARGIN * limit_s))} "
        f'{shlex.quote(sys.executable)} -m calculators.job_run "$folder"',
        "status=$?",
        f'[ $status -ne 124 ] || touch "$folder/{OUT_OF_TIME}"',
        "exit $status",
    ]
