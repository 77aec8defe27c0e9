"""The paper's three rules for a sodium-excess cathode, and its ranking.

Shim et al., Batteries & Supercaps (2024), section 3.4: a compound stays if (1) the variation in its relaxation
energies is below 0.05 eV/atom, (2) its profile has step shape, V21 > V32 > V43, and (3) V21 lies between 3.49 and
3.90 V; what stays is ranked by the smallest (V21 - V43) / V43.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Rules(BaseModel):
    """The three rules; the defaults are the paper's.

    `relaxation_measure` says what "variation in relaxation energies" is. The paper does not define it: `spread`
    (default) is the largest minus the smallest over the contents, as its wording has it; `largest` is the largest
    relaxation energy itself, each being a variation of the formation energy by its equation 2 (the stricter reading).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_relaxation_eV_per_atom: float = Field(0.05, gt=0)
    relaxation_measure: Literal["spread", "largest"] = "spread"
    min_V21_V: float = 3.49
    max_V21_V: float = 3.90

    @model_validator(mode="after")
    def _window(self) -> Rules:
        if self.min_V21_V > self.max_V21_V:
            raise ValueError(f"the window of V21 is empty: {self.min_V21_V} V is above {self.max_V21_V} V")
        return self


#: Lower end of the operating window that the paper names beside its rules (2 to 4.3 V): V43 should lie above it.
OPERATING_MINIMUM_V = 2.0


@dataclass(frozen=True)
class Candidate:
    """What the rules look at.

    Attributes:
        name: of the arrangement ("Cu0.5Mo1.5#3").
        compound: that it belongs to ("Cu0.5Mo1.5").
        V21, V32, V43: mean voltages (V), None if there are none.
        relaxation_eV_per_atom: relaxation energies by content.
        problem: why there are no voltages ("" if there are).
    """

    name: str
    compound: str
    V21: float | None
    V32: float | None
    V43: float | None
    relaxation_eV_per_atom: Mapping[float, float]
    problem: str = ""


@dataclass(frozen=True)
class Screened:
    """A candidate and what the rules said.

    Attributes:
        reasons: why it was left out, one per rule that it breaks; empty if it stays.
        score: (V21 - V43) / V43, None if V43 is not above 0.
        rank: 1 for the best of those that stay, None for those left out.
    """

    candidate: Candidate
    reasons: tuple[str, ...]
    score: float | None
    rank: int | None = None

    @property
    def passed(self) -> bool:
        return not self.reasons


def relaxation_variation(energies_eV_per_atom: Mapping[float, float], measure: str) -> float:
    """`spread` or `largest` of relaxation energies by content, as in `Rules`."""
    values = list(energies_eV_per_atom.values())
    return max(values) - min(values) if measure == "spread" else max(values)


def flatness(V21: float, V43: float) -> float | None:
    """(V21 - V43) / V43, dimensionless; None where V43 is not above 0 and the ratio would rank nonsense first."""
    return (V21 - V43) / V43 if V43 > 0 else None


def judge(candidate: Candidate, rules: Rules) -> Screened:
    """Apply the three rules to one candidate. Bounds of the window belong to it; the others are strict."""
    V21, V32, V43 = candidate.V21, candidate.V32, candidate.V43
    if candidate.problem or V21 is None or V32 is None or V43 is None or not candidate.relaxation_eV_per_atom:
        return Screened(candidate, (candidate.problem or "no voltages or relaxation energies",), None)
    if not all(map(isfinite, (V21, V32, V43, *candidate.relaxation_eV_per_atom.values()))):
        return Screened(candidate, ("a voltage or relaxation energy is no finite number",), None)
    reasons = []
    variation = relaxation_variation(candidate.relaxation_eV_per_atom, rules.relaxation_measure)
    if not variation < rules.max_relaxation_eV_per_atom:
        reasons.append(
            f"relaxation: {rules.relaxation_measure} {variation:.3f} eV/atom, not below "
            f"{rules.max_relaxation_eV_per_atom:g}"
        )
    if not V21 > V32 > V43:
        reasons.append(f"no step shape: V21 {V21:.2f}, V32 {V32:.2f}, V43 {V43:.2f} V")
    if not rules.min_V21_V <= V21 <= rules.max_V21_V:
        reasons.append(f"V21 {V21:.2f} V, not in {rules.min_V21_V:g}-{rules.max_V21_V:g} V")
    score = flatness(V21, V43)
    if score is None:
        reasons.append(f"V43 {V43:.2f} V is not above 0: no ratio to rank by")
    return Screened(candidate, tuple(reasons), score)


def screen(candidates: Iterable[Candidate], rules: Rules | None = None) -> list[Screened]:
    """Judge all candidates: those that stay first, ranked, then those left out, in the order given.

    Every arrangement is judged by itself. A compound is ranked by its best arrangement (the paper's "minimum value"),
    so `rank` counts compounds: only the best arrangement of each carries one.
    """
    judged = [judge(candidate, rules or Rules()) for candidate in candidates]
    stay = sorted((one for one in judged if one.passed), key=lambda one: (one.score, one.candidate.name))
    ranked: list[Screened] = []
    compounds: set[str] = set()
    for one in stay:
        new = one.candidate.compound not in compounds
        compounds.add(one.candidate.compound)
        ranked.append(Screened(one.candidate, (), one.score, len(compounds) if new else None))
    return ranked + [one for one in judged if not one.passed]
