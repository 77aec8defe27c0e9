"""Will a composition come out of the furnace as one phase? Classifiers of phase purity on a few descriptors.

Zuo et al. (EES 19, 860 (2026)): Gaussian naive Bayes beside k nearest neighbours, decision tree, support-vector
machine and multilayer perceptron, compared by ten-fold cross-validation, confusion matrices, ROC curves and the error
that appears when a descriptor is left out. Here the predictor that knows only how frequent each outcome is stands
beside all of them.

Shim et al. (NVPF electrodes): where only successes are known, positive-unlabelled learning by bagging 100 times
(Mordelet & Vert, Pattern Recognit. Lett. 37, 201 (2014)), through the library pulearn.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.base import ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score, roc_curve
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: The five of the paper, with scikit-learn's own settings on standardised descriptors where scale matters.
CLASSIFIERS: dict[str, Callable[[int], ClassifierMixin]] = {
    "naive-bayes": lambda seed: GaussianNB(),
    "knn": lambda seed: make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "tree": lambda seed: DecisionTreeClassifier(random_state=seed),
    "svm": lambda seed: make_pipeline(StandardScaler(), SVC(random_state=seed)),
    "mlp": lambda seed: make_pipeline(StandardScaler(), MLPClassifier(max_iter=2000, random_state=seed)),
}
MAJORITY = "majority"
#: Members of a class needed before anything is fitted: one could not even stand in training and test.
LEAST_OF_A_CLASS = 2
#: Compositions that must be there to train on (k nearest neighbours asks for five).
LEAST_TRAINED_ON = 5
#: Repetitions of the bagging, as in the paper.
PU_ROUNDS = 100
#: A score above which positive-unlabelled learning calls a composition synthesizable, as in the paper.
PU_THRESHOLD = 0.5
#: Folds in which distances from the support-vector machine's plane are collected for Platt's sigmoid.
PLATT_FOLDS = 10


@dataclass(frozen=True)
class CrossValidated:
    """Out-of-fold predictions of one classifier.

    Attributes:
        pure: (n,) what happened. `predicted`: (n,) what was said by a model that had not seen it.
        score: (n,) its score, higher is purer: a probability, or the support-vector machine's signed distance.
    """

    name: str
    pure: Bools
    predicted: Bools
    score: Floats

    @property
    def accuracy(self) -> float:
        return float((self.pure == self.predicted).mean())

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson), from the number of compositions alone."""
        right = int((self.pure == self.predicted).sum())
        found = binomtest(right, len(self.pure)).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the share of the pure and of the impure that were recognised; 0.5 without any skill."""
        return float(balanced_accuracy_score(self.pure, self.predicted))

    @property
    def auc(self) -> float:
        """Area under the ROC curve; 0.5 without any skill."""
        return float(roc_auc_score(self.pure, self.score))

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(2, 2): rows what happened (impure, pure), columns what was said."""
        return np.asarray(confusion_matrix(self.pure, self.predicted, labels=[False, True]))

    def roc(self) -> tuple[Floats, Floats]:
        """False-positive and true-positive rates along the curve."""
        false, true, _ = roc_curve(self.pure, self.score)
        return false, true


def check_outcomes(descriptors: Floats, pure: Bools, names: Sequence[str], folds: int | None = None) -> None:
    """What no classifier may be trained on.

    Raises:
        ValueError: a descriptor is no number, only one outcome is there, a class has a single member, or there are
            too few compositions (fewer than folds, or fewer than five to train on).
    """
    if descriptors.ndim != 2 or descriptors.shape != (len(pure), len(names)):
        raise ValueError(f"outcomes: {len(pure)} of them, but descriptors of shape {descriptors.shape}")
    bad = np.argwhere(~np.isfinite(descriptors))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"outcomes: row {row + 1} has no {names[column]}; every descriptor must be a finite number")
    counts = {"pure": int(pure.sum()), "impure": int((~pure).sum())}
    for name, count in counts.items():
        if count < LEAST_OF_A_CLASS:
            raise ValueError(
                f"outcomes: {counts['pure']} pure and {counts['impure']} impure; at least {LEAST_OF_A_CLASS} {name} "
                "ones are needed to learn what makes the difference"
            )
    if folds is not None and not 2 <= folds <= len(pure):
        raise ValueError(f"outcomes: {folds} folds of {len(pure)} compositions; allowed: 2 to {len(pure)}")
    left = len(pure) if folds is None else len(pure) - math.ceil(len(pure) / folds)
    if left < LEAST_TRAINED_ON:
        raise ValueError(
            f"outcomes: {len(pure)} compositions leave {left} to train on; at least {LEAST_TRAINED_ON} are needed"
        )


