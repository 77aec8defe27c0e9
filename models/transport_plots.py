"""Figures of a transport model: parity out of fold, what it pays heed to, spread over orderings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.plots import MODEL, REFERENCE, SECOND, finish, tidy
from models.transport import FeatureData, Importances, OutOfFold, Stability

Floats = NDArray[np.float64]
#: Features in a figure; more are not read anyway.
SHOWN = 18


def parities(data: FeatureData, found: Mapping[str, OutOfFold], unit: str, path: Path) -> Path:
    """Out-of-fold prediction against target, one panel per regressor."""
    figure = Figure(figsize=(4.2 * len(found), 4))
    ends = [data.target.min(), data.target.max()]
    for axes, one in zip(figure.subplots(1, len(found), squeeze=False)[0], found.values(), strict=True):
        axes.plot(ends, ends, "-", color=REFERENCE, lw=1)
        axes.axhline(data.target.mean(), color=REFERENCE, lw=1, ls="--", label="mean predictor")
        axes.plot(data.target, one.predicted, "o", ms=4, color=MODEL, alpha=0.7)
        m = one.metrics
        axes.set_title(f"{one.name}\nMAE {m.mae:.3g}, mean predictor {m.mae_mean:.3g} {unit}", fontsize=9)
        axes.set(xlabel=f"{data.target_name} ({unit})".replace(" ()", ""), ylabel="predicted, out of fold")
        axes.legend(frameon=False, fontsize=8)
        tidy(axes)
    figure.tight_layout()
    return finish(figure, path)


def contributions(found: Importances, unit: str, path: Path, seed: int = 0) -> Path:
    """Bars of mean absolute contributions; beside them, by Shapley values, every row's contribution.

    Colour is the feature's own value, from its lowest (blue) to its highest (red).
    """
    shown = min(SHOWN, len(found.names))
    names, strength = found.names[:shown][::-1], found.mean_abs[:shown][::-1]
    height = 0.3 * shown + 1.2
    figure = Figure(figsize=(10 if found.values is not None else 5.5, height))
    panels = figure.subplots(1, 2 if found.values is not None else 1, squeeze=False, sharey=True)[0]
    panels[0].barh(range(shown), strength, color=MODEL, height=0.65)
    panels[0].set_yticks(range(shown), names, fontsize=8)
    what = "mean |Shapley value|" if found.method == "shap" else "error when shuffled"
    panels[0].set_xlabel(f"{what} ({unit})".replace(" ()", ""))
    tidy(panels[0])
    if found.values is not None:
        rng = np.random.default_rng(seed)
        for row in range(shown):
            column = shown - 1 - row
            values, features = found.values[:, column], found.features[:, column]
            ranks = features.argsort().argsort() / max(1, len(features) - 1)
            height_of = row + rng.uniform(-0.25, 0.25, len(values))
            points = panels[1].scatter(values, height_of, c=ranks, cmap="coolwarm", s=9, alpha=0.8, vmin=0, vmax=1)
        panels[1].axvline(0, color="black", lw=0.8)
        panels[1].set_xlabel(f"Shapley value of each structure ({unit})".replace(" ()", ""))
        bar = figure.colorbar(points, ax=panels[1], ticks=[0, 1], shrink=0.6)
        bar.ax.set_yticklabels(["low", "high"], fontsize=8)
        bar.set_label("feature's value", fontsize=8)
        tidy(panels[1])
    return finish(figure, path)


def orderings(data: FeatureData, found: Stability, unit: str, path: Path) -> Path:
    """Predictions for orderings of one composition within the target's range; each feature's own spread."""
    figure = Figure(figsize=(10, 0.26 * len(data.names) + 1.4))
    left, right = figure.subplots(1, 2)
    everything = np.concatenate([data.target, *found.predictions.values()])
    bins = np.linspace(everything.min(), everything.max(), 31).tolist()
    left.hist(data.target, bins, color=REFERENCE, alpha=0.5, density=True, label="target of all compositions")
    for (name, values), colour in zip(found.predictions.items(), (MODEL, SECOND), strict=False):
        left.hist(
            values, bins, alpha=0.6, density=True, color=colour, label=f"{name}, {len(values)} orderings of one"
        )
    left.set(xlabel=f"{data.target_name} ({unit})".replace(" ()", ""), yticks=[])
    left.legend(frameon=False, fontsize=8)
    names = sorted(found.share, key=lambda name: np.nan_to_num(found.share[name]))
    right.barh(names, [found.share[name] for name in names], color=MODEL, height=0.65)
    right.axvline(1, color=REFERENCE, ls="--", lw=1)
    right.set_xlabel("spread over orderings / spread over compositions")
    right.tick_params(axis="y", labelsize=8)
    for axes in (left, right):
        tidy(axes)
    figure.tight_layout()
    return finish(figure, path)
