"""A formula as people write it, "Na3.5Zr1Ti0.5Lu0.5Si2PO12", read against a host: who sits where dopants do.

A `Composition` counts whole sites of a computational cell; formulas of experiments need not fit one (0.1 of 2 Zr is a
site in twenty), and for what depends on shares alone they need not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agent.composition import Composition
from agent.descriptors import ion_properties
from agent.elements import require_element
from agent.hosts import Host

Floats = NDArray[np.float64]

#: Amounts of a formula that differ by less are the same.
TOLERANCE = 2e-3
#: The descriptors of Zuo et al. (EES 19, 860 (2026)), means over the substituted sublattice, and its entropy.
FOUR_DESCRIPTORS = ("radius_pm", "electronegativity", "valence_e", "entropy_R")
#: Shares are rounded to so many digits, so that a composition written in two ways is one.
DIGITS = 6
TOKEN = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")


@dataclass(frozen=True)
class Occupation:
    """What the substituted sublattice holds: (element, share, valence in e), the shares summing to 1, sorted."""

    ions: tuple[tuple[str, float, int], ...]

    @classmethod
    def of(cls, composition: Composition) -> Occupation:
        total = sum(count for _, count in composition.amounts)
        charge = dict(composition.valences)
        return cls(tuple((e, round(count / total, DIGITS), charge[e]) for e, count in composition.amounts))

    @property
    def entropy_R(self) -> float:
        """-sum(x ln x), in units of the gas constant R."""
        shares = np.array([share for _, share, _ in self.ions])
        return float(-(shares * np.log(shares)).sum()) + 0.0  # no negative zero

    def descriptors(self) -> tuple[float, float, float, float]:
        """`FOUR_DESCRIPTORS`: mean Shannon radius (sixfold, pm), Pauling electronegativity, valence (e); entropy."""
        shares = np.array([share for _, share, _ in self.ions])
        properties = np.array([ion_properties(element, valence) for element, _, valence in self.ions])
        radius_A, electronegativity = shares @ properties
        valence = sum(share * charge for _, share, charge in self.ions)
        return 100 * float(radius_A), float(electronegativity), float(valence), self.entropy_R


def descriptor_table(occupations: Iterable[Occupation]) -> Floats:
    """(n, 4) `FOUR_DESCRIPTORS`."""
    return np.array([one.descriptors() for one in occupations]).reshape(-1, 4)


def read_formula(text: str, host: Host) -> Occupation:
    """The occupation that a formula, or a composition key of this host, describes.

    Valences are the allowed ones that make the formula neutral, preferred ones first.

    Raises:
        ValueError: an unknown element, another framework than the host's, the wrong number of substituted ions per
            formula unit, or no allowed valences that make it neutral.
    """
    if ":" in text:
        composition = Composition.from_key(text)
        if composition.host != host.name:
            raise ValueError(f"composition {text!r}: belongs to host {composition.host}, not {host.name}")
        return Occupation.of(composition)
    amounts = parse_amounts(text)
    for element, needed in parse_amounts(host.framework_formula).items():
        if abs(amounts.pop(element, 0.0) - needed) > TOLERANCE:
            raise ValueError(f"formula {text!r}: has not the framework {host.framework_formula} of host {host.name}")
    mobile = amounts.pop(host.mobile, 0.0)
    per_formula = host.n_substituted_sites / host.formula_units
    if abs(sum(amounts.values()) - per_formula) > TOLERANCE:
        raise ValueError(
            f"formula {text!r}: {sum(amounts.values()):g} ions on the {host.substituted} sublattice of {host.name}; "
            f"{per_formula:g} are needed"
        )
    elements = sorted(amounts)
    options = list(product(*(host.valences_of(element) for element in elements)))
    missing = -(host.framework_charge_e / host.formula_units + mobile * host.charges_e[host.mobile])
    for valences in sorted(options, key=lambda chosen: _preference(host, elements, chosen)):
        if abs(sum(amounts[e] * v for e, v in zip(elements, valences, strict=True)) - missing) <= 4 * TOLERANCE:
            shares = (round(amounts[e] / per_formula, DIGITS) for e in elements)
            return Occupation(tuple(zip(elements, shares, valences, strict=True)))
    charge = sum(amounts[e] * v for e, v in zip(elements, options[0], strict=True))
    neutral = (-host.framework_charge_e / host.formula_units - charge) / host.charges_e[host.mobile]
    ions = [f"{element}{valence:+d}" for element, valence in zip(elements, options[0], strict=True)]
    raise ValueError(f"formula {text!r}: not neutral with {', '.join(ions)}; {host.mobile}{neutral:g} would be")


def parse_amounts(text: str) -> dict[str, float]:
    """Element -> amount of a formula without brackets.

    Raises:
        ValueError: not a formula, or an element that does not exist.
    """
    compact = text.replace(" ", "")
    parts = TOKEN.findall(compact)
    if not parts or "".join(element + amount for element, amount in parts) != compact:
        raise ValueError(f"formula {text!r}: expected elements and amounts such as Na3.5Zr1Ti0.5Lu0.5Si2PO12")
    amounts: dict[str, float] = {}
    for element, amount in parts:
        try:
            require_element(element)
            number = float(amount) if amount else 1.0
        except ValueError as error:
            raise ValueError(f"formula {text!r}: {error}") from error
        if number > 0:
            amounts[element] = amounts.get(element, 0.0) + number
    return amounts


def _preference(host: Host, elements: list[str], valences: tuple[int, ...]) -> int:
    return sum(host.valences_of(e).index(v) for e, v in zip(elements, valences, strict=True))
