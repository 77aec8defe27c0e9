"""What a label's job does, and what it is told: `python -m calculators.job_run FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel

from calculators import registry
from calculators.label import Failure, FailureKind, Label, Work
from calculators.pipeline import PROTOCOL, label_key, label_work
from calculators.storage import write_json, write_label

#: Written by a job's script when its time ran out, into the label's folder: not every scheduler says so.
OUT_OF_TIME = "job.out-of-time"
REQUEST_FILE = "request.json"


class Request(BaseModel):
    """What a job is given: the label that its driver waits for, and by which versions that was addressed."""

    work: Work
    key: str
    versions: dict[str, str]

    @classmethod
    def of(cls, work: Work) -> Request:
        return cls(work=work, key=label_key(work), versions=_versions(work))


def prepare(work: Work, folder: Path) -> None:
    """Write down what the job is asked for; nothing that an earlier one left is taken for its end."""
    write_json(folder / REQUEST_FILE, Request.of(work))
    (folder / OUT_OF_TIME).unlink(missing_ok=True)


def _versions(work: Work) -> dict[str, str]:
    """All versions that are part of a label's address."""
    return {"protocol": PROTOCOL} | registry.find(work.calculator).versions()


def run_job(folder: Path) -> None:
    """What the job itself does: compute the label that the request asks for."""
    request = Request.model_validate_json((folder / REQUEST_FILE).read_text())
    mine = Request.of(request.work)
    if mine.key == request.key:
        label_work(request.work, folder, lambda event: print(event, flush=True))
    else:  # its driver would never find the label
        write_label(folder, _of_other_versions(request, mine, folder))


def _of_other_versions(asked: Request, mine: Request, folder: Path) -> Label:
    differ = [
        f"{name} {mine.versions.get(name, 'missing')} here, {asked.versions.get(name, 'missing')} in the driver"
        for name in sorted(asked.versions | mine.versions)
        if asked.versions.get(name) != mine.versions.get(name)
    ]
    reason = (
        f"the job sees another calculator than its driver ({'; '.join(differ) or 'other settings'}) and computed "
        "nothing; give both one environment, e.g. by jobs.setup"
    )
    return Label(
        key=asked.key,
        fidelity=registry.find(asked.work.calculator).fidelity,
        failure=Failure(kind=FailureKind.TRANSIENT, reason=reason, stage="job"),
        folder=str(folder),
    )


if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
