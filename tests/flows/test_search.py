"""`ionloop search` on a synthetic campaign (see synthetic.py: no barrier in it was calculated)."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.composition import Composition
from agent.elements import price_usd_per_kg
from agent.hosts import load_host
from flows.cli import app
from flows.config import parse_config
from flows.errors import ConfigError, UserError
from flows.found import Found, find_campaign
from flows.screening import screen
from flows.screening_campaign import candidates_of
from flows.screening_search import SearchStep
from flows.search import Atlas, Query, Range, percentiles, write_predictions
from tests.flows.conftest import played
from tests.flows.synthetic import Spec


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("campaigns") / "synthetic"
    played(folder, Spec())
    config = parse_config({"campaign": {"name": "synthetic", "folder": str(folder.parent)}})
    (folder / "config.json").write_text(config.model_dump_json())
    space = pd.read_csv(folder / "space.csv")
    rng = np.random.default_rng(0)
    write_predictions(folder, list(space.composition), rng.normal(0.3, 0.05, len(space)), np.full(len(space), 0.02))
    return find_campaign(str(folder))


def test_every_part_of_a_query_holds_for_every_hit(found: Found) -> None:
    atlas = Atlas.of(found.view())
    hits = atlas.search(Query.parse(elements="Zr,Sn", without="Mg", entropy=">=1,<1.5", eb="<0.32"))
    assert 0 < len(hits) < len(atlas.table)
    for row in hits.itertuples():
        composition = Composition.from_key(row.composition)
        present = {element for element, _ in composition.amounts}
        assert {"Zr", "Sn"} <= present
        assert "Mg" not in present
        assert row.entropy_R == pytest.approx(composition.entropy_R, abs=1e-5)
        assert 1 <= row.entropy_R < 1.5
        assert row.E_b_eV < 0.32
        assert row.entropy_class == "medium"
    assert hits.E_b_eV.is_monotonic_increasing
    everything = atlas.search(Query())
    assert len(everything) == len(atlas.table)


def test_labels_take_the_place_of_predictions_and_bring_their_structure(found: Found) -> None:
    view = found.view()
    best = view.best[0]
    atlas = Atlas.of(found.view())
    hit = atlas.search(Query.parse(formula=best.composition)).iloc[0]
    values = [a.value_eV for a in view.at_target if a.composition == best.composition]
    assert hit.source == "label"
    assert hit.orderings == len(values)
    assert hit.E_b_eV == pytest.approx(np.mean(values))
    assert math.isnan(hit.sigma_eV) == (len(values) == 1)
    if hit.structure:
        assert Path(hit.structure).is_file()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_percentiles_are_the_share_of_the_space_below(values: list[float]) -> None:
    found = percentiles(np.array([*values, math.nan]))
    assert math.isnan(found[-1])
    for value, percentile in zip(values, found, strict=False):
        below, same = sum(v < value for v in values), sum(v == value for v in values)
        assert percentile == pytest.approx(100 * (below + same / 2) / len(values))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.4", "expected a comparison such as '<0.4'"),
        ("<<0.4", "expected a comparison"),
        ("<", "expected a comparison"),
        ("", "expected a comparison"),
        (">=1.5 or so", "expected a comparison"),
        (">1,", "expected a comparison"),
        (">2,<1", "no number is both above 2 and below 1"),
        (">1,<1", "no number is both"),
        ("<nan", "expected a comparison"),
    ],
)
def test_a_bad_expression_gets_one_clear_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Range.parse(text, "entropy")
    assert str(caught.value).startswith("entropy ")
    assert "\n" not in str(caught.value)


@given(st.floats(0, 3), st.sampled_from(["<", "<=", ">", ">=", "="]), st.floats(0, 3))
def test_a_comparison_means_what_python_means(number: float, sign: str, value: float) -> None:
    limit = float(f"{number:.3f}")
    held = bool(Range.parse(f"{sign}{number:.3f}", "eb").holds(np.array([value]))[0])
    expected = np.isclose(value, limit) if sign == "=" else eval(f"{value!r} {sign} {limit!r}")
    assert held == expected
    assert not Range.parse(f"{sign}1", "eb").holds(np.array([math.nan]))[0]


def test_unknown_elements_are_named() -> None:
    with pytest.raises(ValueError, match="'Qq' is not an element"):
        Query.parse(elements="Zr,Qq")
    with pytest.raises(ValueError, match="expected symbols"):
        Query.parse(without=" , ")


def test_the_command_writes_a_table_and_orderings(found: Found, tmp_path: Path) -> None:
    out, structures = tmp_path / "found.csv", tmp_path / "structures"
    predicted = Atlas.of(found.view()).search(Query())
    possible = predicted[(predicted.source == "prediction") & predicted.composition.str.endswith(":12")]
    formula, entropy_R = possible.formula.iloc[0], possible.entropy_R.iloc[0]
    command = ["search", str(found.folder), "--formula", formula, "--entropy", f">={entropy_R - 0.01:.3f}"]
    result = CliRunner().invoke(app, [*command, "--out", str(out), "--structures", str(structures)])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out)
    assert set(table.formula) == {formula}
    assert all(Path(path).is_file() for path in table.structure)
    assert "compositions fit" in result.output
    refused = CliRunner().invoke(app, ["search", str(found.folder), "--eb", "low"])
    assert isinstance(refused.exception, UserError)
    assert "expected a comparison" in str(refused.exception)


def test_without_predictions_of_the_space_the_percentile_says_what_it_is_of(tmp_path: Path) -> None:
    folder = tmp_path / "synthetic"
    played(folder, Spec(rounds=2, folders=False))
    config = parse_config({"campaign": {"name": "synthetic", "folder": str(tmp_path)}})
    (folder / "config.json").write_text(config.model_dump_json())
    atlas = Atlas.of(find_campaign(str(folder)).view())
    assert "predictions.csv is missing" in atlas.note
    (folder / "predictions.csv").write_text("nonsense\n1\n")
    with pytest.raises(ValueError, match="damaged"):
        Atlas.of(find_campaign(str(folder)).view())
    (folder / "space.csv").unlink()
    with pytest.raises(FileNotFoundError, match="writes it when a campaign begins"):
        Atlas.of(find_campaign(str(folder)).view())


def test_the_step_of_a_screen_keeps_what_the_command_finds(found: Found, tmp_path: Path) -> None:
    words = {"without": "Mg", "entropy": ">=1", "eb": "<0.32", "percentile": "<60", "price": "<=1000"}
    hits = Atlas.of(found.view()).search(Query.parse(**words))
    candidates = candidates_of(found, found.config)
    screened = screen(candidates, [SearchStep(**words)], tmp_path)
    kept = {entry.candidate.composition.key for entry in screened.kept}
    assert kept == {one.composition.key for one in candidates} & set(hits.composition)
    assert 0 < len(kept) < len(candidates)
    for entry in screened.entries:
        facts = entry.candidate.found["search"].facts
        assert entry.kept == (not facts["unmet"])
        assert entry.kept or "does not fit: " in entry.reason
        assert facts["entropy_R"] == pytest.approx(entry.candidate.composition.entropy_R, abs=1e-5)


def test_the_step_counts_by_percentile_and_says_what_was_not_met(found: Found, tmp_path: Path) -> None:
    candidates = candidates_of(found, found.config)
    screened = screen(candidates, [SearchStep(elements="Sc", entropy="<1", lowest=1)], tmp_path)
    reasons = {entry.reason for entry in screened.entries}
    assert any("all of Sc; entropy <1 R" in reason for reason in reasons)
    everything = screen(candidates, [SearchStep(lowest=3)], tmp_path)
    values = [entry.candidate.found["search"].value for entry in everything.entries]
    assert sorted(entry.candidate.found["search"].value for entry in everything.kept) == sorted(values)[:3]


def test_a_composition_outside_the_space_has_no_percentile(found: Found, tmp_path: Path) -> None:
    one = candidates_of(found, found.config)[0]
    foreign = replace(one, composition=Composition.of(load_host("nzsp"), {"W": 1, "Mg": 1}))
    screened = screen([foreign], [SearchStep()], tmp_path)
    assert "not in space.csv" in screened.entries[0].reason


@pytest.mark.parametrize(
    "words", [{"entropy": "high"}, {"elements": "Qq"}, {"percentile": ">5,<1"}, {"price": "cheap"}]
)
def test_a_bad_condition_of_the_step_is_refused_with_the_configuration(words: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"campaign": {"name": "x"}, "screen": {"steps": [{"step": "search", **words}]}}, "x.toml")
    assert str(next(iter(words.values()))) in str(caught.value)


def test_a_price_is_that_of_the_dearest_element(found: Found) -> None:
    atlas = Atlas.of(found.view())
    for sites, price in zip(atlas.sites, atlas.prices_usd_per_kg, strict=True):
        assert price == max(price_usd_per_kg(element) for element in sites)
    cheap = atlas.search(Query.parse(price="<=1000"))
    assert not cheap.formula.str.contains("Sc").any()  # 3,460 USD/kg
    assert 0 < len(cheap) < len(atlas.table)
