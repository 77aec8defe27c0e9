"""The composition space: generators that stream candidates, a funnel of named filters, and what is left.

Candidates travel as blocks of integer arrays (65,536 at a time), never as structures and never all at once:
C(45,4) = 148,995 takes a second, and memory stays that of one block plus what passes. A space too large to
enumerate is sampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, pairwise, permutations
from math import comb
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.composition import Composition
from agent.elements import candidates, require_element
from agent.filters import (
    Block,
    ChargeBalance,
    ElementExclusion,
    FilterConfig,
    RadiusMismatch,
)
from agent.hosts import Host

BLOCK_ROWS = 65_536

#: Site-proportion types of Fu et al. (LZSP), table S2, in sixteenths of the substituted sublattice; the
#: host's element comes first.
PROPORTION_TYPES: dict[str, tuple[int, ...]] = {
    "3-1": (6, 5, 5),
    "3-2": (6, 6, 4),
    "3-3": (7, 5, 4),
    "4-1": (4, 4, 4, 4),
    "4-2": (5, 4, 4, 3),
    "4-3": (5, 5, 3, 3),
    "5-1": (4, 3, 3, 3, 3),
    "5-2": (4, 4, 3, 3, 2),
    "5-3": (5, 3, 3, 3, 2),
    "6-1": (3, 3, 3, 3, 2, 2),
    "6-2": (4, 2, 2, 2, 3, 3),
    "6-3": (4, 4, 2, 2, 2, 2),
    "7-1": (3, 3, 2, 2, 2, 2, 2),
    "7-2": (4, 2, 2, 2, 2, 2, 2),
    "7-3": (4, 3, 2, 2, 2, 2, 1),
    "8-1": (2, 2, 2, 2, 2, 2, 2, 2),
    "8-2": (3, 2, 2, 2, 2, 2, 2, 1),
    "8-3": (3, 3, 2, 2, 2, 2, 1, 1),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Equimolar(_Strict):
    """Every set of `dopants` elements in equal amounts; the host's element keeps the rest."""

    kind: Literal["equimolar"] = "equimolar"
    dopants: int = Field(4, ge=1, le=12, description="Number of different dopants in a composition.")
    sites_per_dopant: int = Field(1, ge=1, description="Substituted sites of the cell that each dopant takes.")

    def patterns(self, host: Host) -> list[tuple[int, ...]]:
        rest = host.n_substituted_sites - self.dopants * self.sites_per_dopant
        if rest < 0:
            raise ValueError(
                f"space.generator: {self.dopants} dopants on {self.sites_per_dopant} sites each need "
                f"{self.dopants * self.sites_per_dopant} sites; {host.name} has {host.n_substituted_sites}"
            )
        return [(rest, *([self.sites_per_dopant] * self.dopants))]


