"""The electrode space of Shim et al., Batteries & Supercaps (2024), doi 10.1002/batt.202400186.

One or two metals share the substituted sublattice of a host, in every ratio of whole sites, and the host is taken at
several mobile-ion contents. The metals stay where they are while the mobile ions go in and out, so an arrangement of
metals is the same at every content, and a voltage compares like with like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from agent.arrangements import (
    Pattern,
    Permutation,
    distinct_patterns,
    equivalent_patterns,
    site_permutations,
)
from agent.hosts import Host
from agent.ordering import ewald_matrix, mobile_occupations

#: Mobile ions per formula unit at which the paper computes energies (Na1 to Na4).
CONTENTS = (1, 2, 3, 4)


@dataclass(frozen=True, order=True)
class Metals:
    """What fills the substituted sublattice: (element, sites of the cell), sorted by element."""

    amounts: tuple[tuple[str, int], ...]

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(element for element, _ in self.amounts)

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(count for _, count in self.amounts)

    def name(self, host: Host) -> str:
        """Amounts per formula unit: "Cu0.5Mo1.5"."""
        return "".join(f"{element}{count / host.formula_units:g}" for element, count in self.amounts)


def metals_of(host: Host, amounts: Mapping[str, int]) -> Metals:
    """Metals from whole sites by element.

    Raises:
        ValueError: an element that the host has no valence for, or not exactly all sites.
    """
    for element in amounts:
        _require_metal(host, element)
    if sum(amounts.values()) != host.n_substituted_sites or min(amounts.values(), default=0) < 1:
        raise ValueError(
            f"{dict(amounts)}: the metals must fill the {host.n_substituted_sites} {host.substituted} sites of "
            f"{host.name} exactly, at least one site each"
        )
    return Metals(tuple(sorted(amounts.items())))


def parse_metals(host: Host, text: str) -> Metals:
    """Metals from amounts per formula unit, as the paper writes them: "Cu0.5Mo1.5", "V2", or "V" for all sites.

    Raises:
        ValueError: not such a text, an unknown metal, or amounts that are no whole sites of the cell.
    """
    parts = re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", text)
    if not parts or "".join(element + amount for element, amount in parts) != text:
        raise ValueError(f"{text!r}: write metals as amounts per formula unit, for example Cu0.5Mo1.5")
    if len(parts) == 1 and not parts[0][1]:
        return metals_of(host, {parts[0][0]: host.n_substituted_sites})
    amounts: dict[str, int] = {}
    for element, amount in parts:
        _require_metal(host, element)
        sites = float(amount or 1) * host.formula_units
        if abs(sites - round(sites)) > 1e-6:
            raise ValueError(f"{text!r}: {amount} {element} is no multiple of {1 / host.formula_units:g}, one site")
        amounts[element] = amounts.get(element, 0) + round(sites)
    return metals_of(host, amounts)


def _require_metal(host: Host, element: str) -> None:
    if element not in host.valences:
        raise ValueError(
            f"{element!r} is none of the metals of {host.name}; allowed: {' '.join(sorted(host.valences))}"
        )


def compounds(host: Host, metals: Sequence[str] | None = None) -> Iterator[Metals]:
    """All unary and binary compounds of some metals (default: all that the host lists), unary ones first."""
    names = sorted(set(host.valences if metals is None else metals))
    sites = host.n_substituted_sites
    for name in names:
        yield metals_of(host, {name: sites})
    for first, second in combinations(names, 2):
        for count in range(1, sites):
            yield metals_of(host, {first: count, second: sites - count})


@dataclass(frozen=True)
class Arrangement:
    """One symmetry-distinct arrangement of metals.

    Attributes:
        name: "Cu0.5Mo1.5#3", the fourth arrangement of this compound.
        symbols: the element on every substituted site, in the host's order of sites.
        multiplicity: how many arrangements are equivalent to it.
    """

    metals: Metals
    name: str
    symbols: tuple[str, ...]
    multiplicity: int


class ElectrodeSpace:
    """A host at several mobile-ion contents, and the arrangements of metals that differ at any of them.

    Args:
        host: with the metals' list in `valences`.
        contents: mobile ions per formula unit.
        ranks: which arrangement of the mobile ions is taken at a content: 0 (default) that of lowest Ewald energy,
            1 the next symmetry-distinct one, ...
    """

    def __init__(self, host: Host, contents: Sequence[float] = CONTENTS, ranks: Mapping[float, int] | None = None):
        if len(set(contents)) < 2:
            raise ValueError(f"contents {list(contents)}: a voltage needs at least two different ones")
        self.host, self.contents = host, tuple(sorted(set(contents)))
        self.templates = self._templates(dict(ranks or {}))

    def ions(self, content: float) -> int:
        """Mobile ions in the cell at a content per formula unit.

        Raises:
            ValueError: no whole number, or more than there are sites.
        """
        ions = content * self.host.formula_units
        if abs(ions - round(ions)) > 1e-6 or not 0 <= round(ions) <= self.host.n_mobile_sites:
            most = self.host.n_mobile_sites / self.host.formula_units
            step = 1 / self.host.formula_units
            raise ValueError(
                f"{self.host.mobile} content {content:g}: allowed are multiples of {step:g} from 0 to {most:g}"
            )
        return round(ions)

    def permutations(self, content: float) -> frozenset[Permutation]:
        """What the symmetry of the host with its ions at one content does to the substituted sites."""
        return metal_permutations(self.templates[content])

    @cached_property
    def common_permutations(self) -> frozenset[Permutation]:
        """Permutations of the substituted sites that are symmetries at every content."""
        groups = [self.permutations(content) for content in self.contents]
        return frozenset.intersection(*groups)

    def arrangements(self, metals: Metals) -> list[Arrangement]:
        """All arrangements of a compound that differ at any content, in a fixed order."""
        name = metals.name(self.host)
        return [
            Arrangement(
                metals, f"{name}#{number}", tuple(metals.elements[c] for c in pattern.colours), pattern.multiplicity
            )
            for number, pattern in enumerate(self._patterns(metals.counts))
        ]

    def _patterns(self, counts: tuple[int, ...]) -> list[Pattern]:
        if counts not in self._known:
            self._known[counts] = distinct_patterns(self.common_permutations, counts)
        return self._known[counts]

    @cached_property
    def _known(self) -> dict[tuple[int, ...], list[Pattern]]:
        return {}

    def _templates(self, ranks: dict[float, int]) -> dict[float, Atoms]:
        """The host at every content, its ions placed so that as many symmetries as possible are common to all.

        Which of the equivalent placements is taken does not matter to one content alone; to all of them together it
        does, because ions on the same sites at neighbouring contents spare the host a rearrangement.
        """
        if unknown := set(ranks) - set(self.contents):
            raise ValueError(f"ranks for contents {sorted(unknown)}; allowed are {list(self.contents)}")
        templates: dict[float, Atoms] = {}
        common: frozenset[Permutation] | None = None
        for content in self.contents:
            best: tuple[int, Atoms, frozenset[Permutation]] | None = None
            for atoms in mobile_arrangements(self.host, self.ions(content), ranks.get(content, 0)):
                own = metal_permutations(atoms)
                shared = own if common is None else own & common
                if best is None or len(shared) > best[0]:
                    best = (len(shared), atoms, shared)
            assert best is not None, "mobile_arrangements gives at least one"
            templates[content], common = best[1], best[2]
        return templates


def metal_permutations(atoms: Atoms) -> frozenset[Permutation]:
    """What the symmetry of a host's cell (array "sublattice") does to its substituted sites."""
    return site_permutations(atoms, np.flatnonzero(atoms.arrays["sublattice"] == "substituted").tolist())


