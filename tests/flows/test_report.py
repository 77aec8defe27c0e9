import json
import re
from dataclasses import replace

import pytest

from agent.schema import CampaignRow
from flows.facts import failure_lines, round_facts
from flows.report import figures, render, tiles, write_report


@pytest.fixture(scope="module")
def page(synthetic_view):
    return render(synthetic_view)


def without_scripts(text):
    return re.sub(r"<script.*?</script>", "", text, flags=re.S)


def test_the_page_is_whole_and_needs_no_network(page):
    body = without_scripts(page)
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert not re.search(r"""(src|href)=["'](https?:)?//""", body)
    assert page.count("plotly.js v") <= 2  # inlined once


def test_every_section_is_there(page):
    for section in ("discovery", "best", "rounds", "map", "model", "dopants", "costs", "failures", "provenance"):
        assert f'<section id="{section}">' in page


def test_the_charts_are_valid_json(page, synthetic_view):
    text = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, flags=re.S).group(1)
    charts = json.loads(text)
    assert charts.keys() == figures(synthetic_view).keys()
    assert len(charts["map"]["frames"]) == 4
    placed = set(re.findall(r'data-chart="([^"]+)"', page))
    assert placed == set(charts)


def test_every_acquisition_stands_with_its_reason_and_id(page, synthetic_view):
    body = without_scripts(page)
    for acquisition in synthetic_view.acquisitions:
        assert f'<td class="r small" data-t="Id">{acquisition.id}</td>' in body
    assert "spread over clusters" in body
    for kind, reason, _ in failure_lines(synthetic_view):
        assert kind in body
        assert reason in body


def test_the_model_never_stands_without_the_mean_predictor(synthetic_view):
    tile = next(tile for tile in tiles(synthetic_view) if tile.title == "Model MAE")
    assert f"mean predictor {synthetic_view.parity.mean_predictor_mae_eV:.3f}" in tile.note


def test_every_edge_makes_a_page(edge_view, tmp_path):
    path = write_report(edge_view, tmp_path / "report.html")
    assert "</html>" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_what_people_typed_is_escaped(synthetic_view):
    evil = "<script>alert(1)</script>"
    row = synthetic_view.campaign
    campaign = CampaignRow(
        name=evil, host=evil, target_fidelity=row.target_fidelity, seed=1, config={"x": evil}, state="running",
        stop_reason=evil, created=row.created, ended=None, driven_s=0.0,
    )  # fmt: skip
    shown = tuple(replace(a, formula=evil, reason=evil) for a in synthetic_view.acquisitions)
    view = replace(synthetic_view, campaign=campaign, acquisitions=shown)
    assert evil not in render(view)


def test_round_facts(synthetic_view):
    assert round_facts(()) == ""
    assert "labelled" in round_facts(synthetic_view.of_round(1))
