"""`python -m calculators.vasp_run`: run VASP in this directory under custodian, which repairs known errors.

Used as the command of ASE's calculator. The real command is read from ASE_VASP_COMMAND. Exits with 1 and one line on
standard error if VASP failed beyond repair.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

#: How often custodian may correct the inputs and start again.
MAX_ERRORS = 5


def run(directory: Path, command: list[str], neb: bool = False) -> None:
    """Run VASP under custodian.

    Raises:
        RuntimeError: VASP failed, and custodian could not repair it; in one line.
    """
    from custodian import Custodian
    from custodian.custodian import CustodianError
    from custodian.vasp.handlers import (
        NonConvergingErrorHandler,
        StdErrHandler,
        UnconvergedErrorHandler,
        VaspErrorHandler,
    )
    from custodian.vasp.jobs import VaspJob, VaspNEBJob

    kind = VaspNEBJob if neb else VaspJob
    output = "neb_vasp.out" if neb else "vasp.out"
    job = kind(
        command, output_file=output, stderr_file="std_err.txt", auto_npar=False, auto_gamma=False, backup=False
    )
    handlers = [VaspErrorHandler(output_filename=output), StdErrHandler(output_filename="std_err.txt")]
    if not neb:
        handlers += [NonConvergingErrorHandler(), UnconvergedErrorHandler()]
    try:
        Custodian(handlers, [job], max_errors=MAX_ERRORS, directory=str(directory)).run()
    except (CustodianError, RuntimeError, OSError) as error:
        tail = _last_line(directory / "std_err.txt") or _last_line(directory / output)
        raise RuntimeError(f"VASP failed in {directory.name}: {error}{'; ' + tail if tail else ''}") from error


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][:200] if lines else ""


def main() -> None:
    command = os.environ.get("ASE_VASP_COMMAND")
    if not command:
        sys.exit('no VASP command: set ASE_VASP_COMMAND, for example to "mpirun vasp_std"')
    try:
        run(Path.cwd(), shlex.split(command))
    except Exception as error:  # noqa: BLE001 - custodian's handlers raise what their parsers raise
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))


if __name__ == "__main__":
    main()
