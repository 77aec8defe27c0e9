"""The funnel: exact published counts, named filters, streaming, and an empty space that says why."""

import tracemalloc

import pytest

from agent.filters import (
    Abundance,
    ChargeBalance,
    ElementExclusion,
    Entropy,
    HostRadius,
    Price,
)
from agent.hosts import load_host
from agent.space import Binary, Equimolar, Proportions, SpaceConfig, build_space, count_candidates

NZSP, LZSP, NVPF = load_host("nzsp"), load_host("lzsp"), load_host("nvpf")


def test_the_papers_funnel():
    """Tao et al.: C(45,4) = 148,995, C(33,4) = 40,920; then 826 by lists that are not public, 994 by ours."""
    space = build_space(NZSP)
    assert [(step.name, step.count) for step in space.funnel] == [
        ("candidates", 148_995),
        ("elements", 40_920),
        ("radius-mismatch", 18_692),
        ("charge-balance", 994),
    ]
    assert len(space) == len(space.compositions) == 994
    assert len({composition.key for composition in space}) == 994
    assert all(composition.mobile == 12 for composition in space)
    assert "platinum" not in space.funnel[1].why
    assert "radioactive: Pm Tc" in space.funnel[1].why


@pytest.mark.parametrize(
    ("kind", "window", "count"),
    [("4-1", (2.5, 3.5), 735), ("5-1", (2.5, 3.5), 2_865), ("5-1", (2.625, 3.75), 4_575)],
)
def test_the_lzsp_papers_counts(kind, window, count):
    """Fu et al.: 735 quaternary compositions; 4,575 quinary ones, which is Li 2.625-3.75."""
    config = SpaceConfig(
        candidates=list(LZSP.valences),
        generator=Proportions(types=[kind]),
        filters=[ChargeBalance(window=window)],
    )
    space = build_space(LZSP, config)
    assert len(space) == count
    low, high = window
    assert all(low <= c.mobile_per_formula(LZSP) <= high for c in space)


def test_the_nvpf_papers_binaries():
    """30 elements alone and C(30,2) pairs in the ratios 1/7 ... 7/1: 30 + 435 x 7."""
    config = SpaceConfig(candidates=list(NVPF.valences), generator=Binary(), filters=[ChargeBalance(window=(0, 4))])
    assert count_candidates(NVPF, config) == 30 + 435 * 7
    space = build_space(NVPF, config)
    assert space.funnel[0].count == 3_075
    assert all("Zr" in dict(c.amounts) or sum(n for _, n in c.amounts) == 8 for c in space)


def test_every_proportion_type_fills_the_sublattice():
    config = SpaceConfig(generator=Proportions(types=["8-3"]), sample=500, filters=[ChargeBalance(window=(0, 4))])
    for composition in build_space(LZSP, config):
        assert sorted((n for _, n in composition.amounts), reverse=True) == [3, 3, 2, 2, 2, 2, 1, 1]


def test_a_space_of_billions_is_sampled_and_not_enumerated():
    config = SpaceConfig(generator=Proportions(types=["8-3"]), sample=2_000, filters=[ChargeBalance(window=(0, 4))])
    assert count_candidates(LZSP, config) > 10**9
    first, second = build_space(LZSP, config), build_space(LZSP, config)
    assert first.funnel[0].count == 2_000
    assert first.compositions == second.compositions
    assert len(set(first.compositions)) == len(first)
    other = build_space(LZSP, config.model_copy(update={"seed": 1}))
    assert other.compositions != first.compositions


def test_memory_of_the_148995_is_that_of_a_block():
    tracemalloc.start()
    build_space(NZSP)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_filters_run_in_the_order_given_and_are_counted():
    config = SpaceConfig(
        candidates=["Sn", "Sc", "Ge", "Nb", "Hf", "Ti"],
        filters=[ChargeBalance(), ElementExclusion(exclude={"Ge": "x"})],
    )
    space = build_space(NZSP, config)
    assert [s.name for s in space.funnel] == ["candidates", "charge-balance", "elements"]
    # 15 sets; neutral with Na3: those with both or neither of Sc and Nb, 6 + 1; without Ge: 3.
    assert [s.count for s in space.funnel] == [15, 7, 3]


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (Entropy(minimum_R=1.5), 0),
        (Price(maximum_usd_per_kg=50), "cheap"),
        (Abundance(minimum_ppm=2), "common"),
        (HostRadius(maximum=0.2), "sized"),
    ],
)
def test_other_filters(rule, left):
    config = SpaceConfig(candidates=["Sn", "Sc", "Ge", "Nb", "Hf", "Ti", "Al"], generator=Equimolar(dopants=2))
    config = config.model_copy(update={"filters": [rule]})
    if left == 0:
        with pytest.raises(ValueError, match="filter 'entropy'"):
            build_space(NZSP, config)
        return
    kept = {e for c in build_space(NZSP, config) for e in c.dopants(NZSP)}
    gone = {"cheap": {"Sc", "Ge", "Hf"}, "common": {"Ge"}, "sized": {"Ge", "Al"}}[left]
    assert not kept & gone
    assert "Ti" in kept


def test_several_valences_count_as_one_candidate_and_the_preferred_one_that_balances_wins():
    host = NZSP.model_copy(update={"valences": {"Mn": (2, 4), "Fe": (3, 2)}})
    config = SpaceConfig(
        candidates=["Mn", "Fe"], generator=Equimolar(dopants=1), filters=[ChargeBalance(window=(3, 3))]
    )
    space = build_space(host, config)
    assert [s.count for s in space.funnel] == [2, 1]
    assert dict(space.compositions[0].valences)["Mn"] == 4
    wide = config.model_copy(update={"filters": [ChargeBalance(window=(3, 4))]})
    valences = [dict(c.valences) for c in build_space(host, wide)]
    assert {"Mn": 2, "Zr": 4} in valences
    assert {"Fe": 3, "Zr": 4} in valences


def test_without_a_charge_filter_only_what_can_be_neutral_is_kept():
    config = SpaceConfig(candidates=["Mg", "Ca", "Zn"], generator=Equimolar(dopants=3), filters=[])
    with pytest.raises(ValueError, match="filter 'charge-balance'"):
        build_space(NZSP, config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"filters": [{"name": "radius-mismatch", "maximum": 1e-6}]},
            "filter 'radius-mismatch'.*left none of 148,995",
        ),
        ({"candidates": ["Sn", "Ge"]}, "too few for the generator"),
        ({"generator": {"kind": "equimolar", "dopants": 9}}, "nzsp has 8"),
        ({"generator": {"kind": "proportions", "types": ["5-1"]}}, "needs 16 substituted sites"),
        ({"generator": {"kind": "proportions", "types": ["9-9"]}}, "not one of"),
        ({"candidates": ["Sn", "Sn"]}, "listed twice"),
        ({"candidates": ["Sn", "Qq"]}, "not an element"),
        ({"candidates": ["Sn", "Ge", "Ti", "Hf", "Zr"]}, "Zr keeps the sites of nzsp"),
        ({"candidate": ["Sn"]}, "candidate"),
    ],
)
def test_bad_input_is_one_clear_line(config, message):
    with pytest.raises(ValueError, match=message):
        build_space(NZSP, SpaceConfig.model_validate(config))
