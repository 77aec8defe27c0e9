"""How a calculation says that it has no value: one exception that carries a `Failure`."""

from __future__ import annotations

import errno

from calculators.label import Failure, FailureKind


class CalculationFailed(Exception):
    """Raised inside a labeller; `label_work` turns it into a `Label` without a value."""

    def __init__(self, kind: FailureKind, reason: str, stage: str = "") -> None:
        super().__init__(reason)
        self.failure = Failure(kind=kind, reason=reason, stage=stage)


def invalid(reason: str, stage: str) -> CalculationFailed:
    """The question has no answer: the same input must not be retried."""
    return CalculationFailed(FailureKind.INVALID, reason, stage)


def unconverged(reason: str, stage: str) -> CalculationFailed:
    """Ran out of steps: continue from the last band, or escalate."""
    return CalculationFailed(FailureKind.UNCONVERGED, reason, stage)


def classify(error: BaseException, stage: str) -> Failure:
    """The failure that an unforeseen exception stands for.

    Disk and memory trouble is the machine's (`transient`); arithmetic trouble is the input's (`invalid`).
    What a calculator raises otherwise is deterministic on the same input, so it is `invalid` too: the next
    calculator of a chain may still answer.
    """
    if isinstance(error, CalculationFailed):
        return error.failure
    if isinstance(error, OSError):
        hint = " (free some space)" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return Failure(kind=FailureKind.TRANSIENT, reason=f"{error}{hint}", stage=stage)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return Failure(
            kind=FailureKind.TRANSIENT,
            reason="out of memory: use fewer workers or more memory",
            stage=stage,
        )
    first_line = (str(error).strip().splitlines() or [""])[0]
    named = (
        "" if type(error) is ValueError and first_line else f"{type(error).__name__}: "
    )  # ours speak for themselves
    return Failure(kind=FailureKind.INVALID, reason=f"{named}{first_line}", stage=stage)
