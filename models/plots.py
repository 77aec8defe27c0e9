"""The figures a person looks at: loss curves, parity with residuals, calibration (as the paper's figures 4, 5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from models.metrics import evaluate
from models.training import History

Floats = NDArray[np.float64]
MODEL, REFERENCE, SECOND = "#1f6f8b", "#9a9a9a", "#d1495b"


def finish(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    return path


def tidy(axes: object) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)  # type: ignore[attr-defined]


def loss_curves(histories: list[History], path: Path, unit: str = "eV") -> Path:
    """Training loss and validation MAE of every member or fold against the epoch; dots mark the epochs kept."""
    figure = Figure(figsize=(8, 3.2))
    loss, validation = figure.subplots(1, 2)
    for history in histories:
        epochs = np.arange(1, len(history.loss) + 1)
        loss.plot(epochs, history.loss, color=MODEL, alpha=0.6, lw=1)
        if np.isfinite(history.validation).any():
            validation.plot(epochs, history.validation, color=MODEL, alpha=0.6, lw=1)
            kept = history.best_epoch
            validation.plot(kept, history.validation[kept - 1], "o", color=SECOND, ms=4)
    loss.set(xlabel="epoch", ylabel="training loss (normalised)", yscale="log")
    validation.set(xlabel="epoch", ylabel=f"validation MAE ({unit})", ylim=(0, None))
    if not validation.lines:
        validation.text(0.5, 0.5, "no labels held out", transform=validation.transAxes, ha="center")
    for axes in (loss, validation):
        tidy(axes)
    return finish(figure, path)


def parity(
    y: Floats, mean: Floats, path: Path, sigma: Floats | None = None, unit: str = "eV", title: str = ""
) -> Path:
    """Prediction against label with the metrics, and the distribution of residuals beside the mean predictor's."""
    found = evaluate(y, mean, sigma)
    figure = Figure(figsize=(8, 3.8))
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    ends = np.array([min(y.min(), mean.min()), max(y.max(), mean.max())])
    ends = ends + np.array([-0.05, 0.05]) * max(float(np.ptp(ends)), 1e-9)
    if sigma is not None:
        left.errorbar(y, mean, yerr=sigma, fmt="none", ecolor=MODEL, alpha=0.2, lw=0.8)
    left.plot(y, mean, "o", color=MODEL, ms=3.5, alpha=0.6, mew=0)
    left.plot(ends, ends, color=REFERENCE, lw=1)
    left.set(
        xlabel=f"label ({unit})", ylabel=f"prediction ({unit})", xlim=ends, ylim=ends, aspect="equal", title=title
    )
    facts = f"MAE {found.mae:.3g} {unit}\nmean predictor {found.mae_mean:.3g}\nR² {found.r2:.2f}   n = {found.n}"
    left.text(0.04, 0.96, facts, transform=left.transAxes, va="top", fontsize=9)
    residual, baseline = mean - y, y.mean() - y
    reach = np.quantile(np.abs(np.concatenate([residual, baseline])), 0.99) or 1.0
    bins = np.linspace(-reach, reach, int(np.clip(2 * np.sqrt(len(y)), 8, 40)) + 1)
    right.hist(np.clip(baseline, -reach, reach), bins, color=REFERENCE, alpha=0.5, label="mean predictor")
    right.hist(np.clip(residual, -reach, reach), bins, color=MODEL, alpha=0.7, label="model")
    right.set(xlabel=f"prediction - label ({unit})", ylabel="labels")
    right.set_ylim(top=1.25 * right.get_ylim()[1])  # room for the legend above the highest bar
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        tidy(axes)
    return finish(figure, path)


def calibration(y: Floats, mean: Floats, sigmas: dict[str, Floats], path: Path) -> Path:
    """Observed against expected coverage of central intervals, one line per kind of sigma."""
    figure = Figure(figsize=(4, 3.8))
    axes = figure.subplots()
    expected = np.linspace(0, 1, 51)
    axes.plot([0, 1], [0, 1], color=REFERENCE, lw=1)
    for (name, sigma), colour in zip(sigmas.items(), (SECOND, MODEL, "#edae49", "#66a182"), strict=False):
        inside = np.abs(mean - y)[:, None] <= norm.ppf(0.5 + expected[None] / 2) * sigma[:, None]
        area = evaluate(y, mean, sigma).miscalibration
        axes.plot(expected, inside.mean(axis=0), color=colour, label=f"{name} (area {area:.2f})")
    axes.set(
        xlabel="expected share in the interval", ylabel="observed share", xlim=(0, 1), ylim=(0, 1), aspect="equal"
    )
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return finish(figure, path)


def comparison(names: list[str], folds: list[Floats], path: Path, reference: float, unit: str = "eV") -> Path:
    """MAE of several models, a dot per fold and a bar for the mean, beside the mean predictor's line."""
    figure = Figure(figsize=(1.6 + 0.9 * len(names), 3.4))
    axes = figure.subplots()
    for place, values in enumerate(folds):
        axes.bar(place, values.mean(), color=MODEL, alpha=0.35, width=0.6)
        axes.plot(np.full(len(values), place), values, "o", color=MODEL, ms=4)
    axes.axhline(reference, color=REFERENCE, lw=1)
    axes.text(len(names) - 0.5, reference, "mean predictor", ha="right", va="bottom", fontsize=8, color="#666666")
    axes.set_xticks(range(len(names)), names, rotation=25, ha="right")
    axes.set(ylabel=f"MAE, test folds ({unit})", ylim=(0, None))
    tidy(axes)
    return finish(figure, path)
