import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.41234, "0.412"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        ("0.4", "–"),
        (3, "3.000"),
        (True, "–"),
        (-1e-6, "0.000"),
    ],
)
def test_number(value, text):
    assert wording.number(value) == text


def test_energy_leaves_out_an_unknown_sigma():
    assert wording.energy(0.4, 0.03) == "0.400 ± 0.030"
    assert wording.energy(0.4, None) == wording.energy(0.4, 0.0) == wording.energy(0.4, math.nan) == "0.400"
    assert wording.energy(None, 0.1) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.31, "2.3 s"),
        (9.99, "10 s"),
        (59.7, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3725, "1 h 02 min"),
        (200_000, "2 d 07 h"),
        (None, "–"),
        (-75, "-1 min 15 s"),
    ],
)
def test_duration(seconds, text):
    assert wording.duration(seconds) == text


@given(st.text())
def test_a_slug_is_a_valid_artifact_key(text):
    assert set(wording.slug(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert wording.slug(text)


@given(st.text())
def test_a_file_stem_never_leaves_its_folder(text):
    stem = wording.file_stem(text)
    assert stem
    assert "/" not in stem
    assert not stem.startswith(".")


def test_formulas_get_their_subscripts():
    assert wording.formula_html("Na4.5Sn0.25PO12") == "Na<sub>4.5</sub>Sn<sub>0.25</sub>PO<sub>12</sub>"
    assert wording.formula_html("<b>") == "&lt;b&gt;"
    assert wording.formula_math("Na3PO12") == r"$\mathregular{Na_{3}PO_{12}}$"


def test_run_names():
    assert wording.round_run_name(3) == "round 3"
    assert wording.label_run_name("NEB", "Na3Zr2Si2PO12", "chgnet") == "NEB Na3Zr2Si2PO12: chgnet"