def mobile_arrangements(host: Host, ions: int, rank: int = 0) -> list[Atoms]:
    """All equivalent placements of the mobile ions in the arrangement of the given rank by Ewald energy.

    The substituted sites all carry the mean charge that makes the cell neutral, so that the placement belongs to the
    host and its content, whatever metals come. Vacant sites are left out; arrays "site" and "sublattice" stay.

    Raises:
        ValueError: there are not so many symmetry-distinct arrangements.
    """
    sites = host.sites()
    mobile = np.flatnonzero(sites.arrays["sublattice"] == "mobile")
    substituted = sites.arrays["sublattice"] == "substituted"
    ion = host.charges_e[host.mobile]
    charges = sites.get_initial_charges().astype(float)
    charges[mobile] = 0.0
    charges[substituted] = -(host.framework_charge_e + ions * ion) / substituted.sum()
    occupations, internal = mobile_occupations(host, ions)
    energy = internal + 2 * ion * occupations @ (ewald_matrix(host)[mobile] @ charges)
    group = site_permutations(sites, mobile.tolist())
    seen: set[tuple[int, ...]] = set()
    for row in np.argsort(energy):
        occupied = tuple(occupations[row].astype(int).tolist())
        if occupied in seen:
            continue
        equivalent = equivalent_patterns(group, occupied)
        seen.update(equivalent)
        if rank == 0:
            return [_with_ions(sites, mobile, np.array(one, dtype=bool)) for one in reversed(equivalent)]
        rank -= 1
    raise ValueError(f"{host.name} with {ions} {host.mobile}: no arrangement of this rank; there are fewer")


def _with_ions(sites: Atoms, mobile: NDArray[np.int64], occupied: NDArray[np.bool_]) -> Atoms:
    keep = np.ones(len(sites), dtype=bool)
    keep[mobile[~occupied]] = False
    atoms = sites[keep]
    atoms.set_initial_charges(None)
    return atoms


def decorated(template: Atoms, symbols: Sequence[str]) -> Atoms:
    """A copy of a template (arrays "sublattice") with these elements on its substituted sites."""
    atoms = template.copy()
    numbers = atoms.get_atomic_numbers()
    numbers[atoms.arrays["sublattice"] == "substituted"] = [atomic_numbers[symbol] for symbol in symbols]
    atoms.set_atomic_numbers(numbers)
    return atoms
