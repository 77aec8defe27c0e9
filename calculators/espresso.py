"""Quantum ESPRESSO's pw.x through ASE: density-functional barriers with free software.

    apt install quantum-espresso                    # or any other pw.x, 6.4 or newer
    export ESPRESSO_PSEUDO=/path/of/pseudopotentials    # the code's own variable
    export ASE_ESPRESSO_COMMAND="mpirun -np 8 pw.x"     # if it is not just pw.x

Options of the calculator (in the settings):

    options: {pseudopotentials: {Li: Li.pbesol-s-rrkjus_psl.0.2.1.UPF, ...}, cutoff_Ry: 40, k_mesh: [2, 2, 2],
              charge_e: -1, input: {system: {nspin: 2}}}
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import all_changes
from ase.calculators.espresso import Espresso, EspressoProfile
from pydantic import BaseModel, ConfigDict, Field

from calculators.failures import CalculationFailed
from calculators.label import FailureKind
from calculators.labeller import NebLabeller
from calculators.settings import validated

COMMAND, PSEUDOPOTENTIALS = "ASE_ESPRESSO_COMMAND", "ESPRESSO_PSEUDO"
#: How long a pw.x without input may take to print its version (s).
VERSION_S = 60.0


class EspressoOptions(BaseModel):
    """What pw.x is asked for beyond the structure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # File names by element, in the directory ESPRESSO_PSEUDO.
    pseudopotentials: dict[str, str] = Field(min_length=1)
    cutoff_Ry: float = Field(60.0, gt=0)
    density_cutoff_Ry: float | None = Field(None, gt=0)  # 8 times the cutoff: enough for ultrasoft and PAW
    k_mesh: tuple[int, int, int] = (1, 1, 1)
    charge_e: float = 0.0  # of the cell, balanced by a uniform background: -1 for a vacancy of Li+
    convergence_Ry: float = Field(1e-7, gt=0)  # of the self-consistency; forces need it tight
    input: dict[str, dict[str, Any]] = Field(default_factory=dict)  # further namelists, which win


def input_data(options: EspressoOptions) -> dict[str, dict[str, Any]]:
    """The namelists of pw.x's input."""
    namelists: dict[str, dict[str, Any]] = {
        # ASE does not ask for the stress by itself; the cell is relaxed with it, and fine-tuning learns from it.
        "control": {"tprnfor": True, "tstress": True, "disk_io": "low"},
        "system": {
            "ecutwfc": options.cutoff_Ry,
            "ecutrho": options.density_cutoff_Ry or 8 * options.cutoff_Ry,
            "tot_charge": options.charge_e,
        },
        "electrons": {"conv_thr": options.convergence_Ry},
    }
    for name, tags in options.input.items():
        namelists[name] = namelists.get(name, {}) | tags
    return namelists


def missing() -> str | None:
    """What pw.x needs and this machine lacks, in one line with what to do; None if all is there."""
    executable = shlex.split(os.environ.get(COMMAND, "pw.x"))[0]
    if shutil.which(executable) is None:
        return f"no {executable}: install Quantum ESPRESSO (Debian: quantum-espresso), or set {COMMAND}"
    folder = os.environ.get(PSEUDOPOTENTIALS)
    if not folder or not Path(folder).is_dir():
        return f"no pseudopotentials: set {PSEUDOPOTENTIALS} to their directory"
    return None


def pwscf_version() -> str:
    """Version of the pw.x that the command runs, "6.7MaX"; "missing" or "unknown" where it does not say.

    pw.x itself is asked, once a process and file, and not what starts it: mpirun or srun would take a place for it.
    """
    words = shlex.split(os.environ.get(COMMAND, "pw.x"))
    found = [path for word in words if (path := shutil.which(word)) is not None]
    executable = next((path for path in found if Path(path).name.startswith("pw")), found[-1] if found else None)
    return "missing" if executable is None else _version(executable, os.stat(executable).st_mtime_ns)


@functools.cache
def _version(executable: str, _changed_ns: int) -> str:
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PMI", "OMPI_"))}
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [executable],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=VERSION_S,
                cwd=folder,
                env=alone,
            )
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
    said = re.search(r"Program PWSCF\s+v\.(\S+)", done.stdout)
    return said.group(1) if said else "unknown"


class Pwscf(Espresso):
    """ASE's Espresso calculator whose failures say what pw.x said."""

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: tuple[str, ...] = ("energy",),
        system_changes: tuple[str, ...] = tuple(all_changes),
    ) -> None:
        try:
            super().calculate(atoms, properties, system_changes)
        except subprocess.CalledProcessError as error:
            raise pwscf_failure(Path(self.directory), error.returncode) from error


def pwscf_failure(folder: Path, status: int) -> CalculationFailed:
    """What a pw.x that ended with this status means: killed is the machine's trouble, the rest the input's."""
    try:
        lines = (folder / "espresso.pwo").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    words = [line.strip() for line in lines if line.strip() and not set(line.strip()) <= {"%"}]
    start = next((number for number, line in enumerate(words) if line.startswith("Error in routine")), len(words) - 1)
    said = " ".join(words[start : start + 2])[:300] or "pw.x ended without a word"
    if any("convergence NOT achieved" in line for line in words):
        said, kind = "the self-consistency did not converge: raise electron_maxstep or mix less", FailureKind.INVALID
    else:
        kind = FailureKind.TRANSIENT if status < 0 else FailureKind.INVALID
    return CalculationFailed(kind, f"pw.x (status {status}): {said}", "espresso")


def make_espresso(directory: Path, **options: Any) -> Pwscf:
    """The factory that the registry knows as `espresso`: one calculator, one directory.

    Raises:
        FileNotFoundError: no pw.x, or no such pseudopotential; the message says what to set.
        ValueError: wrong options.
    """
    if problem := missing():
        raise FileNotFoundError(problem)
    asked = validated(EspressoOptions, options, "options of espresso")
    folder = Path(os.environ[PSEUDOPOTENTIALS])
    for element, name in asked.pseudopotentials.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no pseudopotential of {element}: {name} is not in {folder}")
    return Pwscf(
        profile=EspressoProfile(command=os.environ.get(COMMAND, "pw.x"), pseudo_dir=folder),
        directory=directory,
        pseudopotentials=asked.pseudopotentials,
        kpts=asked.k_mesh,
        input_data=input_data(asked),
    )


class EspressoLabeller(NebLabeller):
    """Relaxations and band with pw.x; every image has its own directory."""

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        complete = super().settings({"keep_frames": True} | given)
        checked = validated(EspressoOptions, complete["options"], "options of espresso")
        complete["options"] = checked.model_dump(mode="json")
        return complete

    def versions(self) -> dict[str, str]:
        return super().versions() | {"pw.x": pwscf_version()}

    def unavailable(self) -> str | None:
        return missing()


espresso = EspressoLabeller("espresso", make_espresso)
