"""Phase-purity classifiers, on tables whose answer is known by construction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import synthesizability_plots as plots
from models.synthesizability import (
    CLASSIFIERS,
    MAJORITY,
    PuCheck,
    _classifier,
    check_positive_unlabelled,
    cross_validate,
    drop_one,
    fit,
    positive_unlabelled_scores,
    probability_pure,
)

NAMES = ("radius_pm", "entropy_R")


def table(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Purity is decided by the second descriptor alone; the first is noise."""
    rng = np.random.default_rng(seed)
    descriptors = np.column_stack([rng.normal(72, 3, n), rng.uniform(0, 1.6, n)])
    return descriptors, descriptors[:, 1] > 0.8


def test_every_classifier_finds_the_rule_and_the_majority_predictor_does_not() -> None:
    descriptors, pure = table()
    found = cross_validate(descriptors, pure, NAMES)
    assert set(found) == {*CLASSIFIERS, MAJORITY}
    for name in CLASSIFIERS:
        assert found[name].accuracy > 0.85, name
        assert found[name].auc > 0.9, name
        assert found[name].confusion.sum() == len(pure)
    share = max(pure.mean(), 1 - pure.mean())
    assert found[MAJORITY].accuracy == pytest.approx(share, abs=0.12)
    assert found[MAJORITY].balanced_accuracy == pytest.approx(0.5, abs=0.12)


def test_labels_without_any_rule_are_not_learned() -> None:
    descriptors, _ = table(80)
    pure = np.random.default_rng(1).permutation(np.repeat([True, False], 40))
    found = cross_validate(descriptors, pure, NAMES)
    for one in found.values():
        assert 0.25 < one.accuracy < 0.7


def test_leaving_out_the_descriptor_that_decides_costs_most() -> None:
    changes = drop_one(*table(), NAMES, folds=5, repeats=3)
    assert changes["entropy_R"][0] > 0.25
    assert abs(changes["radius_pm"][0]) < 0.1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_the_rows_means_nothing_to_a_trained_classifier(seed: int) -> None:
    descriptors, pure = table()
    order = np.random.default_rng(seed).permutation(len(pure))
    asked = np.array([[70.0, 0.3], [74.0, 1.5]])
    np.testing.assert_allclose(
        probability_pure(fit(descriptors, pure), asked),
        probability_pure(fit(descriptors[order], pure[order]), asked),
        rtol=1e-6,
    )


def test_naive_bayes_is_the_textbook_formula() -> None:
    descriptors, pure = table()
    asked = np.array([[71.0, 0.9]])

    def log_density(members: np.ndarray) -> float:
        mean, variance = members.mean(axis=0), members.var(axis=0) + 1e-9 * descriptors.var(axis=0).max()
        return float((-0.5 * np.log(2 * np.pi * variance) - (asked[0] - mean) ** 2 / (2 * variance)).sum())

    a, b = (log_density(descriptors[pure == outcome]) + np.log((pure == outcome).mean()) for outcome in (True, False))
    assert probability_pure(fit(descriptors, pure), asked)[0] == pytest.approx(1 / (1 + np.exp(b - a)), rel=1e-6)


