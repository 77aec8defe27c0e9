"""Confusion matrices, ROC curves and drop-one importances of phase-purity classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models.plots import MODEL, REFERENCE, SECOND, finish, tidy
from models.synthesizability import MAJORITY, CrossValidated

OUTCOMES = ("impure", "pure")


def confusion_matrices(found: Mapping[str, CrossValidated], path: Path) -> Path:
    """One matrix per classifier, with its cross-validated accuracy and the interval that the sample size leaves."""
    figure = Figure(figsize=(2.5 * len(found), 2.9))
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    most = max(one.confusion.max() for one in found.values())
    for axes, one in zip(panels, found.values(), strict=True):
        axes.imshow(one.confusion, cmap="Blues", vmin=0, vmax=most)
        for row, column in np.ndindex(2, 2):
            count = one.confusion[row, column]
            colour = "white" if count > most / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
        low, high = one.accuracy_interval
        axes.set_title(f"{one.name}\n{one.accuracy:.0%} right ({low:.0%} to {high:.0%})", fontsize=8)
        axes.set_xticks([0, 1], OUTCOMES, fontsize=8)
        axes.set_yticks([0, 1], OUTCOMES, fontsize=8)
        axes.set_xlabel("predicted", fontsize=8)
    panels[0].set_ylabel("found by experiment", fontsize=8)
    return finish(figure, path)


def roc_curves(found: Mapping[str, CrossValidated], path: Path) -> Path:
    """Every classifier's curve over its out-of-fold scores; the diagonal is what no knowledge gives."""
    figure = Figure(figsize=(4.4, 4))
    axes = figure.subplots()
    for one in found.values():
        if one.name == MAJORITY:
            continue
        false, true = one.roc()
        axes.plot(false, true, lw=1.8, label=f"{one.name}, area {one.auc:.2f}")
    axes.plot([0, 1], [0, 1], "--", color=REFERENCE, lw=1, label="no knowledge, area 0.50")
    axes.set(xlabel="impure ones called pure", ylabel="pure ones called pure", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    tidy(axes)
    return finish(figure, path)


def importances(changes: Mapping[str, tuple[float, float]], classifier: str, path: Path) -> Path:
    """How many more compositions are told wrongly without a descriptor; bars are the spread over foldings."""
    order = sorted(changes, key=lambda name: changes[name][0])
    figure = Figure(figsize=(5.2, 0.45 * len(order) + 1.1))
    axes = figure.subplots()
    mean = [100 * changes[name][0] for name in order]
    spread = [100 * changes[name][1] for name in order]
    colours = [MODEL if value > 0 else SECOND for value in mean]
    axes.barh(order, mean, xerr=spread, color=colours, height=0.6, error_kw={"lw": 1, "capsize": 3})
    axes.axvline(0, color="black", lw=0.8)
    axes.set_xlabel(f"increase of the error of {classifier} without it (percentage points)")
    tidy(axes)
    return finish(figure, path)
