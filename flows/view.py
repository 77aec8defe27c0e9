"""One immutable picture of a campaign, read from the ledger in a handful of queries.

Plots, report, artifacts, export and terminal views all read this and nothing else, so that they agree.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from sqlalchemy import select

from agent.ledger import Ledger, LedgerError
from agent.schema import (
    AttemptRow,
    CampaignRow,
    EventRow,
    LabelRow,
    PredictionRow,
    ProposalRow,
    RoundRow,
    now,
)
from calculators.label import Label
from flows.wording import finite

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

#: So many of the best labels are loaded whole, with their paths.
BEST_LABELS = 12
#: Fewer labels than this give no usable estimate of what random choice would find.
REFERENCE_LABELS = 4


@dataclass(frozen=True)
class Attempt:
    """One try at one label, as the ledger has it. `seconds` is None while it runs or if it was lost."""

    id: int
    proposal: int
    calculator: str
    state: str
    failure_kind: str
    failure_reason: str
    folder: str
    started: datetime
    ended: datetime | None

    @property
    def seconds(self) -> float | None:
        if self.ended is None or self.state == "lost":
            return None
        return max(0.0, (self.ended - self.started).total_seconds())


@dataclass(frozen=True)
class Acquisition:
    """A proposed composition joined with its label (if any) and its attempts. Energies in eV."""

    id: int
    round: int
    rank: int
    composition: str
    formula: str
    ordering: int
    asked: str  # the calculator that was asked for
    cluster: int | None
    mean_eV: float | None
    sigma_eV: float | None
    score: float | None
    reason: str
    state: str
    label_key: str
    prefect_run: str
    created: datetime
    fidelity: str | None
    value_eV: float | None
    converged: bool
    force_calls: int
    label_folder: str
    invalid_reason: str
    attempts: tuple[Attempt, ...] = ()

    @property
    def calculator(self) -> str:
        """The calculator that gave the label, or the one asked for while there is none."""
        done = [attempt.calculator for attempt in self.attempts if attempt.state == "succeeded"]
        return done[-1] if done else self.asked

    @property
    def fallback(self) -> bool:
        """The value comes from another calculator than the one asked for."""
        return self.calculator != self.asked

    @property
    def failure(self) -> tuple[str, str] | None:
        """(kind, reason) of a proposal that ended without a value."""
        if self.value_eV is not None:
            return None
        for attempt in reversed(self.attempts):
            if attempt.failure_kind:
                return attempt.failure_kind, attempt.failure_reason
        return ("invalid", self.invalid_reason) if self.invalid_reason else None

    @property
    def seconds(self) -> float:
        """Wall time of all its attempts, s."""
        return sum(attempt.seconds or 0.0 for attempt in self.attempts)

    @property
    def error_eV(self) -> float | None:
        """Prediction before labelling minus label, eV."""
        if self.mean_eV is None or self.value_eV is None:
            return None
        return self.mean_eV - self.value_eV


@dataclass(frozen=True)
class Parity:
    """What the model said before labelling beside what the label said after (eV), at the target fidelity."""

    predicted_eV: Floats
    sigma_eV: Floats  # NaN where the model gave none
    label_eV: Floats
    rounds: NDArray[np.int64]
    formulas: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.label_eV)

    @property
    def mae_eV(self) -> float | None:
        return float(np.abs(self.predicted_eV - self.label_eV).mean()) if self.size else None

    @property
    def mean_predictor_mae_eV(self) -> float | None:
        """MAE of predicting each label by the mean of the others: what the model has to beat."""
        if self.size < 2:
            return None
        off = np.abs(self.label_eV - self.label_eV.mean()) * self.size / (self.size - 1)
        return float(off.mean())

    @cached_property
    def z(self) -> Floats:
        """Errors in units of the predicted sigma, where there is one."""
        known = np.isfinite(self.sigma_eV) & (self.sigma_eV > 0)
        return (self.label_eV[known] - self.predicted_eV[known]) / self.sigma_eV[known]

    def coverage(self, nominal: Floats) -> Floats:
        """Share of labels inside the central interval of each nominal probability (NaN without any sigma)."""
        if not len(self.z):
            return np.full(len(nominal), np.nan)
        half_width = ndtri(0.5 + np.asarray(nominal) / 2)
        return (np.abs(self.z)[None, :] <= half_width[:, None]).mean(axis=1)

    @property
    def miscalibration_area(self) -> float | None:
        """Area between observed and nominal coverage over all probabilities (0 is perfect, 0.5 the worst)."""
        if not len(self.z):
            return None
        nominal = np.linspace(0.005, 0.995, 100)
        return float(np.abs(self.coverage(nominal) - nominal).mean())


@dataclass(frozen=True)
class Reference:
    """What labelling compositions at random would find: a normal distribution of the target value."""

    mean_eV: float
    sigma_eV: float
    source: str  # where it was estimated from, for the legend
    sample: int | None = None  # labels it was estimated from, if it was

    def best_eV(self, labels: int) -> Floats:
        """Expected lowest value after 1, 2, ..., `labels` random labels (eV)."""
        return self.mean_eV + self.sigma_eV * _expected_minimum(labels)

    def best_error_eV(self, labels: int) -> Floats | None:
        """Standard error of `best_eV`, from the sampling errors of a normal's mean and sigma (eV)."""
        if self.sample is None:
            return None
        variance = 1 / self.sample + _expected_minimum(labels) ** 2 / (2 * (self.sample - 1))
        return np.asarray(self.sigma_eV * np.sqrt(variance), dtype=np.float64)

    def found(self, labels: int, target_eV: float) -> Floats:
        """Expected number of random labels at or below the target after 1, 2, ..., `labels` of them."""
        share = float(ndtr((target_eV - self.mean_eV) / self.sigma_eV))
        return np.arange(1, labels + 1, dtype=np.float64) * share


