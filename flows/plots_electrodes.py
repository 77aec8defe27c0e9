"""Figures of electrodes: voltage profiles, and the ranking beside the rules (matplotlib; V and eV/atom)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from agent.electrode_screening import OPERATING_MINIMUM_V, Rules, Screened, relaxation_variation
from flows.plots import ACCENT, GOOD, MUTED, SECOND, WARN, _empty, _figure, _footnote, _legend
from flows.wording import formula_math

#: Profiles drawn at most; more cannot be told apart.
MOST_PROFILES = 8
#: Compounds named beside the points of the ranking.
BEST_NAMED = 10


def profiles(table: pd.DataFrame, mobile: str = "Na") -> Figure:
    """Voltage against mobile-ion content of the first arrangements of a table that have voltages."""
    figure, axes = _figure(width=6.4, height=4.2)
    drawable = table[table["verdict"] == "ok"].dropna(subset=["V21", "V32", "V43"], how="all")
    if drawable.empty:
        return _empty(figure, axes, "no arrangement has voltages yet")
    axis, colours = axes[0], colormaps["viridis"]
    shown = drawable.head(MOST_PROFILES)
    for number, row in enumerate(shown.to_dict("records")):
        values = [(low, row[f"V{low + 1}{low}"]) for low in (1, 2, 3) if not pd.isna(row[f"V{low + 1}{low}"])]
        contents = [end for low, _ in values for end in (low, low + 1)]
        levels = [value for _, value in values for _ in range(2)]
        colour = colours(0.9 * number / max(len(shown) - 1, 1))
        axis.plot(contents, levels, color=colour, lw=1.8, label=f"{formula_math(row['compound'])} #{_number(row)}")
    axis.set(xlabel=f"{mobile} per formula unit", ylabel=f"voltage against {mobile}$^+$/{mobile} (V)")
    axis.set_xticks([1, 2, 3, 4])
    axis.set_title("Average voltages between whole contents")
    _legend(axis)
    calculators = ", ".join(sorted(set(shown["calculator"])))
    hidden = len(drawable) - len(shown)
    _footnote(figure, f"{calculators}" + (f"; {hidden} more arrangements in the table" if hidden else ""))
    return figure


def _number(row: dict[str, object]) -> str:
    return str(row["name"]).rpartition("#")[2]


def ranking(screened: Sequence[Screened], rules: Rules) -> Figure:
    """V21 against V43 with the window of rule 3, and the variation in relaxation energy with the limit of rule 1."""
    figure, axes = _figure(1, 2, width=10.4, height=4.4)
    drawable = [one for one in screened if one.candidate.V21 is not None and one.candidate.V43 is not None]
    if not drawable:
        return _empty(figure, axes, "no candidate has voltages")
    left, right = axes
    left.axhspan(rules.min_V21_V, rules.max_V21_V, color=GOOD, alpha=0.10, lw=0, label="window of V21")
    left.axvline(OPERATING_MINIMUM_V, color=MUTED, lw=1, ls=":", label="lower end of the operating window")
    right.axvline(rules.max_relaxation_eV_per_atom, color=WARN, lw=1, ls=":", label="limit")
    for passed, colour, label in ((False, MUTED, "left out"), (True, ACCENT, "stays")):
        some = [one for one in drawable if one.passed is passed]
        if not some:
            continue
        points = [
            (
                one.candidate.V43,
                one.candidate.V21,
                relaxation_variation(one.candidate.relaxation_eV_per_atom, rules.relaxation_measure),
                one.score,
            )
            for one in some
        ]
        V43, V21, variation, score = np.array(points, dtype=float).T  # no score is NaN, which is not drawn
        left.scatter(V43, V21, s=26, color=colour, label=label, zorder=2)
        right.scatter(variation, score, s=26, color=colour, zorder=2)
    best = [one for one in drawable if one.rank is not None][:BEST_NAMED]
    for one in best:
        place = (one.candidate.V43 or 0.0, one.candidate.V21 or 0.0)
        left.annotate(str(one.rank), place, xytext=(4, 4), textcoords="offset points", fontsize=8, color=SECOND)
    names = "\n".join(f"{one.rank}  {formula_math(one.candidate.compound)}" for one in best)
    left.text(0.98, 0.03, names, transform=left.transAxes, ha="right", va="bottom", fontsize=8, color=SECOND)
    left.set(xlabel="$V_{43}$ (V)", ylabel="$V_{21}$ (V)", title="Rule 3")
    right.set(
        xlabel=f"relaxation energy, {rules.relaxation_measure} over contents (eV/atom)",
        ylabel="$(V_{21}-V_{43})/V_{43}$",
        title="Rule 1 and the score",
        yscale="log",
    )
    _legend(left)
    _legend(right)
    _footnote(
        figure,
        "Rule 2, step shape, cannot be seen here: ranking.csv gives every reason. Scores below 0 are not drawn.",
    )
    return figure
