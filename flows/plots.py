"""Figures of a campaign for paper and screen (matplotlib). Energies in eV, distances in Å.

Every function takes a `CampaignView` and returns a `Figure`; what cannot be drawn yet says so in the figure.
`narrow` puts panels below each other, for a column of text and for phones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from calculators.label import Hop
from flows.discovery import expected_best_error_eV, expected_best_eV, expected_found
from flows.facts import reference_note
from flows.view import CampaignView
from flows.wording import formula_math, number, plural

INK, MUTED, GRID = "#1f2a37", "#7b8794", "#e4e7eb"
ACCENT, SECOND, WARN, GOOD = "#0b7285", "#e8590c", "#c92a2a", "#2b8a3e"
#: Colours of rounds, from early (dark) to late (light); readable without colour vision.
ROUNDS = "viridis"
#: At most this many compositions of the space are drawn; a map needs no more.
MAP_POINTS = 20_000


def discovery(view: CampaignView, narrow: bool = False) -> Figure:
    """Best barrier so far, and how many compositions lie below the target, against the number of labels."""
    curve = view.discovery
    target = curve.target_eV
    panels = 1 if target is None else 2
    figure, axes = _figure(panels, 1, height=3.8 * panels) if narrow else _figure(1, panels, width=1.4 + 4.1 * panels)
    if not len(curve.value_eV):
        return _empty(figure, axes, f"no label at the target fidelity ({view.target_fidelity}) yet")
    n = np.arange(1, len(curve.value_eV) + 1)
    best = axes[0]
    hollow = np.array([not label.converged for label in curve.labels])
    best.scatter(n[~hollow], curve.value_eV[~hollow], s=16, color=MUTED, alpha=0.7, label="label")
    if hollow.any():
        best.scatter(
            n[hollow], curve.value_eV[hollow], s=16, facecolors="none", edgecolors=MUTED, label="not converged"
        )
    best.step(n, curve.best_eV, where="post", color=ACCENT, lw=2.2, label="best so far")
    if curve.reference is not None:
        expected = expected_best_eV(curve.reference, len(n))
        best.plot(n, expected, color=SECOND, ls="--", lw=1.6, label="random choice, expected")
        error = expected_best_error_eV(curve.reference, len(n))
        if error is not None:
            best.fill_between(n, expected - error, expected + error, color=SECOND, alpha=0.12, lw=0)
    if target is not None:
        best.axhline(target, color=GOOD, lw=1, ls=":", label=f"target {target:g} eV")
    best.set(xlabel="labels", ylabel="$E_b$ (eV)", title="Best so far")
    _legend(best)
    if target is not None:
        found = axes[1]
        found.step(n, curve.found, where="post", color=ACCENT, lw=2.2, label="this campaign")
        if curve.reference is not None:
            expected = expected_found(curve.reference, len(n), target)
            found.plot(n, expected, color=SECOND, ls="--", lw=1.6, label="random choice, expected")
        found.set(xlabel="labels", ylabel="compositions found", title=f"Found with $E_b$ ≤ {target:g} eV")
        found.set_ylim(bottom=0)
        found.yaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(found)
    for axis in axes:
        axis.set_xlim(0, len(n) + 1)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not narrow:  # where it would not fit in a line; the text beside it says so
        _footnote(figure, reference_note(view))
    return figure


def parity(view: CampaignView) -> Figure:
    """Predictions made before labelling against the labels, with the predicted sigma as error bar."""
    figure, axes = _figure(width=5.4, height=5.0)
    data = view.parity
    if not data.size:
        return _empty(figure, axes, "no prediction has met its label yet")
    axis = axes[0]
    low = min(data.label_eV.min(), data.predicted_eV.min())
    high = max(data.label_eV.max(), data.predicted_eV.max())
    pad = 0.08 * (high - low) + 0.005
    limits = (low - pad, high + pad)
    axis.plot(limits, limits, color=MUTED, lw=1)
    sigma = np.nan_to_num(data.sigma_eV, nan=0.0)
    axis.errorbar(data.label_eV, data.predicted_eV, yerr=sigma, fmt="none", ecolor=GRID, elinewidth=1.4, zorder=1)
    points = axis.scatter(
        data.label_eV, data.predicted_eV, c=data.rounds, cmap=ROUNDS, s=26, zorder=2, edgecolors="white", lw=0.4
    )
    axis.set(xlim=limits, ylim=limits, xlabel="label (eV)", ylabel="predicted before labelling (eV)", title="Parity")
    axis.set_aspect("equal")
    _round_bar(figure, axis, points, data.rounds)
    mean = data.mean_predictor_mae_eV
    text = f"MAE {number(data.mae_eV)} eV\nmean predictor {number(mean)} eV\nn = {data.size}"
    axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=9, color=INK)
    _footnote(figure, "Bars: one predicted standard deviation. Mean predictor: leave-one-out mean of these labels.")
    return figure


def paths(view: CampaignView, count: int = 6, narrow: bool = False) -> Figure:
    """Energy along the hops of the best labels: filled if converged, the star is the climbing image."""
    labels = [(key, label) for key, label in view.best_labels.items() if any(hop.path_eV for hop in label.hops)]
    labels = labels[:count]
    columns = min(2 if narrow else 3, max(1, len(labels)))
    lines = -(-len(labels) // columns) if labels else 1
    figure, axes = _figure(lines, columns, width=(3.1 if narrow else 3.6) * columns, height=2.9 * lines, share=True)
    if not labels:
        return _empty(figure, axes, "no label with a path yet")
    formula = {a.label_key: a.formula for a in view.at_target}
    for axis, (key, label) in zip(axes, labels, strict=False):
        for order, hop in enumerate(hop for hop in label.hops if hop.path_eV):
            _path(axis, hop, colormaps["tab10"](order % 10))
        mark = "" if label.converged else " (not converged)"
        axis.set_title(
            f"{formula_math(formula.get(key, key))}\n$E_b$ = {number(label.value_eV)} eV{mark}", fontsize=8
        )
        if len(label.hops) <= 4:
            _legend(axis, fontsize=7)
    for axis in axes[len(labels) :]:
        axis.set_axis_off()
    figure.supxlabel("distance along the path (Å)", fontsize=9, color=INK)
    figure.supylabel("energy above the initial state (eV)", fontsize=9, color=INK)
    return figure


def hop_profiles(hops: Sequence[Hop], title: str) -> Figure:
    """Energy along the hops of one label, as `paths` draws them."""
    figure, axes = _figure(1, 1, width=5.2, height=3.6, share=True)
    for order, hop in enumerate(hop for hop in hops if hop.path_eV):
        _path(axes[0], hop, colormaps["tab10"](order % 10))
    axes[0].set_title(title, fontsize=9)
    _legend(axes[0], fontsize=8)
    figure.supxlabel("distance along the path (Å)", fontsize=9, color=INK)
    figure.supylabel("energy above the initial state (eV)", fontsize=9, color=INK)
    return figure


def cluster_map(view: CampaignView) -> Figure:
    """The space in its two principal components, coloured by cluster; labelled compositions marked by round."""
    figure, axes = _figure(width=7.2, height=5.4)
    space = view.space
    if space is None or space.empty:
        return _empty(figure, axes, "no map of the space (space.csv) in the campaign's folder")
    axis = axes[0]
    shown = space if len(space) <= MAP_POINTS else space.sample(MAP_POINTS, random_state=0)
    size = 14 if len(shown) < 2000 else 4
    axis.scatter(
        shown.pc1, shown.pc2, c=shown.cluster % 20, cmap="tab20", s=size, alpha=0.35, lw=0, vmin=0, vmax=19, zorder=1
    )
    position = space.drop_duplicates("composition").set_index("composition")[["pc1", "pc2"]]
    rows = [(a.composition, a.round, a.converged) for a in view.at_target if a.composition in position.index]
    if rows:
        where = position.loc[[composition for composition, _, _ in rows]].to_numpy()
        rounds = np.array([number for _, number, _ in rows])
        points = axis.scatter(
            where[:, 0], where[:, 1], c=rounds, cmap=ROUNDS, s=58, edgecolors="white", lw=1.1, zorder=3
        )
        _round_bar(figure, axis, points, rounds)
    for name, members in shown.groupby("cluster"):
        centre = members[["pc1", "pc2"]].median()
        axis.text(
            centre.pc1,
            centre.pc2,
            str(name),
            fontsize=8,
            weight="bold",
            color=INK,
            ha="center",
            va="center",
            zorder=4,
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.75},
        )
    title = f"{plural(len(space), 'composition')} in {plural(space.cluster.nunique(), 'cluster')}"
    axis.set(xlabel="principal component 1", ylabel="principal component 2", title=title)
    if len(shown) < len(space):
        _footnote(figure, f"Drawn: a random {MAP_POINTS:,} of the compositions, and every labelled one.")
    return figure


def quality(view: CampaignView, narrow: bool = False) -> Figure:
    """Error, rank correlation and calibration on labels that the model had not seen, round by round."""
    figure, axes = _figure(3, 1, height=8.1) if narrow else _figure(1, 3, width=10.8, height=3.3)
    if not any(len(view.metric(key)[0]) for key in ("mae_eV", "spearman", "r2", "coverage_90")):
        return _empty(figure, axes, "no label has tested the model yet")
    error, rank, calibration = axes
    _series(error, view, "mae_eV", "model", ACCENT)
    _series(error, view, "mean_predictor_mae_eV", "mean predictor", SECOND, ls="--")
    error.set(title="Error on unseen labels", ylabel="MAE (eV)")
    error.set_ylim(bottom=0)
    _series(rank, view, "spearman", "Spearman", ACCENT)
    _series(rank, view, "r2", "R²", SECOND)
    rank.axhline(0, color=MUTED, lw=0.8)
    rank.set(title="Ranking of unseen labels")
    rank.set_ylim(bottom=max(rank.get_ylim()[0], -1.05), top=1.05)  # an R² of -100 says no more than one of -1
    _series(calibration, view, "coverage_90", "coverage of 90 % intervals", ACCENT)
    _series(calibration, view, "miscalibration_area", "miscalibration area", SECOND)
    calibration.axhline(0.9, color=MUTED, lw=0.8, ls=":")
    calibration.set(title="Calibration", ylim=(0, 1.02))
    for axis in axes:
        axis.set_xlabel("round")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axis.get_legend_handles_labels()[0]:
            _legend(axis)
        else:
            _say(axis, "not measured")
    return figure


def barriers(view: CampaignView) -> Figure:
    """Barrier of every target label by round, with the median of each round."""
    figure, axes = _figure(width=6.4)
    labels = view.at_target
    if not labels:
        return _empty(figure, axes, f"no label at the target fidelity ({view.target_fidelity}) yet")
    axis = axes[0]
    rounds = np.array([label.round for label in labels])
    values = np.array([label.value_eV for label in labels], dtype=float)
    converged = np.array([label.converged for label in labels])
    spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(rounds))
    axis.scatter(rounds[converged] + spread[converged], values[converged], s=22, color=ACCENT, alpha=0.75, lw=0)
    hollow = ~converged
    axis.scatter(rounds[hollow] + spread[hollow], values[hollow], s=22, facecolors="none", edgecolors=ACCENT)
    for number_ in np.unique(rounds):
        axis.hlines(np.median(values[rounds == number_]), number_ - 0.3, number_ + 0.3, color=SECOND, lw=2.2)
    axis.set(xlabel="round", ylabel="$E_b$ (eV)", title="Barriers by round")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [
        Line2D([], [], marker="o", ls="", color=ACCENT, label="label"),
        Line2D([], [], marker="o", ls="", markerfacecolor="none", color=ACCENT, label="not converged"),
        Line2D([], [], color=SECOND, lw=2.2, label="median"),
    ]
    _legend(axis, handles=handles if hollow.any() else [handles[0], handles[2]])
    return figure


FIGURES: dict[str, Callable[[CampaignView], Figure]] = {
    "discovery": discovery,
    "parity": parity,
    "paths": paths,
    "clusters": cluster_map,
    "quality": quality,
    "barriers": barriers,
}


def save_plots(view: CampaignView, folder: Path) -> list[Path]:
    """Write every figure as PNG (150 dpi) into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, draw in FIGURES.items():
        path = folder / f"{name}.png"
        draw(view).savefig(path, dpi=150)
        files.append(path)
    return files


