"""Exact counts: enumeration by bsym against Burnside's lemma and against brute force."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.arrangements import (
    all_patterns,
    burnside_count,
    distinct_patterns,
    equivalent_patterns,
    site_permutations,
)
from agent.hosts import load_host


def generated(generators, n):
    """The group that some permutations generate."""
    group = {tuple(range(n))}
    while True:
        more = {tuple(g[i] for i in p) for p in group for g in generators} | group
        if more == group:
            return frozenset(group)
        group = more


groups = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.permutations(range(n)).map(tuple), min_size=1, max_size=2).map(
        lambda generators: (n, generated(generators, n))
    )
)


@given(groups, st.data())
@settings(max_examples=60, deadline=None)
def test_enumeration_is_burnside_is_brute_force(group, data):
    n, operations = group
    first = data.draw(st.integers(0, n))
    second = data.draw(st.integers(0, n - first))
    counts = (first, second, n - first - second)
    patterns = distinct_patterns(operations, counts)
    every = {p for p in product(range(3), repeat=n) if tuple(p.count(c) for c in range(3)) == counts}
    orbits = {min(equivalent_patterns(operations, p)) for p in every}
    assert len(patterns) == burnside_count(operations, counts) == len(orbits)
    assert {min(equivalent_patterns(operations, p.colours)) for p in patterns} == orbits
    assert sum(p.multiplicity for p in patterns) == all_patterns(counts) == len(every)


def test_without_symmetry_all_patterns_differ():
    identity = {tuple(range(8))}
    assert [burnside_count(identity, (8 - k, k)) for k in range(9)] == [1, 8, 28, 56, 70, 56, 28, 8, 1]


def test_the_symmetric_group_leaves_one():
    group = set(permutations(range(4)))
    assert burnside_count(group, (2, 2)) == len(distinct_patterns(group, (2, 2))) == 1


def test_what_is_no_group_is_noticed():
    with pytest.raises(ValueError, match="no group"):
        burnside_count({(0, 1, 2), (1, 2, 0)}, (2, 1))


def test_permutations_of_the_vanadium_sites():
    """P4_2/mnm puts V on 8j: 16 operations, all of them different on the eight sites."""
    atoms = load_host("nvpf").sites()
    sites = [i for i, kind in enumerate(atoms.arrays["sublattice"]) if kind == "substituted"]
    group = site_permutations(atoms, sites)
    assert len(group) == 16
    assert {tuple(sorted(p)) for p in group} == {tuple(range(8))}
    assert {tuple(p[i] for i in q) for p in group for q in group} == group  # closed
