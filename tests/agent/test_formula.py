"""Formulas read against a host, and the four descriptors of Zuo et al."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.composition import Composition
from agent.formula import Occupation, descriptor_table, parse_amounts, read_formula
from agent.hosts import load_host

NZSP = load_host("nzsp")


@pytest.mark.parametrize(
    ("formula", "entropy_R"),
    [  # the paper's ME1, LE and HE1 with the values in its text
        ("Na3.5Zr1.0Ti0.5Lu0.5Si2PO12", 1.04),
        ("Na3.5Zr1.5Lu0.5Si2PO12", 0.56),
        ("Na3.6Zr0.5Ti0.5Hf0.4Lu0.5Ga0.1Si2PO12", 1.51),
        ("Na3Zr2Si2PO12", 0.0),
    ],
)
def test_entropies_of_the_paper(formula: str, entropy_R: float) -> None:
    assert read_formula(formula, NZSP).entropy_R == pytest.approx(entropy_R, abs=0.005)


def test_descriptors_are_means_over_the_substituted_sublattice() -> None:
    radius, electronegativity, valence, entropy = read_formula("Na3.5Zr1.0Ti0.5Lu0.5Si2PO12", NZSP).descriptors()
    assert radius == pytest.approx((72 * 2 + 60.5 + 86.1) / 4)  # Shannon, sixfold, pm
    assert electronegativity == pytest.approx((1.33 * 2 + 1.54 + 1.27) / 4)
    assert valence == pytest.approx(3.75)
    assert entropy == pytest.approx(1.5 * math.log(2))


#: Up to six dopants that four more Na per cell than the host's twelve can balance; it has no sites for a fifth.
DOPANTS = st.lists(st.sampled_from(["Sn", "Hf", "Ti", "Ge", "Sc", "Nb"]), min_size=1, max_size=6)


@given(DOPANTS.filter(lambda drawn: drawn.count("Sc") - drawn.count("Nb") <= 4))
def test_a_composition_and_its_formula_are_the_same_occupation(dopants: list[str]) -> None:
    composition = Composition.of(NZSP, {element: dopants.count(element) for element in dopants})
    written = read_formula(composition.formula(NZSP), NZSP)
    assert written == Occupation.of(composition) == read_formula(composition.key, NZSP)
    assert written.entropy_R == pytest.approx(composition.entropy_R, abs=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_entropy_lies_between_zero_and_that_of_equal_shares(counts: list[int]) -> None:
    elements = ["Sn", "Hf", "Ti", "Ge", "Zr"][: len(counts)]
    shares = np.array(counts) / sum(counts)
    one = Occupation(tuple((e, float(x), 4) for e, x in zip(elements, shares, strict=True)))
    assert -1e-12 <= one.entropy_R <= math.log(len(counts)) + 1e-12


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("Na3Qq2Si2PO12", "'Qq' is not an element"),
        ("hello", "expected elements and amounts"),
        ("", "expected elements and amounts"),
        ("Na3Zr2(SiO4)2PO4", "expected elements and amounts"),
        ("Na3Zr2Si3PO12", "has not the framework Si2PO12"),
        ("Na3Zr1Si2PO12", "1 ions on the Zr sublattice"),
        ("Na3Zr1.5Lu0.5Si2PO12", "not neutral with Lu[+]3, Zr[+]4; Na3.5 would be"),
        ("lzsp:Zr16+4:24", "belongs to host lzsp"),
    ],
)
def test_what_the_host_cannot_be_is_refused_in_one_line(formula: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_formula(formula, NZSP)
    assert "\n" not in str(caught.value)


def test_amounts_without_a_number_are_one() -> None:
    assert parse_amounts("Si2PO12") == {"Si": 2.0, "P": 1.0, "O": 12.0}
    assert descriptor_table([]).shape == (0, 4)