def fit(descriptors: Floats, pure: Bools, classifier: str = "naive-bayes", seed: int = 0) -> Any:
    """A trained classifier; `probability_pure` reads it.

    A support-vector machine only knows distances from its plane. They become probabilities by Platt's sigmoid, fitted
    to the distances of rows that the machine had not seen (Platt, Adv. Large Margin Classif. 10, 61 (1999)).

    Raises:
        ValueError: no such classifier, or a table that nothing can be learned from.
    """
    check_outcomes(descriptors, pure, [f"descriptor {i + 1}" for i in range(np.shape(descriptors)[-1])])
    model = _classifier(classifier, seed)
    if not hasattr(model, "predict_proba"):
        splits = _folds(pure, min(PLATT_FOLDS, len(pure)), seed)
        model = CalibratedClassifierCV(model, method="sigmoid", cv=splits, ensemble=False)
    return model.fit(descriptors, pure)


def probability_pure(model: Any, descriptors: Floats) -> Floats:
    """(n,) probability of a single phase, of a classifier that gives probabilities."""
    return np.asarray(model.predict_proba(descriptors)[:, list(model.classes_).index(True)])


def cross_validate(
    descriptors: Floats,
    pure: Bools,
    names: Sequence[str],
    folds: int = 10,
    seed: int = 0,
    classifiers: Sequence[str] = tuple(CLASSIFIERS),
) -> dict[str, CrossValidated]:
    """Each classifier, and the majority-class predictor, on the same stratified folds.

    Raises:
        ValueError: see `check_outcomes`; or no such classifier.
    """
    check_outcomes(descriptors, pure, names, folds)
    found = {}
    for name in (*classifiers, MAJORITY):
        predicted, score = np.zeros(len(pure), dtype=bool), np.zeros(len(pure))
        for train, test in _folds(pure, folds, seed):
            model = _classifier(name, seed).fit(descriptors[train], pure[train])
            predicted[test] = model.predict(descriptors[test])
            score[test] = _score(model, descriptors[test])
        found[name] = CrossValidated(name, pure, predicted, score)
    return found


def drop_one(
    descriptors: Floats,
    pure: Bools,
    names: Sequence[str],
    folds: int = 10,
    seed: int = 0,
    classifier: str = "naive-bayes",
    repeats: int = 10,
) -> dict[str, tuple[float, float]]:
    """How much larger the cross-validated error is without each descriptor: mean and spread over `repeats` foldings.

    Raises:
        ValueError: fewer than two descriptors, or see `check_outcomes`.
    """
    if len(names) < 2:
        raise ValueError(f"outcomes: with {len(names)} descriptor there is none that could be left out")
    changes: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        again = seed + repeat
        whole = cross_validate(descriptors, pure, names, folds, again, [classifier])[classifier].accuracy
        for column, name in enumerate(names):
            rest = [n for n in names if n != name]
            part = np.delete(descriptors, column, axis=1)
            without = cross_validate(part, pure, rest, folds, again, [classifier])[classifier].accuracy
            changes[name].append(whole - without)
    return {name: (float(np.mean(values)), float(np.std(values))) for name, values in changes.items()}


