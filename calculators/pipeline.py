"""`label_work`: from Work to Label in this process, with a folder that holds everything about it."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from calculators import registry
from calculators.failures import CalculationFailed, classify
from calculators.label import FailureKind, Label, Work
from calculators.labeller import distribution_version
from calculators.relax import Progress, silent
from calculators.storage import read_label, set_failed_aside, write_json, write_label

#: Raised whenever the way from Work to value changes, so that old labels are not taken for new ones.
#: 2: E_b of a path is the climb from its lowest image; 3: the first path by IDPP over close pairs; 4: the space group
#: says which hops are the same.
PROTOCOL = "4"

#: What was asked for, in a label's folder.
WORK_FILE = "work.json"

#: Packages whose versions a label records beside those that are part of its address.
RECORDED = ("ase", "numpy", "torch", "chgnet", "pymatgen", "bvlain")


def complete(work: Work) -> Work:
    """The same work with its settings checked and all defaults written out.

    Raises:
        ValueError: unknown calculator or settings, in one line.
    """
    labeller = registry.find(work.calculator)
    return work.model_copy(update={"settings": labeller.settings(work.settings)})


def label_key(work: Work) -> str:
    """Content address of the label that this work would give; equal for settings given or left at their
    default.
    """
    labeller = registry.find(work.calculator)
    settings = labeller.settings(work.settings)
    versions = {"protocol": PROTOCOL} | labeller.versions()
    return work.model_copy(update={"settings": settings}).key(versions)


def label_work(work: Work, folder: str | Path, progress: Progress | None = None) -> Label:
    """Compute a label in this process, or return the one that the folder already holds.

    A failed attempt does not raise: the label comes back without a value and `failure` says why. A label in
    the folder with a value, or with an `invalid` failure, is final; after any other failure the work goes on
    from what the folder holds (relaxed ordering, end points, last band), and the earlier record is kept as
    failed-N.json.

    Args:
        folder: made if needed; at the end readable with ASE's own tools (initial, relaxed, band .extxyz)
            beside `label.json`, which appears last and by atomic rename.
        progress: called with events like {"stage": "neb", "step": 12, "fmax_eV_per_A": 0.31, "force_calls":
            72}.

    Raises:
        ValueError: unknown calculator or settings, or a folder that holds other work, which stays as it is. (A
            senseless structure is an `invalid` label, not an exception.)
    """
    folder = Path(folder)
    labeller = registry.find(work.calculator)
    work = complete(work)
    key = label_key(work)
    done = finished(folder, key)
    if done is not None:
        return done
    refuse_other_work(folder, key, label_key)
    start = time.perf_counter()
    label = Label(key=key, fidelity=labeller.fidelity, folder=str(folder), provenance=provenance(work))
    try:
        problem = labeller.unavailable()
        if problem:
            raise CalculationFailed(FailureKind.TRANSIENT, problem, "start")
        start_folder(folder, work, key)
        labeller.fill(work, folder, label, progress or silent)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a calculator raises becomes a failure with a kind
        label.value_eV, label.failure = None, classify(error, "")
    label.seconds["total"] = round(time.perf_counter() - start, 3)
    label.provenance["versions"] |= labeller.reported(folder)
    try:
        write_label(folder, label)
    except OSError as error:  # the value may be there, but nothing durable says so
        label.value_eV, label.failure = None, classify(error, "write")
    return label


def finished(folder: Path, key: str) -> Label | None:
    """The final label of this key in the folder, if it holds one."""
    label = read_label(folder, key)
    if label is None:
        return None
    final = label.failure is None or label.failure.kind is FailureKind.INVALID
    return label.model_copy(update={"folder": str(folder)}) if final else None


def start_folder(folder: Path, work: Work, key: str, of: Callable[[Work], str] = label_key) -> None:
    """Make the folder ready: same work goes on, another work's files are refused.

    Args:
        of: the key of the work that the folder was started with.

    Raises:
        ValueError: the folder holds other work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refuse_other_work(folder, key, of)
    if not (folder / WORK_FILE).exists():
        write_json(folder / WORK_FILE, work)
    set_failed_aside(folder)


def refuse_other_work(folder: Path, key: str, of: Callable[[Work], str]) -> None:
    """Raises ValueError if the folder was started for another label; nothing in it is touched."""
    try:
        marked = Work.model_validate_json((folder / WORK_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return
    if of(marked) != key:
        raise ValueError(f"folder: {folder} holds other work ({marked.name or marked.calculator}); choose another")


def provenance(work: Work) -> dict[str, Any]:
    """Who computed this, with what, where and when."""
    libraries = {name: found for name in RECORDED if (found := distribution_version(name)) != "missing"}
    return {
        "name": work.name,
        "ion": work.ion,
        "calculator": work.calculator,
        "settings": work.settings,
        "versions": libraries | registry.find(work.calculator).versions(),
        "python": sys.version.split()[0],
        "machine": {"node": platform.node(), "processor": platform.machine(), "cpus": os.cpu_count()},
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "job": _job(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _job() -> str:
    """Id of the scheduler's job that this runs in ("12", or "12_3" in an array of Slurm), or ""."""
    element = (os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", ""))
    if all(element):
        return "_".join(element)
    sge = os.environ.get("JOB_ID", "") if "SGE_TASK_ID" in os.environ else ""
    return os.environ.get("SLURM_JOB_ID") or os.environ.get("PBS_JOBID") or sge
