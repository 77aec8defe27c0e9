"""A label between two given states, as data: what `calculators.pipeline` is for orderings."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from calculators import registry
from calculators.failures import classify
from calculators.label import Label, Structure, Work
from calculators.labeller import NebLabeller
from calculators.neb_label import label_end_points
from calculators.pipeline import PROTOCOL, finished, provenance, start_folder
from calculators.relax import Progress, silent
from calculators.storage import write_label


class PathEnd(BaseModel):
    """Where the path of a `Work` leads to, from its structure; interior images only if they are given."""

    model_config = ConfigDict(frozen=True)

    final: Structure
    band: list[Structure] = Field(default_factory=list)


def path_key(work: Work, end: PathEnd) -> str:
    """Content address of the label; the images of a given band are a start, not part of the question."""
    versions = {"protocol": PROTOCOL, "final": end.final.model_dump_json()} | registry.find(
        work.calculator
    ).versions()
    return work.key(versions)


def label_path_work(work: Work, end: PathEnd, folder: str | Path, progress: Progress | None = None) -> Label:
    """Compute the barrier between the structure of `work`, its settings complete, and `end`, in this process.

    As `calculators.pipeline.label_work`: a failure does not raise, a final label in the folder is returned.

    Raises:
        ValueError: the calculator gives no forces, or the folder holds other work.
    """
    labeller, folder, key = registry.find(work.calculator), Path(folder), path_key(work, end)
    if not isinstance(labeller, NebLabeller):
        raise ValueError(f"calculator '{work.calculator}' gives no energies and forces: a path needs them")
    if (done := finished(folder, key)) is not None:
        return done
    clock = time.perf_counter()
    start_folder(folder, work, key, of=lambda marked: path_key(marked, end))
    run = labeller.run(work.settings, folder, progress or silent)
    label = Label(key=key, fidelity=labeller.fidelity, folder=str(folder), provenance=provenance(work))
    try:
        band = [image.to_atoms() for image in end.band] or None
        label_end_points(work.structure.to_atoms(), end.final.to_atoms(), run, label, band)
    except Exception as error:  # noqa: BLE001 - whatever a calculator raises becomes a failure with a kind
        label.failure = classify(error, run.stage)
    label.force_calls = run.force_calls
    label.seconds = run.seconds | {"total": round(time.perf_counter() - clock, 3)}
    label.provenance["versions"] |= labeller.reported(folder)
    write_label(folder, label)
    return label
