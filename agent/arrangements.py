"""Symmetry-distinct arrangements of elements on a host's sites, with exact counts.

Two arrangements are the same if an operation of the space group carries one into the other. bsym (Morgan, J. Open
Source Softw. 2, 370 (2017)) finds the permutations of the sites and one arrangement per class; Burnside's lemma
counts the classes by another way, without listing any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import factorial, prod
from typing import Any

import numpy as np
from ase import Atoms

#: One row per operation: site i goes to site permutation[i].
Permutation = tuple[int, ...]
#: Fractional distance under which an operation carries a site onto another.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Pattern:
    """An arrangement of colours 0, 1, ... on the sites, and how many arrangements are equivalent to it."""

    colours: tuple[int, ...]
    multiplicity: int


def site_permutations(atoms: Atoms, sites: Sequence[int]) -> frozenset[Permutation]:
    """What the space group of `atoms` does to some of its sites, each permutation once.

    Sites are numbered by their place in `sites`.

    Raises:
        ImportError: bsym is not installed.
        ValueError: the sites are not mapped onto themselves.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    group = _bsym().interface.pymatgen.space_group_from_structure(
        AseAtomsAdaptor.get_structure(atoms), subset=list(sites), atol=TOLERANCE
    )
    return frozenset(tuple(operation.as_vector(count_from_zero=True)) for operation in group.symmetry_operations)


def distinct_patterns(permutations: Iterable[Permutation], counts: Sequence[int]) -> list[Pattern]:
    """One pattern of every class in which colour i occurs `counts[i]` times, in lexicographic order.

    Cost: grows with the number of all patterns, n! / prod(counts!) (70 for 4 + 4 sites).
    """
    bsym = _bsym()
    operations = [
        bsym.SymmetryOperation.from_vector([target + 1 for target in permutation])
        for permutation in sorted(permutations)
    ]
    space = bsym.ConfigurationSpace(
        objects=list(range(sum(counts))), symmetry_group=bsym.SymmetryGroup(symmetry_operations=operations)
    )
    found = space.unique_configurations({colour: count for colour, count in enumerate(counts) if count})
    patterns = [Pattern(tuple(int(colour) for colour in one.tolist()), one.count) for one in found]
    return sorted(patterns, key=lambda pattern: pattern.colours)


def burnside_count(permutations: Iterable[Permutation], counts: Sequence[int]) -> int:
    """Number of classes: the mean over all operations of the number of patterns that each leaves as they are.

    An operation leaves a pattern as it is if every cycle of it has one colour.
    """
    group = list(permutations)
    fixed = sum(_colourings(tuple(sorted(_cycles(permutation))), tuple(counts)) for permutation in group)
    classes, rest = divmod(fixed, len(group))
    if rest:
        raise ValueError("the permutations are no group: Burnside's sum is not a multiple of their number")
    return classes


def all_patterns(counts: Sequence[int]) -> int:
    """Number of patterns without any symmetry."""
    return factorial(sum(counts)) // prod(factorial(count) for count in counts)


def _cycles(permutation: Permutation) -> list[int]:
    """Lengths of a permutation's cycles."""
    seen: set[int] = set()
    lengths = []
    for start in range(len(permutation)):
        length, place = 0, start
        while place not in seen:
            seen.add(place)
            place = permutation[place]
            length += 1
        if length:
            lengths.append(length)
    return lengths


def _colourings(cycles: tuple[int, ...], counts: tuple[int, ...]) -> int:
    """Ways to give every cycle one colour so that colour i covers counts[i] sites."""
    ways: Counter[tuple[int, ...]] = Counter({counts: 1})
    for length in cycles:
        after: Counter[tuple[int, ...]] = Counter()
        for left, number in ways.items():
            for colour, room in enumerate(left):
                if room >= length:
                    after[*left[:colour], room - length, *left[colour + 1 :]] += number
        ways = after
    return ways[(0,) * len(counts)]


def equivalent_patterns(permutations: Iterable[Permutation], colours: Sequence[int]) -> list[tuple[int, ...]]:
    """All patterns that the operations make of one, sorted."""
    values = np.asarray(colours)
    return sorted({tuple(values[list(permutation)].tolist()) for permutation in permutations})


def _bsym() -> Any:
    try:
        import bsym
        import bsym.interface.pymatgen
    except ModuleNotFoundError as error:
        raise ImportError(
            f"arrangements need {error.name}: pip install 'ionloop[electrodes]' (or pip install bsym)"
        ) from error
    return bsym
