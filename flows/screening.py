"""The frame of `ionloop screen`: a campaign's ranking goes through ordered steps, and every exclusion has a reason.

A step is a pydantic model: its fields are its settings in `[[screen.steps]]`. To add one, subclass `Step`, list it in
`flows.screening_steps.AnyStep`, and say

    step: Literal["hull"] = "hull"                 its name in the configuration
    quantity, unit (class variables)               what the value is: "E_hull", "eV/atom"
    address(candidate) -> dict | None              everything that decides the value, as JSON; None: too cheap to keep
    measure(candidate, folder, progress)           one composition in, a `Measurement` out

`measure` is called once per composition and may take days: what it leaves in `folder` is there when a killed screen
goes on, and its measurement is kept under the hash of `address`, so the same work is never paid for twice. "No value"
is a value of None with a reason (or raise `CalculationFailed` or `ValueError`); such a composition does not stay.

Which compositions stay is decided by `judge`, over all that came so far; the rules that every step has (`at_most`,
`at_least`, `lowest`, `highest`) are enough for most. Steps are measured in order, so dear ones stand last, or take
only the `first` so many compositions of lowest barrier.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.composition import Composition
from calculators.failures import classify
from calculators.label import FailureKind
from calculators.relax import Progress, silent
from calculators.storage import read_images, write_json
from flows.wording import number

if TYPE_CHECKING:
    from agent.hosts import Host
    from flows.acquisitions import Acquisition
    from flows.search import Atlas
    from flows.view import CampaignView

T = TypeVar("T")
MEASUREMENT_FILE = "measurement.json"


class Measurement(BaseModel):
    """What a step found out about one composition. A value that is no finite number becomes None."""

    value: float | None = None  # in the step's unit
    reason: str = ""  # why there is no value, or a remark
    caveat: str = ""  # what must be read beside the value, wherever its verdict stands
    facts: dict[str, Any] = Field(default_factory=dict)  # whatever belongs to it, as JSON
    seconds: float = 0.0  # wall time

    @model_validator(mode="after")
    def _only_numbers(self) -> Measurement:
        if self.value is not None and not math.isfinite(self.value):
            self.reason = self.reason or f"the value is {self.value}, which is no finite number"
            self.value = None
        elif self.value is None and not self.reason:
            self.reason = "no value, and no reason given"
        return self


@dataclass(frozen=True)
class Campaign:
    """What the candidates of one screen share."""

    view: CampaignView
    host: Host
    seed: int
    _made: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What all candidates of a screen share and none needs to make again: a trained model, say."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    @cached_property
    def atlas(self) -> Atlas:
        """The whole space with all that is known of it, as `ionloop search` has it."""
        from flows.search import Atlas

        return Atlas.of(self.view)

    def relaxed(self, label: Acquisition) -> Atoms | None:
        """The structure that a label's calculator relaxed (no vacancies in it); None if it was not kept."""
        for folder in (self.view.folder / "labels" / label.label_key, Path(label.label_folder or "/nonexistent")):
            if images := read_images(folder / "relaxed.extxyz"):
                return images[-1]
        return None

    @cached_property
    def median_eV(self) -> float | None:
        """Median E_b of the converged labels at the target fidelity, one value per composition (its lowest)."""
        lowest = {one.composition: one.value_eV for one in reversed(self.view.best) if one.value_eV is not None}
        return median(lowest.values()) if lowest else None


@dataclass(frozen=True)
class Candidate:
    """One composition of the ranking with what the steps before have found. `found` goes by the step's name."""

    campaign: Campaign
    rank: int
    composition: Composition
    formula: str
    cluster: int | None
    E_b_eV: float
    sigma_eV: float | None
    source: str  # of E_b: "label" or "prediction"
    found: Mapping[str, Measurement] = field(default_factory=dict)

    def ordering(self, index: int = 0) -> Atoms:
        """The campaign's ordering of this composition on the unrelaxed host lattice; vacant mobile sites are "X"."""
        from agent.ordering import draw

        return draw(self.campaign.host, self.composition, index, self.campaign.seed)

    def relaxed(self) -> Atoms | None:
        """The structure that the best label's calculator relaxed (no vacancies in it); None if there is none."""
        labels = (one for one in self.campaign.view.best if one.composition == self.composition.key)
        return next((found for one in labels if (found := self.campaign.relaxed(one)) is not None), None)