def positive_unlabelled_scores(
    positive: Floats, unlabelled: Floats, classifier: str = "tree", rounds: int = PU_ROUNDS, seed: int = 0
) -> Floats:
    """(n,) scores of the unlabelled, 0 to 1: how much each looks like the positives (above 0.5: synthesizable).

    Each round takes as many random unlabelled ones as there are positives for negatives, trains on both and scores
    the unlabelled it has not seen; a score is the mean of those (the crystal-likeness score of Shim et al., whose
    classifier is a CGCNN on structures).

    Raises:
        ValueError: no positives, fewer unlabelled than two, or descriptors that are no numbers.
        ImportError: pulearn is not installed.
    """
    if len(positive) < 1 or len(unlabelled) < 2:
        raise ValueError(
            f"positive-unlabelled learning: {len(positive)} positive and {len(unlabelled)} unlabelled compositions; "
            "at least 1 and 2 are needed"
        )
    everything = np.concatenate([positive, unlabelled])
    if not np.isfinite(everything).all():
        raise ValueError("positive-unlabelled learning: every descriptor must be a finite number")
    try:
        from pulearn import BaggingPuClassifier
    except ImportError as error:
        raise ImportError(
            "positive-unlabelled learning needs the package pulearn: pip install 'ionloop[interpret]'"
        ) from error
    labels = np.repeat([1, 0], [len(positive), len(unlabelled)])
    size = min(len(positive), len(unlabelled) - 1)
    bagging = BaggingPuClassifier(
        clone(_classifier(classifier, seed)), n_estimators=rounds, max_samples=size, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # positives have no out-of-bag score, which it remarks on
        bagging.fit(everything, labels)
    return np.asarray(bagging.oob_decision_function_[len(positive) :, 1])


@dataclass(frozen=True)
class PuCheck:
    """What can be known of a positive-unlabelled scorer without a single negative.

    Attributes:
        recognised: share of the known positives that score above the threshold when hidden among the unlabelled.
        passing: share of the unlabelled that does; a scorer without skill has both equal.
    """

    recognised: float
    passing: float

    def __str__(self) -> str:
        text = f"{self.recognised:.0%} of known successes recognised when hidden, {self.passing:.0%} of the rest pass"
        return text if self.recognised > self.passing else f"NO SKILL: {text}"


def check_positive_unlabelled(
    positive: Floats, unlabelled: Floats, classifier: str = "tree", rounds: int = PU_ROUNDS, seed: int = 0
) -> PuCheck:
    """Hide every positive once among the unlabelled (five folds, or one at a time) and score it there.

    Raises:
        ValueError: fewer than two positives, of which one could be hidden; or see `positive_unlabelled_scores`.
    """
    if len(positive) < 2:
        raise ValueError(f"positive-unlabelled learning: {len(positive)} positive; at least 2 are needed to check it")
    hidden = np.zeros(len(positive))
    passing = []
    for fold in np.array_split(np.random.default_rng(seed).permutation(len(positive)), min(5, len(positive))):
        rest = np.concatenate([positive[fold], unlabelled])
        scores = positive_unlabelled_scores(np.delete(positive, fold, axis=0), rest, classifier, rounds, seed)
        hidden[fold] = scores[: len(fold)]
        passing.append((scores[len(fold) :] > PU_THRESHOLD).mean())
    return PuCheck(float((hidden > PU_THRESHOLD).mean()), float(np.mean(passing)))


def _classifier(name: str, seed: int) -> Any:
    if name == MAJORITY:
        return DummyClassifier(strategy="prior")
    if name not in CLASSIFIERS:
        raise ValueError(f"classifier {name!r}: allowed are {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name](seed)


def _folds(pure: Bools, folds: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Shuffled folds over which both classes are dealt out in turn, also where one has fewer members than folds."""
    shuffled = np.random.default_rng(seed).permutation(len(pure))
    dealt = shuffled[np.argsort(pure[shuffled], kind="stable")]
    fold = np.empty(len(pure), dtype=np.int64)
    fold[dealt] = np.arange(len(pure)) % folds
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]


def _score(model: Any, descriptors: Floats) -> Floats:
    if hasattr(model, "predict_proba"):
        return probability_pure(model, descriptors)
    return np.asarray(model.decision_function(descriptors))
