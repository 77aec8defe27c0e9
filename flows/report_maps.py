"""The report's maps (plotly): the space with what was chosen from it, and which dopants pay. Energies in eV."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import qualitative

from flows.dopants import Dopants
from flows.plots import ACCENT, MUTED, SECOND
from flows.report_style import colorbar, hover, look
from flows.view import CampaignView
from flows.wording import formula_html

#: Points of the space that go into the page; more would only make it heavy.
MAP_POINTS = 6_000
CLUSTERS = qualitative.Dark24


def cluster_map(view: CampaignView) -> go.Figure | None:
    """The space by cluster; a slider walks through the rounds."""
    space = view.space
    if space is None or space.empty:
        return None
    shown = space if len(space) <= MAP_POINTS else space.sample(MAP_POINTS, random_state=0)
    scatter = go.Scattergl if len(shown) > 2_000 else go.Scatter
    figure = go.Figure(
        scatter(
            x=shown.pc1.astype("float32"),
            y=shown.pc2.astype("float32"),
            mode="markers",
            marker={
                "color": [CLUSTERS[int(c) % len(CLUSTERS)] for c in shown.cluster],
                "size": 5 if len(shown) > 1500 else 7,
                "opacity": 0.28,
            },
            text=[f"{formula_html(f)}<br>cluster {c}" for f, c in zip(shown.formula, shown.cluster, strict=True)],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )
    labelled = _placed(view, space)
    if labelled.empty:
        return look(figure, "principal component 1", "principal component 2", legend=False)
    rounds = sorted(labelled["round"].unique().tolist())
    figure.add_trace(_labelled_trace(labelled, rounds))
    figure.frames = [
        go.Frame(data=[_labelled_trace(labelled[labelled["round"] <= r], rounds)], traces=[1], name=str(r))
        for r in rounds
    ]
    look(figure, "principal component 1", "principal component 2", legend=False)
    if len(rounds) > 1:
        figure.update_layout(sliders=[_slider(rounds)], margin_b=110)
    return figure


def dopant_effects(dopants: Dopants) -> go.Figure:
    """Barrier with an element minus without it, from helpful to harmful."""
    errors = [effect.error_eV or 0.0 for effect in dopants.effects]
    colours = [ACCENT if effect.difference_eV < 0 else SECOND for effect in dopants.effects]
    figure = go.Figure(
        go.Bar(
            x=[effect.element for effect in dopants.effects],
            y=[effect.difference_eV for effect in dopants.effects],
            error_y={"array": errors, "color": MUTED, "thickness": 1.2},
            marker={"color": colours, "opacity": 0.85},
            text=[f"{effect.count} compositions" for effect in dopants.effects],
            textposition="none",
            hovertemplate="%{x}: %{y:+.3f} eV (%{text})<extra></extra>",
        )
    )
    look(figure, "", "E<sub>b</sub> with − without (eV)", legend=False)
    many = len(dopants.elements) > 15
    return figure.update_xaxes(dtick=1, tickfont={"size": 8 if many else 12}, tickangle=-90 if many else 0)


def dopant_pairs(dopants: Dopants) -> go.Figure:
    """Mean barrier of all compositions that hold both elements; empty where there are none."""
    figure = go.Figure(
        go.Heatmap(
            x=dopants.elements,
            y=dopants.elements,
            z=dopants.mean_eV,
            customdata=dopants.counts,
            colorscale="Viridis",
            colorbar={"title": {"text": "E<sub>b</sub> (eV)"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate="%{y} with %{x}: %{z:.3f} eV, %{customdata} compositions<extra></extra>",
            hoverongaps=False,
            xgap=1.5,
            ygap=1.5,
        )
    )
    look(figure, "", "", legend=False)
    small = {"showgrid": False, "dtick": 1, "tickfont": {"size": 12 if len(dopants.elements) < 16 else 8}}
    figure.update_xaxes(tickangle=0 if len(dopants.elements) < 16 else -90, **small)
    figure.update_yaxes(autorange="reversed", **small)
    return figure


def _placed(view: CampaignView, space: pd.DataFrame) -> pd.DataFrame:
    """Target labels with their place on the map."""
    labels = pd.DataFrame(
        [(a.composition, a.round, hover(a)) for a in view.at_target], columns=["composition", "round", "text"]
    )
    places = space.drop_duplicates("composition")[["composition", "pc1", "pc2"]]
    return labels.merge(places, on="composition")


def _labelled_trace(labelled: pd.DataFrame, rounds: list[int]) -> go.Scatter:
    return go.Scatter(
        x=labelled.pc1,
        y=labelled.pc2,
        mode="markers",
        marker={
            "color": labelled["round"],
            "colorscale": "Viridis",
            "cmin": min(rounds),
            "cmax": max(rounds) + 1e-9,
            "size": 13,
            "line": {"color": "white", "width": 1.5},
            "showscale": len(rounds) > 1,
            "colorbar": colorbar("round", np.array(rounds)),
        },
        text=labelled.text,
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _slider(rounds: list[int]) -> dict[str, object]:
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    return {
        "active": len(rounds) - 1,
        "currentvalue": {"prefix": "up to round ", "font": {"size": 13}},
        "pad": {"t": 48},
        "steps": [{"label": str(r), "method": "animate", "args": [[str(r)], still]} for r in rounds],
    }