@dataclass(frozen=True)
class Verdict:
    """Whether a composition stays after a step, and why."""

    kept: bool
    reason: str


class Step(BaseModel):
    """The base of all steps: the rules by which compositions stay. Values are in the step's unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    quantity: ClassVar[str]
    unit: ClassVar[str]
    digits: ClassVar[int] = 3

    at_most: float | None = Field(None, description="Keep compositions with a value of at most this.")
    at_least: float | None = Field(None, description="Keep compositions with a value of at least this.")
    lowest: int | None = Field(None, ge=1, description="Of those, keep so many with the lowest values.")
    highest: int | None = Field(None, ge=1, description="Or so many with the highest values.")
    first: int | None = Field(
        None, ge=1, description="Take only so many compositions, lowest barrier first, into this step."
    )

    @model_validator(mode="after")
    def _one_end(self) -> Step:
        if self.lowest is not None and self.highest is not None:
            raise ValueError("lowest and highest exclude each other; use two steps")
        return self

    @property
    def name(self) -> str:
        return str(getattr(self, "step"))  # noqa: B009 - every subclass has it, with its own Literal type

    @property
    def title(self) -> str:
        return f"{self.quantity} ({self.unit})" if self.unit else self.quantity

    @abstractmethod
    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        """The value of one composition. `folder` exists, is the composition's own, and survives a kill."""

    def address(self, candidate: Candidate) -> dict[str, Any] | None:
        """Everything that decides the value (settings, structure, versions); None: measure it anew each time."""
        return None

    def judge(self, measured: Sequence[tuple[Candidate, float]]) -> list[Verdict]:
        """One verdict per composition, all of which have a value."""
        verdicts = [self.admit(candidate, value) for candidate, value in measured]
        count = self.lowest or self.highest
        if count is None:
            return verdicts
        order = [i for i, verdict in enumerate(verdicts) if verdict.kept]
        order.sort(key=lambda i: (-measured[i][1] if self.highest else measured[i][1], measured[i][0].E_b_eV))
        end = "lowest" if self.lowest else "highest"
        for place, i in enumerate(order, start=1):
            text = f"{self.quantity} {self.shown(measured[i][1])} is number {place} of {len(order)}"
            verdicts[i] = Verdict(place <= count, f"{text}; the {count} {end} stay")
        return verdicts

    def admit(self, candidate: Candidate, value: float) -> Verdict:
        """Whether this value alone is good enough, before any counting of the lowest or highest."""
        shown = f"{self.quantity} {self.shown(value)}"
        if self.at_most is not None and value > self.at_most:
            return Verdict(False, f"{shown} is above {self.shown(self.at_most)}")
        if self.at_least is not None and value < self.at_least:
            return Verdict(False, f"{shown} is below {self.shown(self.at_least)}")
        return Verdict(True, shown)

    def shown(self, value: float) -> str:
        return f"{number(value, self.digits)} {self.unit}".rstrip()


@dataclass(frozen=True)
class Entry:
    """One composition at the end of a screen: what was measured, and how far it came.

    Attributes:
        left_at: index of the step that excluded it; None if it is kept.
        reason: of its exclusion, or of its last step's approval.
    """

    candidate: Candidate
    left_at: int | None
    reason: str

    @property
    def kept(self) -> bool:
        return self.left_at is None


@dataclass(frozen=True)
class Screened:
    """A whole screen: every composition of the ranking, kept ones first, then those that came furthest."""

    steps: tuple[Step, ...]
    entries: tuple[Entry, ...]

    @property
    def kept(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kept)

    def counts(self) -> list[int]:
        """Compositions before the first step and after each one."""
        last = len(self.steps)
        reached = [last if entry.left_at is None else entry.left_at for entry in self.entries]
        return [len(reached), *(sum(r > i for r in reached) for i in range(last))]