@dataclass(frozen=True)
class Discovery:
    """Progress along the target labels, in the order in which they were proposed."""

    labels: tuple[Acquisition, ...]
    value_eV: Floats
    best_eV: Floats  # lowest converged value so far; NaN before the first one
    found: NDArray[np.int64]  # distinct compositions at or below the target so far; zeros without a target
    target_eV: float | None
    reference: Reference | None


@dataclass(frozen=True)
class Cost:
    """What one calculator has cost so far. Times are wall time in s."""

    calculator: str
    attempts: int
    succeeded: int
    failed: int
    lost: int
    running: int
    seconds: float
    median_s: float | None
    force_calls: int


@dataclass(frozen=True)
class Budget:
    """One limit of the stopping rules."""

    unit: str
    spent: float
    limit: float

    @property
    def share(self) -> float:
        return min(1.0, self.spent / self.limit)

    def __str__(self) -> str:
        """Such as "12 of 48 labels", "1.5 of 24 calculator hours"."""
        spent = f"{self.spent:,.1f}" if isinstance(self.spent, float) else f"{self.spent:,}"
        return f"{spent} of {self.limit:,g} {self.unit}"


@dataclass(frozen=True)
class CampaignView:
    """A campaign at one moment. Everything is in the order of proposing."""

    campaign: CampaignRow
    folder: Path
    rounds: tuple[RoundRow, ...]
    acquisitions: tuple[Acquisition, ...]
    ranking: tuple[PredictionRow, ...]
    events: tuple[EventRow, ...]
    best_labels: Mapping[str, Label] = field(default_factory=dict)  # the best target labels, whole, by key
    taken: datetime = field(default_factory=now)

    @classmethod
    def load(cls, ledger: Ledger, name: str, folder: Path) -> CampaignView:
        """Read a campaign in six queries.

        Raises:
            LedgerError: the ledger has no campaign of this name.
        """
        campaign = ledger.campaign(name)
        if campaign is None:
            known = ", ".join(row.name for row in ledger.campaigns()) or "none"
            raise LedgerError(f"the ledger has no campaign {name!r}; it knows: {known}")
        acquisitions = _acquisitions(ledger, name)
        target = [a for a in acquisitions if a.fidelity == campaign.target_fidelity and a.value_eV is not None]
        best = sorted(target, key=lambda a: (not a.converged, a.value_eV))[:BEST_LABELS]
        return cls(
            campaign=campaign,
            folder=Path(folder),
            rounds=tuple(ledger.rounds(name)),
            acquisitions=tuple(acquisitions),
            ranking=tuple(ledger.ranking(name)),
            events=tuple(ledger.events(name)),
            best_labels=_whole_labels(ledger, [a.label_key for a in best]),
        )

    @property
    def name(self) -> str:
        return self.campaign.name

    @property
    def target_fidelity(self) -> str:
        return self.campaign.target_fidelity

    @cached_property
    def at_target(self) -> tuple[Acquisition, ...]:
        """Acquisitions that have a value at the target fidelity, converged or not."""
        return tuple(a for a in self.acquisitions if a.fidelity == self.target_fidelity and a.value_eV is not None)

    @cached_property
    def best(self) -> tuple[Acquisition, ...]:
        """Converged target labels, lowest barrier first."""
        return tuple(sorted((a for a in self.at_target if a.converged), key=lambda a: (a.value_eV, a.id)))

    @cached_property
    def failed(self) -> tuple[Acquisition, ...]:
        return tuple(a for a in self.acquisitions if a.state == "failed")

    def of_round(self, number: int) -> tuple[Acquisition, ...]:
        return self._by_round.get(number, ())

    @cached_property
    def _by_round(self) -> dict[int, tuple[Acquisition, ...]]:
        groups: dict[int, list[Acquisition]] = defaultdict(list)
        for acquisition in self.acquisitions:
            groups[acquisition.round].append(acquisition)
        return {number: tuple(members) for number, members in groups.items()}

    @cached_property
    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(attempt for a in self.acquisitions for attempt in a.attempts)

    # --- settings that the figures need ----------------------------------------------------------------

    @property
    def target_eV(self) -> float | None:
        """The barrier below which a composition counts as found, if the configuration names one."""
        return finite(_setting(self.campaign.config, "stopping", "target_eV"))

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """What the stopping rules allow and what of it is spent, the one nearest to its end first."""
        spent = {
            "max_labels": ("labels", len(self.at_target)),
            "max_rounds": ("rounds", sum(row.state == "done" and row.number > 0 for row in self.rounds)),
            "max_calculator_hours": ("calculator hours", sum(cost.seconds for cost in self.costs) / 3600),
            "max_wall_hours": (
                "hours",
                ((self.campaign.ended or self.taken) - self.campaign.created).total_seconds() / 3600,
            ),
        }
        limits = {key: finite(_setting(self.campaign.config, "stopping", key)) for key in spent}
        known = [Budget(*spent[key], limit) for key, limit in limits.items() if limit]
        return tuple(sorted(known, key=lambda budget: -budget.share))

    @property
    def spent(self) -> int:
        """Proposals of the acquisition rounds that have ended, with or without a value."""
        return sum(a.round > 0 and a.state != "pending" for a in self.acquisitions)

    # --- what the figures show ---------------------------------------------------------------------------

    @cached_property
    def predicted(self) -> tuple[Acquisition, ...]:
        """Target labels that the model had predicted at the target fidelity before they were computed."""
        return tuple(a for a in self.at_target if a.mean_eV is not None)

    @cached_property
    def parity(self) -> Parity:
        known = self.predicted
        return Parity(
            predicted_eV=np.array([a.mean_eV for a in known], dtype=float),
            sigma_eV=np.array([a.sigma_eV for a in known], dtype=float),
            label_eV=np.array([a.value_eV for a in known], dtype=float),
            rounds=np.array([a.round for a in known], dtype=np.int64),
            formulas=tuple(a.formula for a in known),
        )

    @cached_property
    def discovery(self) -> Discovery:
        values = np.array([a.value_eV for a in self.at_target], dtype=float)
        converged = np.array([a.converged for a in self.at_target], dtype=bool)
        lowest = np.minimum.accumulate(np.where(converged, values, np.inf)) if len(values) else values
        target, seen, found = self.target_eV, set[str](), []
        for acquisition, value in zip(self.at_target, values, strict=True):
            if target is not None and acquisition.converged and value <= target:
                seen.add(acquisition.composition)
            found.append(len(seen))
        return Discovery(
            labels=self.at_target,
            value_eV=values,
            best_eV=np.where(np.isfinite(lowest), lowest, np.nan),
            found=np.array(found, dtype=np.int64),
            target_eV=target,
            reference=self.reference,
        )

    @cached_property
    def reference(self) -> Reference | None:
        """What random choice would find, from the labels that were chosen without a model, else from the model.

        None where neither tells: the figures then say so. Normal distributions, hence an estimate.
        """
        blind = np.array([a.value_eV for a in self._blind if a.converged], dtype=float)
        if len(blind) >= REFERENCE_LABELS and blind.std() > 0:
            source = f"estimated from the {len(blind)} labels chosen without the model"
            return Reference(float(blind.mean()), float(blind.std(ddof=1)), source, len(blind))
        for row in reversed(self.rounds):
            mean, sigma = finite(row.metrics.get("space_mean_eV")), finite(row.metrics.get("space_sigma_eV"))
            if mean is not None and sigma:
                return Reference(mean, sigma, f"by the model of round {row.number}, over the whole space")
        return None

    @property
    def _blind(self) -> tuple[Acquisition, ...]:
        """Target labels whose choice no model had a part in: of a random or stratified strategy, or of the time
        before the first model. With pre-training there is no such time: the cheap fidelity ranks from the start."""
        if _setting(self.campaign.config, "acquisition", "strategy") in {"random", "stratified"}:
            return self.at_target
        if _setting(self.campaign.config, "pretrain", "labels"):
            return ()
        return tuple(a for a in self.at_target if a.mean_eV is None)

    @cached_property
    def failures_by_kind(self) -> dict[str, int]:
        """Failed attempts by kind, most frequent first; "lost" are those that a dead driver left open."""
        kinds = Counter(a.failure_kind or a.state for a in self.attempts if a.state in {"failed", "lost"})
        return dict(kinds.most_common())

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        calls: Counter[str] = Counter()
        for acquisition in self.acquisitions:
            if acquisition.attempts:  # an adopted label was paid for elsewhere
                calls[acquisition.calculator] += acquisition.force_calls
        groups: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            groups[attempt.calculator].append(attempt)
        return tuple(_cost(name, members, calls[name]) for name, members in sorted(groups.items()))

    @property
    def adopted(self) -> int:
        """Values that were already paid for elsewhere: labelled without an attempt of this campaign."""
        return sum(a.value_eV is not None and not a.attempts for a in self.acquisitions)

    @cached_property
    def space(self) -> pd.DataFrame | None:
        """Every composition of the space with its cluster and two principal components, if the file is there."""
        path = self.folder / "space.csv"
        if not path.is_file():
            return None
        import pandas as pd  # half a second that only the maps need

        table = pd.read_csv(path)
        missing = {"composition", "formula", "cluster", "pc1", "pc2"} - set(table.columns)
        if missing:
            raise ValueError(f"{path}: column(s) {', '.join(sorted(missing))} missing")
        return table

    def metric(self, key: str) -> tuple[NDArray[np.int64], Floats]:
        """A held-out model figure by round: the rounds that have it, and its values."""
        known = [(row.number, value) for row in self.rounds if (value := finite(row.metrics.get(key))) is not None]
        return np.array([n for n, _ in known], dtype=np.int64), np.array([v for _, v in known], dtype=float)


