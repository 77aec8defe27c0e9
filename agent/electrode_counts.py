"""How many compounds and arrangements the electrode space has, counted twice, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb

from agent.arrangements import Permutation, burnside_count, distinct_patterns
from agent.electrodes import ElectrodeSpace, metal_permutations

#: Shim et al. (2024), section 3.2: 30 metals, eight sites.
PAPER_METALS = 30
PAPER_COMPOUNDS = 3_480
PAPER_STRUCTURES = 87_870
#: Name of the symmetry that all contents share.
COMMON = "all contents"


@dataclass(frozen=True)
class Counted:
    """Symmetry-distinct arrangements of a second metal on 1, 2, ..., n - 1 of n sites under one symmetry.

    Attributes:
        symmetry: in words.
        operations: distinct permutations of the sites.
        by_ratio: arrangements for 1/(n-1), 2/(n-2), ... sites, listed one by one (bsym).
        by_burnside: the same, counted by Burnside's lemma.
    """

    symmetry: str
    operations: int
    by_ratio: tuple[int, ...]
    by_burnside: tuple[int, ...]

    @property
    def per_pair(self) -> int:
        """Arrangements of all ratios of two given metals."""
        return sum(self.by_ratio)

    @property
    def per_ordered_pair(self) -> int:
        """Arrangements of the ratios 1/(n-1) to (n/2)/(n/2), the half of them that an ordered pair stands for."""
        return sum(self.by_ratio[: (len(self.by_ratio) + 1) // 2])

    def structures(self, metals: int) -> int:
        """Arrangements of all unary and binary compounds of some metals."""
        return metals + comb(metals, 2) * self.per_pair


def compound_count(metals: int, sites: int) -> int:
    """Unary and binary compounds of some metals on some sites, each once: m + C(m, 2) (n - 1)."""
    return metals + comb(metals, 2) * (sites - 1)


def paper_convention(metals: int, sites: int, contents: Sequence[Counted]) -> tuple[int, int]:
    """Compounds and structures in the convention that the paper's figures follow.

    Its 3,480 compounds are 30 * 29 ordered pairs times the four ratios 1/7, 2/6, 3/5, 4/4: every 4/4 compound counts
    twice and no unary one counts. Its structures are those of every content added up, over the same pairs and ratios.
    """
    ordered = metals * (metals - 1)
    return ordered * (sites // 2), ordered * sum(one.per_ordered_pair for one in contents)


def counted(symmetry: str, permutations: Iterable[Permutation], sites: int) -> Counted:
    """Count the arrangements of two metals under one group of permutations."""
    group = frozenset(permutations)
    ratios: Sequence[tuple[int, int]] = [(sites - count, count) for count in range(1, sites)]
    return Counted(
        symmetry,
        len(group),
        tuple(len(distinct_patterns(group, ratio)) for ratio in ratios),
        tuple(burnside_count(group, ratio) for ratio in ratios),
    )


def count_all(space: ElectrodeSpace) -> list[Counted]:
    """Counts without symmetry, for the bare framework, for every content, and for all contents together."""
    host, sites = space.host, space.host.n_substituted_sites
    identity = tuple(range(sites))
    groups = {"none": frozenset({identity}), "bare host": metal_permutations(host.sites())}
    groups |= {f"{host.mobile}{content:g}": space.permutations(content) for content in space.contents}
    groups[COMMON] = space.common_permutations
    return [counted(symmetry, group, sites) for symmetry, group in groups.items()]