#: Told (step index, step, compositions done, of how many, event of the running one) as a screen goes.
OnProgress = Callable[[int, Step, int, int, dict[str, Any]], None]


def screen(
    candidates: Sequence[Candidate],
    steps: Sequence[Step],
    folder: Path,
    on_progress: OnProgress = lambda *_: None,
) -> Screened:
    """Send candidates through the steps, in order; measurements are kept in `folder` and found there again."""
    left: list[Entry] = []
    staying = [(candidate, "") for candidate in sorted(candidates, key=lambda one: (one.E_b_eV, one.rank))]
    for index, step in enumerate(steps):
        taken = len(staying) if step.first is None else step.first
        for candidate, _ in staying[taken:]:
            left.append(Entry(candidate, index, f"{step.name}: not among the {taken} of lowest E_b that it takes"))
        staying, gone = _one_step(index, step, [candidate for candidate, _ in staying[:taken]], folder, on_progress)
        left.extend(gone)
    kept = [Entry(candidate, None, reason) for candidate, reason in staying]
    left.sort(key=lambda entry: (-(entry.left_at or 0), entry.candidate.E_b_eV, entry.candidate.rank))
    return Screened(tuple(steps), (*kept, *left))


def _one_step(
    index: int, step: Step, candidates: list[Candidate], folder: Path, on_progress: OnProgress
) -> tuple[list[tuple[Candidate, str]], list[Entry]]:
    """Who stays, with the reason, and who goes."""
    measured: list[tuple[Candidate, float]] = []
    gone: list[Entry] = []
    for done, candidate in enumerate(candidates):

        def told(event: dict[str, Any], done: int = done) -> None:
            on_progress(index, step, done, len(candidates), event)

        told({"stage": candidate.formula})
        found = measurement(step, candidate, folder, told)
        candidate = replace(candidate, found={**candidate.found, step.name: found})
        if found.value is None:
            gone.append(Entry(candidate, index, f"{step.name}: no value: {found.reason}"))
        else:
            measured.append((candidate, found.value))
    staying: list[tuple[Candidate, str]] = []
    for (candidate, _), verdict in zip(measured, step.judge(measured), strict=True):
        caveat = candidate.found[step.name].caveat
        reason = f"{step.name}: {verdict.reason}" + (f" ({caveat})" if caveat else "")
        if verdict.kept:
            staying.append((candidate, reason))
        else:
            gone.append(Entry(candidate, index, reason))
    return staying, gone


def measurement(step: Step, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
    """The kept measurement of this content, or a new one that is kept now.

    A failure is kept too, unless it is the machine's (full disk, memory, network): that one is tried again next time.
    """
    address = step.address(candidate)
    if address is None:
        return _measured(step, candidate, folder, progress)[0]
    home = folder / step.name / _key(step, address)
    kept = _read(home / MEASUREMENT_FILE)
    if kept is not None:
        return kept
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / "address.json", {"formula": candidate.formula, **address})
    start = time.perf_counter()
    found, final = _measured(step, candidate, home, progress)
    found = found.model_copy(update={"seconds": round(time.perf_counter() - start, 3)})
    if final:
        write_json(home / MEASUREMENT_FILE, found)
    return found


def _measured(step: Step, candidate: Candidate, folder: Path, progress: Progress) -> tuple[Measurement, bool]:
    """A measurement, and whether the same question would get the same answer again."""
    try:
        return step.measure(candidate, folder, progress), True
    except Exception as error:  # noqa: BLE001 - one bad composition never stops a screen; its row says what was raised
        failure = classify(error, step.name)
        found = Measurement(reason=failure.reason, facts={"failure": failure.kind.value})
        return found, failure.kind not in (FailureKind.TRANSIENT, FailureKind.WALLTIME)


def _key(step: Step, address: Mapping[str, Any]) -> str:
    content = json.dumps({"step": step.name, **address}, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _read(path: Path) -> Measurement | None:
    try:
        return Measurement.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None
