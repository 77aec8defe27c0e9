import io
from functools import partial

import pytest
from rich.console import Console

from flows import tables
from flows.looks import History, Ranking, Status
from tests.flows.conftest import looked


def shown(renderable, width=100):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines()), default=0) <= width
    return text


def test_status_tells_the_state_and_the_comparison(synthetic_view):
    text = shown(tables.status(looked(synthetic_view, Status.load)))
    assert synthetic_view.name in text
    assert "mean predictor" in text
    assert f"{synthetic_view.best[0].value_eV:.3f} eV" in text
    assert "4 of 4 rounds" in text


def test_history_has_a_line_per_round(synthetic_view):
    text = shown(tables.history(looked(synthetic_view, History.load)))
    for row in synthetic_view.rounds:
        assert f"\n {row.number:>5}" in text or f"\n{row.number:>6}" in text
    narrow = shown(tables.history(looked(synthetic_view, History.load)), 80)
    assert "…" not in narrow


def test_ranking_shows_the_first_lines_and_says_what_is_left(synthetic_view):
    text = shown(tables.ranking(looked(synthetic_view, partial(Ranking.load, top=5))))
    for line in synthetic_view.ranking[:5]:
        assert line.formula in text
    assert f"{len(synthetic_view.ranking) - 5} more in the ledger" in text


def test_acquisitions_of_a_round(synthetic_view):
    text = shown(tables.acquisitions(synthetic_view, 2))
    assert all(a.formula in text for a in synthetic_view.of_round(2))


def test_funnel_names_the_share_kept():
    text = shown(tables.funnel([("all", 148_995), ("not toxic", 40_920), ("neutral", 0)]))
    assert "148,995" in text
    assert "27.5%" in text
    assert "0.0%" in text


@pytest.mark.parametrize("width", [60, 100, 160])
def test_every_edge_fits_every_width(views, width):
    for view in views.values():
        shown(tables.status(looked(view, Status.load)), width)
        shown(tables.history(looked(view, History.load)), width)
        shown(tables.ranking(looked(view, Ranking.load)), width)
        shown(tables.acquisitions(view, 1), width)


def test_sparkline():
    assert tables.sparkline([]) == ""
    assert tables.sparkline([0.4, 0.4]) == "▁▁"
    assert tables.sparkline([3.0, 1.0])[-1] == "▁"
