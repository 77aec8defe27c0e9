"""A composition: what sits on the substituted sublattice of a host's cell, and the mobile ions that balance it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


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

    @property
    def key(self) -> str:
        """Unique within all hosts, readable, stable: "nzsp:Ge1+4.Nb1+5.Sc1+3.Sn1+4.Zr4+4:12"."""
        charge = dict(self.valences)
        sites = ".".join(f"{element}{count}+{charge[element]}" for element, count in self.amounts)
        return f"{self.host}:{sites}:{self.mobile}"

    def seed(self, ordering: int, campaign_seed: int = 0) -> int:
        """63-bit seed of the given ordering of this composition (DESIGN.md, rules 6 and 8)."""
        text = f"{self.key}|{ordering}|{campaign_seed}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
