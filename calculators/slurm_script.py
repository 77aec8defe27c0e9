"""What a Slurm job of labels asks for, and its batch script: one label, or an array of many."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from calculators.settings import validated


class SlurmOptions(BaseModel):
    """What a job asks for. `extra` are further sbatch options, `setup` shell lines before the computation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_minutes: int = Field(24 * 60, ge=1, description="Wall-time limit of a job, minutes.")
    memory_GB: float = Field(8.0, gt=0, description="Memory of a job, GB.")
    cores: int = Field(1, ge=1, description="CPU cores of a job.")
    partition: str = Field("", description="Partition; the cluster's default if empty.")
    account: str = Field("", description="Account to charge; the user's default if empty.")
    extra: list[str] = Field(default_factory=list, description="Further sbatch options, e.g. ['--nodes=2'].")
    setup: list[str] = Field(default_factory=list, description="Shell lines before the computation (modules, ...).")
    arrays: bool = Field(True, description="Submit the labels of a round as one job array, not one by one.")
    by_calculator: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What differs for a calculator, e.g. {vasp = {cores = 32, memory_GB = 64}}."
    )

    @model_validator(mode="after")
    def _every_calculators_options_are_options(self) -> Self:
        for calculator in self.by_calculator:
            self.of(calculator)
        return self

    def of(self, calculator: str) -> SlurmOptions:
        """The options of this calculator's jobs."""
        given = self.by_calculator.get(calculator, {})
        general = self.model_dump(exclude={"by_calculator"})
        return validated(SlurmOptions, general | given, f"slurm options of {calculator}") if given else self


def label_script(options: SlurmOptions, name: str, folder: Path) -> str:
    """The batch script of one label, which lies in `folder`."""
    asked = [*_asked(options, name), f"--output={folder / 'job.out'}"]
    return _script(options, asked, [f"exec {_command()} {shlex.quote(str(folder))}"])


def array_script(options: SlurmOptions, name: str, folder: Path, size: int, running: int = 0) -> str:
    """The batch script of `size` labels, whose folders stand in `folder`/folders.txt, one a line.

    Args:
        running: how many may run at once; 0: as many as Slurm lets.
    """
    limit = f"%{running}" if running else ""
    asked = [*_asked(options, name), f"--array=0-{size - 1}{limit}", f"--output={folder / '%a.out'}"]
    lines = [
        f'folder=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(str(folder / "folders.txt"))})',
        f'exec {_command()} "$folder" >> "$folder/job.out" 2>&1',
    ]
    return _script(options, asked, lines)


def _asked(options: SlurmOptions, name: str) -> list[str]:
    return [
        f"--job-name={name}",
        f"--time={options.time_minutes}",
        f"--mem={round(1024 * options.memory_GB)}M",
        f"--cpus-per-task={options.cores}",
        "--open-mode=append",
        *([f"--partition={options.partition}"] if options.partition else []),
        *([f"--account={options.account}"] if options.account else []),
        *options.extra,
    ]


def _command() -> str:
    return f"{shlex.quote(sys.executable)} -m calculators.slurm"


def _script(options: SlurmOptions, asked: list[str], lines: list[str]) -> str:
    path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = f"export OMP_NUM_THREADS={options.cores} PYTHONPATH={shlex.quote(path.rstrip(os.pathsep))}"
    header = [f"#SBATCH {option}" for option in asked]
    return "\n".join(["#!/bin/sh", *header, environment, *options.setup, *lines, ""])
