"""`ionloop synthesizability`: classifiers of phase purity on a user's table, and what they say of new formulas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from agent.formula import FOUR_DESCRIPTORS, descriptor_table, read_formula
from agent.hosts import Host
from flows.outcomes import OUTCOMES, Outcomes
from models import synthesizability as models
from models.synthesizability import MAJORITY, CrossValidated

#: The four fields of a confusion matrix, row by row.
COUNTS = ("true_impure", "false_pure", "false_impure", "true_pure")
#: Foldings over which drop-one importances are averaged.
REPEATS = 10


@dataclass(frozen=True)
class Comparison:
    """Every classifier on the same folds, and what each descriptor is worth to one of them."""

    outcomes: Outcomes
    folds: int
    classifier: str
    found: dict[str, CrossValidated]
    importances: dict[str, tuple[float, float]]

    def table(self) -> pd.DataFrame:
        """One row per classifier, best first; the majority-class predictor last."""
        rows = [
            {
                "classifier": one.name,
                "accuracy": one.accuracy,
                "accuracy_low": one.accuracy_interval[0],
                "accuracy_high": one.accuracy_interval[1],
                "balanced_accuracy": one.balanced_accuracy,
                "roc_auc": float("nan") if one.name == MAJORITY else one.auc,
                **dict(zip(COUNTS, one.confusion.ravel(), strict=True)),
            }
            for one in self.found.values()
        ]
        table = pd.DataFrame(rows)
        order = np.lexsort((-table["balanced_accuracy"], -table["accuracy"], table["classifier"] == MAJORITY))
        return table.iloc[order].reset_index(drop=True)

    def verdict(self) -> str:
        """Whether anything was learned, in one line."""
        best, base = self.table().iloc[0], self.found[MAJORITY].accuracy
        head = (
            f"{len(self.outcomes)} compositions, {self.outcomes.pure.sum()} pure; {self.folds}-fold cross-validation"
        )
        if best["accuracy_low"] > base:
            return (
                f"{head}: {best['classifier']} is right for {best['accuracy']:.0%}, the majority class for {base:.0%}"
            )
        return (
            f"{head}: no classifier is reliably better than always naming the majority class ({base:.0%}); "
            f"the best, {best['classifier']}, is right for {best['accuracy']:.0%} "
            f"({best['accuracy_low']:.0%} to {best['accuracy_high']:.0%})"
        )


def compare(outcomes: Outcomes, folds: int = 10, classifier: str = "naive-bayes", seed: int = 0) -> Comparison:
    """Cross-validate all classifiers, and leave out one descriptor at a time for one of them.

    Raises:
        ValueError: a table from which nothing can be learned; the message says what is missing.
    """
    data = outcomes.descriptors, outcomes.pure, FOUR_DESCRIPTORS
    if classifier not in models.CLASSIFIERS:
        raise ValueError(f"classifier {classifier!r}: allowed are {', '.join(models.CLASSIFIERS)}")
    found = models.cross_validate(*data, folds, seed)
    return Comparison(outcomes, folds, classifier, found, models.drop_one(*data, folds, seed, classifier, REPEATS))


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Tables and figures of a comparison: classifiers.csv, compositions.csv, importances.csv and three PNG."""
    from models import synthesizability_plots as plots

    folder.mkdir(parents=True, exist_ok=True)
    compositions = comparison.outcomes.frame()
    for one in comparison.found.values():
        compositions[one.name] = np.where(one.predicted, *OUTCOMES)
    importances = pd.DataFrame(
        [(name, *values) for name, values in comparison.importances.items()],
        columns=["descriptor", "error_increase", "spread"],
    )
    tables = {"classifiers": comparison.table(), "compositions": compositions, "importances": importances}
    for name, table in tables.items():
        table.round(6).to_csv(folder / f"{name}.csv", index=False)
    return [
        *(folder / f"{name}.csv" for name in tables),
        plots.confusion_matrices(comparison.found, folder / "confusion.png"),
        plots.roc_curves(comparison.found, folder / "roc.png"),
        plots.importances(comparison.importances, comparison.classifier, folder / "importances.png"),
    ]


def predict(
    outcomes: Outcomes,
    formulas: list[str],
    host: Host,
    classifier: str = "naive-bayes",
    seed: int = 0,
    pu: bool = False,
) -> pd.DataFrame:
    """What a classifier trained on all outcomes says of new formulas, and (`pu`) how alike they are to the pure ones.

    With `pu`, a table of pure compositions alone is enough; nothing is classified then.

    Raises:
        ValueError: a formula this host cannot be, or too few outcomes.
    """
    descriptors = descriptor_table(read_formula(formula, host) for formula in formulas)
    table = pd.DataFrame({"formula": formulas}).join(pd.DataFrame(descriptors, columns=list(FOUR_DESCRIPTORS)))
    if not (pu and outcomes.pure.all()):
        model = models.fit(outcomes.descriptors, outcomes.pure, classifier, seed)
        table["probability_pure"] = models.probability_pure(model, descriptors)
    if pu:
        positive = outcomes.descriptors[outcomes.pure]
        table["pu_score"] = models.positive_unlabelled_scores(positive, descriptors, seed=seed)
    return table


def check_pu(outcomes: Outcomes, predicted: pd.DataFrame, seed: int = 0) -> models.PuCheck:
    """How many known pure compositions the scores of `predict` would recognise, beside how many of the rest pass.

    Raises:
        ValueError: a single pure composition.
    """
    unlabelled = predicted[list(FOUR_DESCRIPTORS)].to_numpy(dtype=float)
    return models.check_positive_unlabelled(outcomes.descriptors[outcomes.pure], unlabelled, seed=seed)


def read_formulas(path: Path) -> list[str]:
    """The formulas of a CSV with a column `formula`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such column.
    """
    if not path.is_file():
        raise FileNotFoundError(f"formulas {path}: no such file")
    table = pd.read_csv(path, dtype=str, keep_default_na=False, comment="#")
    if "formula" not in table.columns:
        raise ValueError(f"formulas {path}: column formula missing; it has {', '.join(table.columns)}")
    return [formula.strip() for formula in table["formula"]]
