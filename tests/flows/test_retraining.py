from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.candidates import Candidates, build_candidates
from flows.config import ModelSection, load_config
from flows.quality import held_out_quality
from flows.retraining import Examples, Retrainer
from tests.flows.toy import write_toy

EPOCHS = {"epochs": 1, "pretrain_epochs": 1, "members": 2}


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Candidates:
    return build_candidates(load_config(write_toy(tmp_path_factory.mktemp("toy"))))


def examples(rows: list[int], shift: float = 0.0) -> Examples:
    X = np.array(rows).reshape(-1, 1)
    return Examples(X, 0.3 + 0.01 * X.ravel() + shift, tuple(f"key-{row}-{shift}" for row in rows))


NONE = examples([])


@pytest.mark.parametrize("kind", ["cgformer", "forest", "gp"])
def test_cheap_labels_alone_give_a_model_that_can_rank(kind: str, candidates: Candidates, tmp_path: Path) -> None:
    retrainer = Retrainer(ModelSection(kind=kind, **EPOCHS), candidates, 1, tmp_path)
    assert retrainer.train(NONE, NONE) is None
    every = np.arange(len(candidates.numbers)).reshape(-1, 1)
    for target in (NONE, examples([1, 2, 5], 0.2)):
        mean, sigma = retrainer.train(examples(list(range(8))), target).predict(every, return_std=True)
        assert np.isfinite(mean).all()
        assert (sigma >= 0).all()


def test_same_labels_same_model_with_or_without_the_cache(candidates: Candidates, tmp_path: Path) -> None:
    cheap, target = examples(list(range(6))), examples([1, 3], 0.2)
    every = np.arange(len(candidates.numbers)).reshape(-1, 1)
    config = ModelSection(**EPOCHS)
    first = Retrainer(config, candidates, 1, tmp_path / "a").train(cheap, target).predict(every)
    cached = Retrainer(config, candidates, 1, tmp_path / "a").train(cheap, target).predict(every)
    anew = Retrainer(config, candidates, 1, tmp_path / "b").train(cheap, target).predict(every)
    np.testing.assert_array_equal(first, cached)
    np.testing.assert_array_equal(first, anew)


def test_a_campaign_may_start_from_a_model_of_ours(candidates: Candidates, tmp_path: Path) -> None:
    config = ModelSection(**EPOCHS)
    Retrainer(config, candidates, 1, tmp_path).train(examples(list(range(6))), NONE).ensemble.save(tmp_path / "ours")
    again = Retrainer(ModelSection(start_from=tmp_path / "ours", **EPOCHS), candidates, 1, tmp_path / "c")
    assert np.isfinite(again.train(NONE, examples([1, 3])).predict(np.array([[0]]))).all()


def test_a_campaign_may_start_from_a_released_checkpoint(
    candidates: Candidates, tmp_path: Path, released_checkpoint: Path
) -> None:
    config = ModelSection(start_from=released_checkpoint, **EPOCHS)
    retrainer = Retrainer(config, candidates, 1, tmp_path)
    cheap, target = examples(list(range(6))), examples([1, 3], 0.2)
    first = retrainer.train(cheap, target).predict(np.array([[0], [4]]))
    np.testing.assert_array_equal(first, retrainer.train(cheap, target).predict(np.array([[0], [4]])))


def test_sigmas_are_recalibrated_as_soon_as_there_are_enough_labels(candidates: Candidates, tmp_path: Path) -> None:
    """Ten labelled compositions; the coverage before and after goes to the round's metrics."""
    few, enough = examples([1, 2, 5]), examples(list(range(12)))
    for kind in ("forest", "gp"):
        retrainer = Retrainer(ModelSection(kind=kind, members=2), candidates, 1, tmp_path)
        assert held_out_quality(retrainer.train(NONE, few)) == {}
        model = retrainer.train(examples(list(range(8)), 0.1), enough)
        quality = held_out_quality(model)
        assert {"held_out_coverage_90_raw", "held_out_coverage_90_recalibrated"} <= set(quality)
        np.testing.assert_array_equal(
            model.predict(enough.X, return_std=True),
            retrainer.train(examples(list(range(8)), 0.1), enough).predict(enough.X, return_std=True),
        )
    off = Retrainer(ModelSection(kind="forest", members=2, recalibrate=False), candidates, 1, tmp_path)
    assert held_out_quality(off.train(NONE, enough)) == {}
