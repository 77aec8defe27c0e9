"""Phase outcomes (pure or impure): read from a table, added to a campaign by a person, turned into a constraint.

The feedback loop of Zuo et al. (EES 19, 860 (2026)): what was made and looked at joins the data, the classifier is
trained again, and the next round proposes only what it calls synthesizable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agent.formula import FOUR_DESCRIPTORS, Occupation, descriptor_table, read_formula
from agent.hosts import Host
from agent.ledger import Ledger
from agent.schema import EventRow

Outcome = Literal["pure", "impure"]
#: Names of `models.synthesizability.CLASSIFIERS`, which is not imported to say them.
Classifier = Literal["naive-bayes", "knn", "tree", "svm", "mlp"]
OUTCOMES: tuple[Outcome, Outcome] = ("pure", "impure")
#: The kind of the ledger's events that carry an outcome.
EVENT = "outcome"


class SynthesizabilitySection(BaseModel):
    """Propose only compositions that a classifier of phase purity lets through (docs/synthesizability.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    only: bool = Field(False, description="Propose only what is predicted to be synthesizable.")
    table: Path | None = Field(
        None,
        description="CSV with columns formula and outcome (pure, impure); default: the six outcomes that Zuo et al. "
        "state. Outcomes added with `ionloop add-outcome` count too, the newest one for a formula.",
    )
    classifier: Classifier = Field("naive-bayes", description="Which classifier; the paper's choice is naive Bayes.")
    threshold: float = Field(0.5, gt=0, lt=1, description="Smallest probability of a single phase that passes.")


@dataclass(frozen=True)
class Outcomes:
    """Compositions of one host with what came of them.

    Attributes:
        formulas: as they were written.
        occupations: what their substituted sublattice holds.
        pure: (n,) whether one phase was found.
    """

    formulas: tuple[str, ...]
    occupations: tuple[Occupation, ...]
    pure: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.formulas)

    @cached_property
    def descriptors(self) -> NDArray[np.float64]:
        """(n, 4) `FOUR_DESCRIPTORS`."""
        return descriptor_table(self.occupations)

    def of(self, occupation: Occupation) -> bool | None:
        """Whether this composition came out pure; None if nobody knows."""
        return self._known.get(occupation)

    @cached_property
    def _known(self) -> dict[Occupation, bool]:
        return dict(zip(self.occupations, self.pure.tolist(), strict=True))

    def joined(self, other: Outcomes) -> Outcomes:
        """Both, the other's outcome where they speak of the same composition."""
        both = dict(zip(self.occupations, zip(self.formulas, self.pure, strict=True), strict=True))
        both |= dict(zip(other.occupations, zip(other.formulas, other.pure, strict=True), strict=True))
        formulas = tuple(formula for formula, _ in both.values())
        return Outcomes(formulas, tuple(both), np.array([bool(pure) for _, pure in both.values()], dtype=bool))

    def frame(self) -> pd.DataFrame:
        table = pd.DataFrame({"formula": self.formulas, "outcome": np.where(self.pure, *OUTCOMES)})
        return table.join(pd.DataFrame(self.descriptors, columns=list(FOUR_DESCRIPTORS)))


def read_outcomes(path: Path | None, host: Host) -> Outcomes:
    """A user's table, or the shipped one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a missing column, an outcome that is neither pure nor impure, a formula that this host cannot be,
            or two outcomes for one composition; the message names file and row.
    """
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"outcomes {path}: no such file")
    where = "shipped outcomes" if path is None else f"outcomes {path}"
    source: IO[Any] | Path = path or resources.files("agent").joinpath("data/phase_outcomes.csv").open()
    try:
        table = pd.read_csv(source, dtype=str, keep_default_na=False, comment="#")
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: not a CSV table ({' '.join(str(error).split())})") from error
    missing = [column for column in ("formula", "outcome") if column not in table.columns]
    if missing:
        raise ValueError(f"{where}: column {' and '.join(missing)} missing; it has {', '.join(table.columns)}")
    if table.empty:
        raise ValueError(f"{where}: no rows")
    occupations: dict[Occupation, int] = {}
    pure = []
    for row, (formula, outcome) in enumerate(zip(table["formula"], table["outcome"], strict=True), start=2):
        try:
            occupation = read_formula(formula.strip(), host)
        except ValueError as error:
            raise ValueError(f"{where}, line {row}: {error}") from error
        pure.append(is_pure(outcome, f"{where}, line {row}"))
        if (first := occupations.setdefault(occupation, row)) != row:
            raise ValueError(f"{where}, line {row}: {formula} is the composition of line {first} already")
    return Outcomes(tuple(table["formula"]), tuple(occupations), np.array(pure, dtype=bool))