def test_the_interval_of_an_accuracy_is_what_the_number_of_compositions_leaves() -> None:
    """Zuo et al. give 92.3 %; that is 12 of 13, whose 95 % interval is wide."""
    descriptors, pure = table(13, seed=3)
    found = cross_validate(descriptors, pure, NAMES, folds=5)["naive-bayes"]
    low, high = found.accuracy_interval
    assert low < found.accuracy < high
    assert high - low > 0.25


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x, np.ones(len(y), bool)), "60 pure and 0 impure; at least 2 impure"),
        (lambda x, y: (x, np.arange(len(y)) == 0), "1 pure"),
        (lambda x, y: (np.where(np.arange(len(y))[:, None] == 4, np.nan, x), y), "row 5 has no radius_pm"),
        (lambda x, y: (np.where(np.arange(len(y))[:, None] == 4, np.inf, x), y), "row 5 has no radius_pm"),
        (lambda x, y: (np.r_[x[y][:4], x[~y][:4]], np.repeat([True, False], 4)), "10 folds of 8 compositions"),
        (lambda x, y: (np.r_[x[y][:2], x[~y][:3]], np.array([1, 1, 0, 0, 0], bool)), "10 folds of 5"),
    ],
)
def test_a_table_that_nothing_can_be_learned_from_is_refused(change, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cross_validate(*change(*table()), NAMES)


def test_too_few_to_train_on_is_refused() -> None:
    descriptors, pure = np.arange(10.0).reshape(5, 2), np.array([True, True, False, False, False])
    with pytest.raises(ValueError, match="leave 4 to train on"):
        cross_validate(descriptors, pure, NAMES, folds=5)


def test_an_unknown_classifier_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'forest': allowed are naive-bayes, knn"):
        fit(*table(), "forest")


def test_unlabelled_ones_like_the_positives_score_above_those_that_are_not() -> None:
    rng = np.random.default_rng(0)
    positive = rng.normal(0, 1, (30, 2))
    alike, other = rng.normal(0, 1, (30, 2)), rng.normal(5, 1, (90, 2))
    scores = positive_unlabelled_scores(positive, np.concatenate([alike, other]))
    assert scores.shape == (120,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.median(scores[:30]) > 0.5
    assert scores[30:].max() < 0.5
    assert (scores == positive_unlabelled_scores(positive, np.concatenate([alike, other]))).all()


def test_positive_unlabelled_learning_refuses_what_it_cannot_learn_from() -> None:
    with pytest.raises(ValueError, match="0 positive and 3 unlabelled"):
        positive_unlabelled_scores(np.empty((0, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="finite"):
        positive_unlabelled_scores(np.ones((3, 2)), np.full((3, 2), np.nan))


def test_the_figures_are_drawn(tmp_path) -> None:
    found = cross_validate(*table(), NAMES, folds=5)
    changes = drop_one(*table(), NAMES, folds=5, repeats=2)
    paths = [
        plots.confusion_matrices(found, tmp_path / "confusion.png"),
        plots.roc_curves(found, tmp_path / "roc.png"),
        plots.importances(changes, "naive-bayes", tmp_path / "importances.png"),
    ]
    assert all(path.stat().st_size > 5_000 for path in paths)


def test_a_scorer_is_checked_by_hiding_what_it_should_recognise() -> None:
    rng = np.random.default_rng(0)
    positive, other = rng.normal(0, 1, (30, 2)), rng.normal(5, 1, (90, 2))
    skilled = check_positive_unlabelled(positive, other)
    assert skilled.recognised > 0.8
    assert skilled.passing < 0.1
    assert "NO SKILL" not in str(skilled)
    blind = check_positive_unlabelled(positive, rng.normal(0, 1, (90, 2)))
    assert blind.passing == pytest.approx(blind.recognised, abs=0.25)
    assert str(PuCheck(0.4, 0.6)).startswith("NO SKILL: 40% of known successes")
    with pytest.raises(ValueError, match="1 positive; at least 2"):
        check_positive_unlabelled(positive[:1], other)


def test_distances_of_a_support_vector_machine_become_probabilities() -> None:
    """Right on average (Platt's sigmoid), and rising with the machine's own distance."""
    descriptors, pure = table(400, seed=1)
    model = fit(descriptors, pure, "svm")
    found, asked = probability_pure(model, descriptors), table(2000, seed=2)
    assert found.mean() == pytest.approx(pure.mean(), abs=0.03)
    probability, truth = probability_pure(model, asked[0]), asked[1]
    for low in (0.0, 0.25, 0.5, 0.75):
        among = (probability >= low) & (probability <= low + 0.25)
        if among.sum() > 50:
            assert truth[among].mean() == pytest.approx(probability[among].mean(), abs=0.12)
    distance = _classifier("svm", 0).fit(descriptors, pure).decision_function(descriptors)
    assert (np.diff(found[np.argsort(distance)]) >= -1e-12).all()


@pytest.mark.parametrize("few", [2, 3])
def test_a_support_vector_machine_has_probabilities_also_of_small_tables(few: int) -> None:
    descriptors, pure = table()
    rows = np.r_[np.flatnonzero(pure)[:few], np.flatnonzero(~pure)[:4]]
    found = probability_pure(fit(descriptors[rows], pure[rows], "svm"), descriptors)
    assert ((found > 0) & (found < 1)).all()
