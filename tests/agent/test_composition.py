"""Compositions: formula, neutrality, entropy, keys and seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.composition import Composition
from agent.elements import candidates, default_valences, shannon_radius_A
from agent.hosts import load_host

NZSP = load_host("nzsp")


def test_formula_per_formula_unit():
    composition = Composition.of(NZSP, {"Sn": 1, "Sc": 1, "Ge": 1, "Nb": 1})
    assert composition.formula(NZSP) == "Na3Zr1Ge0.25Nb0.25Sc0.25Sn0.25Si2PO12"
    assert composition.key == "nzsp:Ge1+4.Nb1+5.Sc1+3.Sn1+4.Zr4+4:12"
    assert composition.dopants(NZSP) == ("Ge", "Nb", "Sc", "Sn")


@pytest.mark.parametrize(
    ("amounts", "mobile"),
    [({}, 12), ({"Sc": 1}, 13), ({"Nb": 1}, 11), ({"Mg": 1}, 14), ({"Mg": 2}, 16), ({"Nb": 8}, 4)],
)
def test_mobile_content_balances_the_charge(amounts, mobile):
    assert Composition.of(NZSP, amounts).mobile == mobile


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ({"Mg": 3}, "neutral only with 18 Na"),
        ({"Sn": 9}, "9 sites asked for"),
        ({"Sn": -1}, "never negative"),
        ({"Qq": 1}, "not an element"),
        ({"He": 1}, "no positive valence"),
    ],
)
def test_impossible_compositions_say_why(amounts, message):
    with pytest.raises(ValueError, match=message):
        Composition.of(NZSP, amounts)


@given(
    st.dictionaries(st.sampled_from(sorted(candidates().valences)), st.integers(1, 2), max_size=4),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_key_round_trip_and_seed(amounts, ordering, campaign):
    try:
        composition = Composition.of(NZSP, amounts)
    except ValueError:
        return
    assert Composition.from_key(composition.key) == composition
    assert composition.seed(ordering, campaign) == Composition.from_key(composition.key).seed(ordering, campaign)
    assert 0 <= composition.seed(ordering, campaign) < 2**63
    assert composition.seed(ordering, campaign) != composition.seed(ordering + 1, campaign)


def test_a_broken_key_is_refused():
    with pytest.raises(ValueError, match="no composition key"):
        Composition.from_key("nzsp:Sn:12")


# Fu et al. (LZSP), table S2: configurational entropy in R of site proportions in sixteenths.
@pytest.mark.parametrize(
    ("sixteenths", "entropy"),
    [
        ((6, 5, 5), 1.095),
        ((6, 6, 4), 1.082),
        ((4, 4, 4, 4), 1.386),
        ((5, 4, 4, 3), 1.371),
        ((4, 3, 3, 3, 3), 1.602),
        ((3, 3, 3, 3, 2, 2), 1.775),
        ((2, 2, 2, 2, 2, 2, 2, 2), 2.079),
        ((3, 3, 2, 2, 2, 2, 1, 1), 2.014),
    ],
)
def test_entropy_is_the_papers(sixteenths, entropy):
    host = load_host("lzsp")
    dopants = ["Hf", "Ti", "Sn", "Ge", "Ce", "Sc", "Nb"]
    amounts = dict(zip(dopants, sixteenths[1:], strict=False))
    assert Composition.of(host, amounts).entropy_R == pytest.approx(entropy, abs=6e-4)


def test_candidates_are_45_of_which_12_are_excluded_with_a_reason():
    table = candidates()
    assert len(table.valences) == 45
    assert len(table.excluded) == 12
    assert set(table.excluded) < set(table.valences)
    assert all(len(reason) > 10 for reason in table.excluded.values())
    for element, valences in table.valences.items():
        assert shannon_radius_A(element, valences[0]) > 0, element


def test_valences_of_elements_outside_the_table():
    assert default_valences("Zr") == (4,)
    assert default_valences("Th") == (4,)