class Proportions(_Strict):
    """Unequal amounts, by the LZSP paper's type names or as sites of the cell (the host's element first)."""

    kind: Literal["proportions"] = "proportions"
    types: list[str] = Field(default=["4-1"], description=f"Any of {', '.join(PROPORTION_TYPES)}.")
    sites: list[list[int]] = Field(
        default_factory=list,
        description="Further proportions, e.g. [[4, 2, 2]]: sites of host element, dopants.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.types:
            if name not in PROPORTION_TYPES:
                raise ValueError(f"types: {name!r} is not one of {', '.join(PROPORTION_TYPES)}")
        return self

    def patterns(self, host: Host) -> list[tuple[int, ...]]:
        total = host.n_substituted_sites
        found: list[tuple[int, ...]] = []
        for name in self.types:
            sixteenths = np.array(PROPORTION_TYPES[name])
            if (sixteenths * total % 16).any():
                raise ValueError(f"space.generator: type {name} needs 16 substituted sites; {host.name} has {total}")
            found.append(tuple(int(n) for n in sixteenths * total // 16))
        for counts in self.sites:
            if sum(counts) != total or min(counts[1:], default=0) < 1:
                raise ValueError(f"space.generator: sites {counts} must be positive and sum to {total}")
            found.append(tuple(counts))
        return found


class Binary(_Strict):
    """One or two elements that replace the host's element entirely, in the ratios 1/7 ... 7/1 (Shim et al.,
    NVPF).
    """

    kind: Literal["binary"] = "binary"
    unary: bool = Field(True, description="Include the compositions of a single element.")

    def patterns(self, host: Host) -> list[tuple[int, ...]]:
        total = host.n_substituted_sites
        alone: list[tuple[int, ...]] = [(0, total)] if self.unary else []
        # For an unordered pair, (i, total - i) and its mirror image are one pattern with two assignments.
        return alone + [(0, i, total - i) for i in range(1, total // 2 + 1)]


GeneratorConfig = Annotated[Equimolar | Proportions | Binary, Field(discriminator="kind")]


class SpaceConfig(_Strict):
    """Which compositions a campaign may propose."""

    candidates: list[str] = Field(
        default_factory=lambda: list(candidates().valences),
        description="Elements that may sit on the substituted sublattice. Default: the 45 candidates.",
        min_length=1,
    )
    generator: GeneratorConfig = Field(default_factory=Equimolar, description="How they are combined.")
    filters: list[FilterConfig] = Field(
        default_factory=lambda: list[FilterConfig]((ElementExclusion(), RadiusMismatch(), ChargeBalance())),
        description="Applied in this order; each is counted.",
    )
    sample: int | None = Field(
        None, ge=1, description="Draw so many candidates at random instead of enumerating all of them."
    )
    seed: int = Field(0, ge=0, description="Seed of the sample.")

    @model_validator(mode="after")
    def _elements(self) -> Self:
        for element in self.candidates:
            require_element(element)
        if len(set(self.candidates)) != len(self.candidates):
            twice = sorted({e for e in self.candidates if self.candidates.count(e) > 1})
            raise ValueError(f"candidates: {', '.join(twice)} listed twice")
        return self


@dataclass(frozen=True)
class FunnelStep:
    """How many compositions are left after a step, and why the others went."""

    name: str
    count: int
    why: str


@dataclass(frozen=True)
class Space:
    """The compositions that passed, in the order of their generation, and the funnel that made them."""

    host: Host
    config: SpaceConfig
    funnel: list[FunnelStep]
    blocks: list[Block] = field(repr=False)

    def __len__(self) -> int:
        return sum(len(block) for block in self.blocks)

    def __iter__(self) -> Iterator[Composition]:
        for block in self.blocks:
            yield from block.compositions()

    @property
    def compositions(self) -> list[Composition]:
        """All of them as objects: about 1 kB each, so iterate over the space itself if it is large."""
        return list(self)


def build_space(host: Host, config: SpaceConfig | None = None) -> Space:
    """Generate, filter and count.

    Raises:
        ValueError: nothing passes (the message names the filter that emptied the space), or the configuration
            does not fit the host.
    """
    config = config or SpaceConfig()
    _check_host_element(host, config)
    size = count_candidates(host, config)
    rules = list(config.filters)
    if not any(isinstance(rule, ChargeBalance) for rule in rules):  # what cannot be neutral cannot be built
        rules.append(ChargeBalance(window=(0, host.n_mobile_sites / host.formula_units)))
    seen = [0] * (len(rules) + 1)
    kept: list[Block] = []
    for block in _stream(host, config):
        seen[0] += len(block)
        block = block.with_valences(host)
        for step, rule in enumerate(rules, start=1):
            block = block.select(rule.keep(block, host))
            seen[step] += block.n_candidates
        block = block.preferred()
        if len(block):
            kept.append(block)
    funnel = [FunnelStep("candidates", seen[0], _generated(config, size))]
    funnel += [FunnelStep(f.name, n, f.why(host)) for f, n in zip(rules, seen[1:], strict=True)]
    if funnel[0].count == 0:
        raise ValueError(
            f"the composition space is empty: {len(config.candidates)} candidates are too few for the generator"
        )
    for before, after in pairwise(funnel):
        if after.count == 0:
            raise ValueError(
                f"the composition space is empty: filter {after.name!r} ({after.why}) left none of {before.count:,}; "
                "loosen it or name more candidates"
            )
    return Space(host, config, funnel, kept)


def count_candidates(host: Host, config: SpaceConfig) -> int:
    """Size of the space before any filter, without enumerating it."""
    n = len(config.candidates)
    return sum(
        comb(n, len(pattern) - 1) * len(_assignments(pattern[1:])) for pattern in config.generator.patterns(host)
    )


def _check_host_element(host: Host, config: SpaceConfig) -> None:
    """The element that keeps the rest of the sites cannot be one of the dopants too."""
    if host.substituted in config.candidates and any(rest for rest, *_ in config.generator.patterns(host)):
        raise ValueError(
            f"space.candidates: {host.substituted} keeps the sites of {host.name} that no dopant takes, so it cannot "
            "be a dopant too; leave it out"
        )


def _generated(config: SpaceConfig, size: int) -> str:
    what = f"{config.generator.kind} combinations of {len(config.candidates)} candidate elements"
    return what if config.sample is None else f"{config.sample:,} sampled of {size:,} {what}"


def _assignments(counts: Sequence[int]) -> NDArray[np.int64]:
    """Distinct ways of giving these site counts to an ordered set of elements."""
    return np.array(sorted(set(permutations(counts)), reverse=True), dtype=np.int64)


def _stream(host: Host, config: SpaceConfig) -> Iterator[Block]:
    names = np.array(sorted(config.candidates))
    patterns = config.generator.patterns(host)
    if config.sample is not None and config.sample < count_candidates(host, config):
        yield from _sampled(names, patterns, config.sample, config.seed)
        return
    for pattern in patterns:
        k = len(pattern) - 1
        ways = _assignments(pattern[1:])
        subsets = combinations(range(len(names)), k)
        rows = max(1, BLOCK_ROWS // len(ways))
        while chunk := list(islice(subsets, rows)):
            index = np.repeat(np.array(chunk, dtype=np.int64), len(ways), axis=0)
            yield Block.raw(names, pattern[0], index, np.tile(ways, (len(chunk), 1)))


def _sampled(names: NDArray[np.str_], patterns: Sequence[tuple[int, ...]], n: int, seed: int) -> Iterator[Block]:
    """`n` distinct candidates, uniform over the space, in constant memory beside the sample itself."""
    rng = np.random.default_rng(seed)
    ways = [_assignments(pattern[1:]) for pattern in patterns]
    sizes = np.array([comb(len(names), len(p) - 1) * len(w) for p, w in zip(patterns, ways, strict=True)], float)
    seen: set[tuple[int, ...]] = set()
    while len(seen) < n:
        for which, want in enumerate(rng.multinomial(n - len(seen), sizes / sizes.sum())):
            k = len(patterns[which]) - 1
            index = np.sort(np.argsort(rng.random((want, len(names))), axis=1)[:, :k], axis=1)
            counts = ways[which][rng.integers(len(ways[which]), size=want)]
            rows = [(which, *i, *c) for i, c in zip(index.tolist(), counts.tolist(), strict=True)]
            first = {row: r for r, row in reversed(list(enumerate(rows))) if row not in seen}
            seen.update(first)
            new = sorted(first.values())
            if new:
                yield Block.raw(names, patterns[which][0], index[new], counts[new])
