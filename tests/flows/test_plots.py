import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from flows import plots
from flows.dopants import analyse, from_labels, from_ranking
from tests.flows.test_view import big_ledger  # noqa: F401


@pytest.mark.parametrize("name", plots.FIGURES)
def test_every_figure_is_drawn_for_every_campaign(name, views, tmp_path):
    for view in views.values():
        figure = plots.FIGURES[name](view)
        assert isinstance(figure, Figure)
        figure.savefig(tmp_path / "one.png", dpi=40)


@pytest.mark.parametrize("draw", [plots.discovery, plots.quality, plots.paths])
def test_narrow_figures_fit_a_phone(draw, synthetic_view, tmp_path):
    """Text of 8 points stays legible (6 pixels) in a column of 360 pixels."""
    figure = draw(synthetic_view, narrow=True)
    figure.savefig(tmp_path / "one.png", dpi=80)
    assert 8 / 72 * 360 / figure.get_figwidth() > 6
    assert len(figure.axes) == len(draw(synthetic_view).axes)


def test_files_are_pictures_with_something_on_them(synthetic_view, tmp_path):
    files = plots.save_plots(synthetic_view, tmp_path / "plots")
    assert sorted(path.stem for path in files) == sorted(plots.FIGURES)
    for path in files:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.shape[0] > 300
        assert (pixels != 255).any(axis=2).mean() > 0.01


def _texts(figure):
    return " ".join(text.get_text() for axis in figure.axes for text in axis.texts)


def test_parity_states_the_mean_predictor(synthetic_view):
    text = _texts(plots.parity(synthetic_view))
    assert f"mean predictor {synthetic_view.parity.mean_predictor_mae_eV:.3f} eV" in text
    assert f"MAE {synthetic_view.parity.mae_eV:.3f} eV" in text


def test_discovery_draws_the_random_expectation(synthetic_view):
    labels = [line.get_label() for line in plots.discovery(synthetic_view).axes[0].lines]
    assert "random choice, expected" in labels
    assert "best so far" in labels


def test_an_empty_campaign_says_so(views):
    assert "no label at the target fidelity" in _texts(plots.discovery(views["just created"]))
    assert "space.csv" in _texts(plots.cluster_map(views["just created"]))


def test_dopants_find_the_element_that_pays():
    rng = np.random.default_rng(0)
    barriers = [
        (f"nzsp:{'Sn' if good else 'Ge'}2+4.{'Hf' if i % 2 else 'Ti'}2+4.Zr4+4:12", 0.2 + 0.1 * (not good))
        for i, good in enumerate(rng.random(60) < 0.5)
    ]
    found = analyse(barriers, "test")
    assert found.elements[0] == "Sn"
    assert found.elements[-1] == "Ge"
    assert "Zr" not in found.elements  # in every composition: tells nothing
    assert found.effects[0].difference_eV == pytest.approx(-0.1)
    pair = found.mean_eV[found.elements.index("Sn"), found.elements.index("Hf")]
    assert pair == pytest.approx(0.2)
    assert np.isnan(found.mean_eV[found.elements.index("Sn"), found.elements.index("Ge")])


def test_dopants_of_every_campaign(views):
    for view in views.values():
        for found in (from_labels(view), from_ranking(view)):
            assert found is None or len(found.effects) == len(found.elements)
