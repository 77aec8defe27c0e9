"""How the report's figures look (plotly), and the parts that several of them share."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from flows.plots import GRID, INK
from flows.view import Acquisition
from flows.wording import formula_html, number

FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def look(figure: go.Figure, x: str, y: str, legend: bool = True) -> go.Figure:
    """The house's look, with titles of the axes."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 62, "r": 16, "t": 24, "b": 52},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        showlegend=legend,
        hoverlabel={"font": {"family": FONT, "size": 13}, "bgcolor": "white", "align": "left"},
    )
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": "#cbd2d9", "ticks": "", "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    if x or y:
        figure.update_xaxes(title_text=x, title_standoff=10)
        figure.update_yaxes(title_text=y, title_standoff=8)
    return figure


def hover(label: Acquisition) -> str:
    """What a label's point says when one points at it."""
    lines = [f"<b>{formula_html(label.formula)}</b>", f"label {number(label.value_eV)} eV, round {label.round}"]
    if label.mean_eV is not None:
        lines.append(f"predicted {number(label.mean_eV)} ± {number(label.sigma_eV)} eV")
    if not label.converged:
        lines.append("not converged")
    return "<br>".join(lines)


def tick(rounds: list[int]) -> int:
    """Rounds between two ticks of an axis."""
    return max(1, (max(rounds) - min(rounds)) // 10) if rounds else 1


def colorbar(title: str, rounds: np.ndarray) -> dict[str, object]:
    """A scale of colours for rounds."""
    ticks = sorted(set(np.linspace(rounds.min(), rounds.max(), 5).round().astype(int).tolist()))
    return {"title": {"text": title}, "thickness": 10, "outlinewidth": 0, "tickvals": ticks, "len": 0.85}