def _expected_minimum(draws: int) -> Floats:
    """Expectation of the smallest of 1, 2, ..., `draws` standard normal numbers.

    It is the integral of (1 - F)^n over x > 0 minus that of 1 - (1 - F)^n over x < 0, here on a fine grid.
    """
    low, high = -9.0, 9.0
    x = np.linspace(low, high, 3601)
    points = np.unique(np.geomspace(1, max(draws, 1), 200).astype(int))
    expected = [low + float(np.trapezoid(ndtr(-x) ** n, x)) for n in points]
    return np.interp(np.arange(1, draws + 1), points, expected)


def amounts(composition: str) -> dict[str, int]:
    """Sites of the substituted sublattice by element, from a `Composition.key` ("nzsp:Sn1+4.Zr7+4:12")."""
    sites = composition.split(":")[1] if composition.count(":") >= 2 else ""
    return {element: int(count) for element, count in re.findall(r"([A-Z][a-z]?)(\d+)\+", sites)}


def _setting(config: Mapping[str, Any], section: str, key: str) -> Any:
    part = config.get(section)
    return part.get(key) if isinstance(part, Mapping) else None


def _acquisitions(ledger: Ledger, campaign: str) -> list[Acquisition]:
    """Columns, not objects: the stored label is only searched for the three facts that a line needs."""
    p, lab = ProposalRow, LabelRow
    query = (
        select(
            *(p.id, p.round, p.rank, p.composition, p.formula, p.ordering, p.calculator.label("asked"), p.cluster),
            *(p.mean_eV, p.sigma_eV, p.score, p.reason, p.state, p.label_key, p.prefect_run, p.created),
            *(lab.fidelity, lab.value_eV, lab.converged),
            lab.data["force_calls"].as_integer().label("force_calls"),
            lab.data["folder"].as_string().label("label_folder"),
            lab.data[("failure", "reason")].as_string().label("invalid_reason"),
        )
        .outerjoin(lab, lab.key == p.label_key)
        .where(p.campaign == campaign)
        .order_by(p.round, p.rank)
    )
    with ledger.transaction() as session:
        rows = session.execute(query).mappings().all()
    attempts = _attempts(ledger, campaign)
    return [_acquisition(row, attempts.get(row["id"], [])) for row in rows]


