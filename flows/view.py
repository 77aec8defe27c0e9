"""One immutable picture of a campaign, read from the ledger in a handful of queries.

Plots, report, artifacts, export and terminal views all read this and nothing else, so that they agree.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agent.ledger import Ledger
from agent.schema import CampaignRow, EventRow, PredictionRow, RoundRow, now
from calculators.label import Label
from flows.acquisitions import Acquisition, Attempt, read_acquisitions, read_labels
from flows.costs import Budget, Cost, budgets_of, cost_of
from flows.discovery import Discovery
from flows.parity import Parity
from flows.wording import finite
from flows.yardsticks import Reference, reference_of, setting

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Acquisition", "Attempt", "Budget", "CampaignView", "Cost", "Discovery", "Parity", "Reference", "amounts"]

Floats = NDArray[np.float64]

#: So many of the best labels are loaded whole, with their paths.
BEST_LABELS = 12


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
        campaign = ledger.known_campaign(name)
        acquisitions = read_acquisitions(ledger, name)
        target = [a for a in acquisitions if a.fidelity == campaign.target_fidelity and a.value_eV is not None]
        best = sorted(target, key=lambda a: (not a.converged, a.value_eV))[:BEST_LABELS]
        return cls(
            campaign=campaign,
            folder=Path(folder),
            rounds=tuple(ledger.rounds(name)),
            acquisitions=tuple(acquisitions),
            ranking=tuple(ledger.ranking(name)),
            events=tuple(ledger.events(name)),
            best_labels=read_labels(ledger, [a.label_key for a in best]),
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
        return finite(setting(self.campaign.config, "stopping", "target_eV"))

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """What the stopping rules allow and what of it is spent, the one nearest to its end first."""
        done = sum(row.state == "done" and row.number > 0 for row in self.rounds)
        seconds = sum(cost.seconds for cost in self.costs)
        return budgets_of(self.campaign, len(self.at_target), done, seconds)

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
        return Parity.of(self.predicted)

    @cached_property
    def discovery(self) -> Discovery:
        return Discovery.of(self.at_target, self.target_eV, self.reference)

    @cached_property
    def reference(self) -> Reference | None:
        """What random choice would find; None where nothing tells."""
        return reference_of(self.campaign.config, self.at_target, self.rounds)

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
        return tuple(cost_of(name, members, calls[name]) for name, members in sorted(groups.items()))

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


def amounts(composition: str) -> dict[str, int]:
    """Sites of the substituted sublattice by element, from a `Composition.key` ("nzsp:Sn1+4.Zr7+4:12")."""
    sites = composition.split(":")[1] if composition.count(":") >= 2 else ""
    return {element: int(count) for element, count in re.findall(r"([A-Z][a-z]?)(\d+)\+", sites)}