# --- the common look -----------------------------------------------------------------------------------------


def _figure(
    rows: int = 1, columns: int = 1, width: float = 6.2, height: float = 4.0, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of its own, without pyplot's global state: safe in threads, freed when it goes out of scope."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel().tolist()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(MUTED)
        axis.tick_params(colors=INK, labelsize=9)
        axis.grid(color=GRID, lw=0.7)
        axis.set_axisbelow(True)
        axis.title.set_fontsize(11)
    return figure, axes


def _empty(figure: Figure, axes: list[Axes], text: str) -> Figure:
    for axis in axes[1:]:
        axis.set_axis_off()
    _say(axes[0], text)
    return figure


def _say(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color=MUTED, fontsize=10, wrap=True)
    axis.grid(False)
    axis.set_xticks([])
    axis.set_yticks([])


def _legend(axis: Axes, **options: object) -> None:
    axis.legend(**{"frameon": False, "fontsize": 8, **options})


def _footnote(figure: Figure, text: str) -> None:
    figure.supxlabel(text, fontsize=7.5, color=MUTED, x=0.01, ha="left")


def _path(axis: Axes, hop: Hop, colour: object) -> None:
    x, y = np.array(hop.path_A), np.array(hop.path_eV)
    label = f"{hop.name or 'hop'} {number(hop.forward_eV)} / {number(hop.backward_eV)} eV"
    face = colour if hop.converged else "none"
    axis.plot(x, y, "-o", color=colour, ms=4, lw=1.3, markerfacecolor=face, label=label)
    if 0 < int(y.argmax()) < len(y) - 1:
        axis.plot(x[y.argmax()], y.max(), "*", color=colour, ms=11, markeredgecolor="white", markeredgewidth=0.5)


def _series(axis: Axes, view: CampaignView, key: str, label: str, colour: str, ls: str = "-") -> None:
    rounds, values = view.metric(key)
    if len(rounds):
        axis.plot(rounds, values, marker="o", ms=4, lw=1.8, color=colour, ls=ls, label=label)


def _round_bar(figure: Figure, axis: Axes, points: object, rounds: np.ndarray) -> None:
    if len(np.unique(rounds)) > 1:
        bar = figure.colorbar(points, ax=axis, shrink=0.8, pad=0.02)  # type: ignore[arg-type]
        bar.set_label("round", fontsize=9)
        bar.locator = MaxNLocator(integer=True)
        bar.update_ticks()
        bar.outline.set_visible(False)