def _acquisition(row: Mapping[Any, Any], attempts: Sequence[Attempt]) -> Acquisition:
    facts = dict(row)
    for key in ("mean_eV", "sigma_eV", "score", "value_eV"):
        facts[key] = finite(facts[key])
    facts["converged"] = bool(facts["converged"])
    facts["force_calls"] = facts["force_calls"] or 0
    for key in ("label_folder", "invalid_reason"):
        facts[key] = facts[key] or ""
    return Acquisition(**facts, attempts=tuple(attempts))


def _attempts(ledger: Ledger, campaign: str) -> dict[int, list[Attempt]]:
    a = AttemptRow
    query = (
        select(
            *(a.id, a.proposal, a.calculator, a.state, a.failure_kind, a.failure_reason, a.folder, a.started, a.ended)
        )
        .join(ProposalRow, ProposalRow.id == a.proposal)
        .where(ProposalRow.campaign == campaign)
        .order_by(a.id)
    )
    groups: dict[int, list[Attempt]] = defaultdict(list)
    with ledger.transaction() as session:
        for row in session.execute(query):
            groups[row.proposal].append(Attempt(*row))
    return groups


def _whole_labels(ledger: Ledger, keys: Sequence[str]) -> dict[str, Label]:
    with ledger.transaction() as session:
        rows = session.execute(select(LabelRow.key, LabelRow.data).where(LabelRow.key.in_(keys))).tuples().all()
    found = {key: Label.model_validate(data) for key, data in rows}
    return {key: found[key] for key in keys if key in found}


def _cost(name: str, attempts: Sequence[Attempt], force_calls: int) -> Cost:
    states = Counter(attempt.state for attempt in attempts)
    times = [attempt.seconds for attempt in attempts if attempt.seconds is not None]
    return Cost(
        calculator=name,
        attempts=len(attempts),
        succeeded=states["succeeded"],
        failed=states["failed"],
        lost=states["lost"],
        running=states["running"],
        seconds=float(sum(times)),
        median_s=float(np.median(times)) if times else None,
        force_calls=force_calls,
    )