def is_pure(outcome: str, where: str) -> bool:
    """Raises ValueError unless `outcome` is "pure" or "impure"."""
    word = outcome.strip().lower()
    if word not in OUTCOMES:
        raise ValueError(f"{where}: outcome is {outcome!r}; allowed: {', '.join(OUTCOMES)}")
    return word == "pure"


def add_outcome(
    ledger: Ledger, campaign: str, formula: str, host: Host, outcome: Outcome, source: str, who: str
) -> None:
    """Write into a campaign's ledger what came of a composition; who and when stand beside it.

    Raises:
        ValueError: a formula that the campaign's host cannot be.
    """
    read_formula(formula, host)
    text = f"{who}: {formula} is {outcome}" + (f" ({source})" if source else "")
    ledger.log(campaign, EVENT, text, who=who, formula=formula, outcome=outcome, source=source)


def told(events: Iterable[EventRow]) -> tuple[tuple[str, str], ...]:
    """(formula, outcome) that people added to a campaign, in their order."""
    return tuple((event.data["formula"], event.data["outcome"]) for event in events if event.kind == EVENT)


def added_outcomes(added: Iterable[tuple[str, str]], host: Host) -> Outcomes:
    """The newest outcome of each composition."""
    found = {read_formula(formula, host): (formula, outcome == "pure") for formula, outcome in added}
    formulas = tuple(formula for formula, _ in found.values())
    return Outcomes(formulas, tuple(found), np.array([pure for _, pure in found.values()], dtype=bool))


@dataclass(frozen=True)
class PhaseClassifier:
    """A classifier trained on all outcomes that a campaign knows."""

    section: SynthesizabilitySection
    outcomes: Outcomes
    model: Any

    @classmethod
    def of(
        cls, section: SynthesizabilitySection, host: Host, added: Iterable[tuple[str, str]], seed: int = 0
    ) -> PhaseClassifier:
        """Trained on the section's table and what was added to it: (formula, outcome).

        Raises:
            FileNotFoundError, ValueError: the table is unusable, or nothing can be learned from it.
        """
        from models import synthesizability  # all of scikit-learn's classifiers: only who asks for one waits for them

        outcomes = read_outcomes(section.table, host).joined(added_outcomes(added, host))
        model = synthesizability.fit(outcomes.descriptors, outcomes.pure, section.classifier, seed)
        return cls(section, outcomes, model)

    def probability(self, descriptors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) probability of a single phase, from `FOUR_DESCRIPTORS` (n, 4)."""
        from models import synthesizability

        return synthesizability.probability_pure(self.model, descriptors)

    def allowed(self, occupations: Sequence[Occupation], descriptors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) what may be proposed: what experiment found, else what the classifier says."""
        passes = self.probability(descriptors) >= self.section.threshold
        found = dict(zip(self.outcomes.occupations, self.outcomes.pure, strict=True))
        for i, occupation in enumerate(occupations):
            passes[i] = found.get(occupation, passes[i])
        return np.asarray(passes)

    def __str__(self) -> str:
        pure = int(self.outcomes.pure.sum())
        return f"{self.section.classifier} on {pure} pure and {len(self.outcomes) - pure} impure compositions"
