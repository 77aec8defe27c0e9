"""`calculators = ["vasp", "chgnet"]`: what to do after a failure, by its kind (DESIGN.md, rule 4).

`transient` and `walltime` are tried again with the same calculator, which goes on from what its folder holds;
`unconverged` is continued once; `invalid` never is. Then comes the next calculator of the chain, in a folder
of its own, under its own fidelity. Every attempt stands in the label's provenance with its cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calculators.label import FailureKind, Label, Work
from calculators.pipeline import label_key, label_work

#: Computes one label: `label_work` here, or a WorkerPool's or a scheduler's method.
Compute = Callable[[Work, Path], Label]


@dataclass(frozen=True)
class Patience:
    """How often the same calculator is tried, by kind of failure, and how long to wait before a transient one
    (s).
    """

    transient: int = 3
    walltime: int = 3
    unconverged: int = 2
    backoff_s: float = 5.0

    def tries(self, kind: FailureKind) -> int:
        """Attempts allowed in all for failures of this kind."""
        return 1 if kind is FailureKind.INVALID else int(getattr(self, kind.value))

    def wait_s(self, kind: FailureKind, attempt: int) -> float:
        """Seconds before the next try: doubling for transient trouble, none otherwise."""
        return self.backoff_s * 2.0 ** (attempt - 1) if kind is FailureKind.TRANSIENT else 0.0


def label_with_fallback(
    work: Work,
    calculators: Sequence[str],
    folder: str | Path,
    *,
    settings: dict[str, dict[str, Any]] | None = None,
    compute: Compute = label_work,
    patience: Patience | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Label:
    """The first value along a chain of calculators, each tried as often as its failures deserve.

    Args:
        work: its own calculator and settings are replaced by those of the chain.
        calculators: names, the dearest first.
        folder: attempts of one calculator share `folder/NAME-KEY`.
        settings: by calculator name; what is not named gets its defaults.

    Returns:
        the label, with the fidelity of the calculator that gave it; or the last failure.
        `provenance["attempts"]` lists all attempts as {"calculator", "fidelity", "kind", "reason", "stage"}
        (kind "ok" for the last, if it has a value), and `provenance["wanted_fidelity"]` the one that the
        first calculator would have given.

    Raises:
        ValueError: an empty chain, or unknown calculators or settings, before anything is computed.
    """
    if not calculators:
        raise ValueError("calculators: the chain is empty; name at least one")
    patience = patience or Patience()
    works = [
        work.model_copy(update={"calculator": name, "settings": (settings or {}).get(name, {})})
        for name in calculators
    ]
    keys = [label_key(candidate) for candidate in works]
    attempts: list[dict[str, str]] = []
    wanted = ""
    for candidate, key in zip(works, keys, strict=True):
        name = candidate.calculator.replace(":", ".")
        for attempt in range(1, 100):
            label = compute(candidate, Path(folder) / f"{name}-{key[:8]}")
            wanted = wanted or label.fidelity
            attempts.append(_attempt(candidate, label))
            if label.failure is None or attempt >= patience.tries(label.failure.kind):
                break
            sleep(patience.wait_s(label.failure.kind, attempt))
        if label.failure is None:
            break
    record = {"attempts": attempts, "wanted_fidelity": wanted}
    return label.model_copy(update={"provenance": label.provenance | record})


def _attempt(work: Work, label: Label) -> dict[str, str]:
    failure = label.failure
    return {
        "calculator": work.calculator,
        "fidelity": label.fidelity,
        "kind": failure.kind.value if failure else "ok",
        "reason": failure.reason if failure else "",
        "stage": failure.stage if failure else "",
    }


def deserves_relabel(label: Label) -> bool:
    """A cheaper calculator stood in, and the dear one failed for a reason that may pass (`ionloop relabel`)."""
    wanted = label.provenance.get("wanted_fidelity", label.fidelity)
    if wanted == label.fidelity and label.ok:
        return False
    causes = [attempt["kind"] for attempt in label.provenance.get("attempts", []) if attempt["fidelity"] == wanted]
    return bool(causes) and causes[-1] != FailureKind.INVALID.value
