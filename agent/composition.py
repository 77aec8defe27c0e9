"""A composition: what sits on the substituted sublattice of a host's cell, and the mobile ions that balance
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from agent.hosts import Host


@dataclass(frozen=True, order=True)
class Composition:
    """Amounts are whole sites of the host's computational cell (for NASICON: of its 8 Zr sites).

    Attributes:
        host: the host's name.
        amounts: (element, number of sites), sorted by element; together they fill the substituted sublattice.
        valences: (element, formal charge in e), the valence each one has here, same order.
        mobile: number of mobile ions in the cell that makes it neutral.
    """

    host: str
    amounts: tuple[tuple[str, int], ...]
    valences: tuple[tuple[str, int], ...]
    mobile: int

    @classmethod
    def of(cls, host: Host, amounts: Mapping[str, int], valences: Mapping[str, int] | None = None) -> Self:
        """The neutral composition with these sites per element; the host's element fills what is left over.

        Args:
            host: the host.
            amounts: whole sites by element; `host.substituted` may be left out.
            valences: formal charge (e) by element where it is not the host's preferred one.

        Raises:
            ValueError: more sites than the sublattice has, an unknown element, or no number of mobile ions
                between 0 and the number of mobile sites makes it neutral.
        """
        filled = {e: int(n) for e, n in amounts.items() if n}
        if min(filled.values(), default=1) < 0:
            raise ValueError(f"{dict(amounts)}: amounts are whole sites and never negative")
        rest = host.n_substituted_sites - sum(filled.values())
        if rest < 0:
            raise ValueError(
                f"{dict(amounts)}: {sum(filled.values())} sites asked for, {host.name} has "
                f"{host.n_substituted_sites} {host.substituted} sites"
            )
        if rest:
            filled[host.substituted] = filled.get(host.substituted, 0) + rest
        charges = {e: (valences or {}).get(e, host.valences_of(e)[0]) for e in filled}
        mobile = host.mobile_for(sum(charges[e] * n for e, n in filled.items()))
        if not 0 <= mobile <= host.n_mobile_sites:
            raise ValueError(
                f"{dict(amounts)}: neutral only with {mobile} {host.mobile}, and {host.name} has "
                f"{host.n_mobile_sites} {host.mobile} sites"
            )
        order = sorted(filled)
        return cls(
            host.name,
            tuple((e, filled[e]) for e in order),
            tuple((e, charges[e]) for e in order),
            mobile,
        )

    @property
    def key(self) -> str:
        """Unique within all hosts, readable, stable: "nzsp:Ge1+4.Nb1+5.Sc1+3.Sn1+4.Zr4+4:12"."""
        charge = dict(self.valences)
        sites = ".".join(f"{element}{count}+{charge[element]}" for element, count in self.amounts)
        return f"{self.host}:{sites}:{self.mobile}"

    @classmethod
    def from_key(cls, key: str) -> Self:
        """The composition that `key` was made of.

        Raises:
            ValueError: `key` is not such a key.
        """
        try:
            host, sites, mobile = key.split(":")
            parts = [part.rpartition("+") for part in sites.split(".")]
            split = [(head.rstrip("0123456789"), head, int(charge)) for head, _, charge in parts]
            amounts = tuple((element, int(head.removeprefix(element))) for element, head, _ in split)
            valences = tuple((element, charge) for element, _, charge in split)
            return cls(host, amounts, valences, int(mobile))
        except ValueError as error:
            raise ValueError(f"{key!r} is no composition key such as 'nzsp:Sn1+4.Zr7+4:12'") from error

    def seed(self, ordering: int, campaign_seed: int = 0) -> int:
        """63-bit seed of the given ordering of this composition (DESIGN.md, rules 6 and 8)."""
        text = f"{self.key}|{ordering}|{campaign_seed}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    @property
    def charge_e(self) -> int:
        """Total charge (e) of the substituted sublattice of the cell."""
        charge = dict(self.valences)
        return sum(charge[element] * count for element, count in self.amounts)

    @property
    def entropy_R(self) -> float:
        """Configurational entropy of the substituted sublattice, -sum(x ln x), in units of the gas constant
        R.

        Source: Fu et al. (LZSP), table S2; >= 1.5 is high, 1 to 1.5 medium, below 1 low entropy.
        """
        fractions = np.array([count for _, count in self.amounts], dtype=float)
        fractions /= fractions.sum()
        return float(-(fractions * np.log(fractions)).sum())

    def dopants(self, host: Host) -> tuple[str, ...]:
        """Elements on the substituted sublattice other than the host's own, sorted."""
        return tuple(element for element, _ in self.amounts if element != host.substituted)

    def mobile_per_formula(self, host: Host) -> float:
        """Mobile ions per formula unit."""
        return self.mobile / host.formula_units

    def formula(self, host: Host) -> str:
        """Formula per formula unit: "Na3Zr1Ge0.25Nb0.25Sc0.25Sn0.25Si2PO12"; the host's element comes
        first.
        """
        units = host.formula_units
        ordered = sorted(self.amounts, key=lambda item: (item[0] != host.substituted, item[0]))
        metals = "".join(f"{element}{count / units:g}" for element, count in ordered)
        return f"{host.mobile}{self.mobile / units:g}{metals}{host.framework_formula}"
