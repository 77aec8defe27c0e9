"""The report's interactive curves (plotly): discovery, model and paths. Energies in eV, distances in Å."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.colors import qualitative, sample_colorscale

from calculators.label import Label
from flows.discovery import expected_best_error_eV, expected_best_eV, expected_found
from flows.plots import ACCENT, GOOD, MUTED, SECOND
from flows.report_style import colorbar, hover, look, tick
from flows.view import CampaignView
from flows.wording import number

PATHS = qualitative.D3


def discovery(view: CampaignView) -> go.Figure | None:
    """Best so far against labels, beside random choice."""
    curve = view.discovery
    if not len(curve.value_eV):
        return None
    n = np.arange(1, len(curve.value_eV) + 1)
    figure = go.Figure()
    if curve.reference is not None:
        expected, error = expected_best_eV(curve.reference, len(n)), expected_best_error_eV(curve.reference, len(n))
        if error is not None:
            _band(figure, n, expected - error, expected + error)
        figure.add_scatter(
            x=n, y=expected, name="random choice, expected", mode="lines", line={"color": SECOND, "dash": "dash"}
        )
    for converged, name, symbol in ((True, "label", "circle"), (False, "not converged", "circle-open")):
        chosen = [i for i, label in enumerate(curve.labels) if label.converged is converged]
        if chosen:
            figure.add_scatter(
                x=n[chosen],
                y=curve.value_eV[chosen],
                name=name,
                mode="markers",
                marker={"color": MUTED, "size": 7, "symbol": symbol, "opacity": 0.75},
                text=[hover(curve.labels[i]) for i in chosen],
                hovertemplate="%{text}<extra></extra>",
            )
    figure.add_scatter(
        x=n,
        y=curve.best_eV,
        name="best so far",
        mode="lines",
        line={"color": ACCENT, "width": 3, "shape": "hv"},
        hovertemplate="best after %{x} labels: %{y:.3f} eV<extra></extra>",
    )
    if curve.target_eV is not None:
        figure.add_hline(curve.target_eV, line={"color": GOOD, "dash": "dot", "width": 1.5})
        figure.add_annotation(
            x=1, xref="paper", y=curve.target_eV, text=f"target {curve.target_eV:g} eV", showarrow=False,
            xanchor="right", yanchor="bottom", font={"color": GOOD, "size": 12},
        )  # fmt: skip
    return look(figure, "labels at the target fidelity", "E<sub>b</sub> (eV)")


def found(view: CampaignView) -> go.Figure | None:
    """Distinct compositions at or below the target against labels, beside random choice."""
    curve = view.discovery
    if not len(curve.value_eV) or curve.target_eV is None:
        return None
    n = np.arange(1, len(curve.value_eV) + 1)
    figure = go.Figure()
    if curve.reference is not None:
        figure.add_scatter(
            x=n,
            y=expected_found(curve.reference, len(n), curve.target_eV),
            name="random choice, expected",
            mode="lines",
            line={"color": SECOND, "dash": "dash"},
        )
    figure.add_scatter(
        x=n, y=curve.found, name="this campaign", mode="lines", line={"color": ACCENT, "width": 3, "shape": "hv"}
    )
    return look(figure, "labels at the target fidelity", f"found with E<sub>b</sub> ≤ {curve.target_eV:g} eV")


def barriers(view: CampaignView) -> go.Figure | None:
    """Labels by round, with the median of each."""
    if not view.at_target:
        return None
    figure = go.Figure()
    rounds = sorted({a.round for a in view.at_target})
    for round_, colour in zip(rounds, _round_colours(rounds), strict=True):
        members = [a for a in view.at_target if a.round == round_]
        middle = float(np.median([a.value_eV for a in members]))
        beside = [0.0] if len(members) == 1 else np.linspace(-0.22, 0.22, len(members))
        figure.add_scatter(
            x=[round_ - 0.32, round_ + 0.32], y=[middle, middle], mode="lines", line={"color": SECOND, "width": 3},
            hovertemplate=f"median of round {round_}: {middle:.3f} eV<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=round_ + np.asarray(beside),
            y=[a.value_eV for a in members],
            mode="markers",
            marker={
                "color": colour,
                "size": 8,
                "symbol": ["circle" if a.converged else "circle-open" for a in members],
            },
            text=[hover(a) for a in members],
            hovertemplate="%{text}<extra></extra>",
        )
    look(figure, "round", "E<sub>b</sub> (eV)", legend=False)
    figure.update_xaxes(dtick=tick(rounds), range=[min(rounds) - 0.6, max(rounds) + 0.6])
    return figure


def parity(view: CampaignView) -> go.Figure | None:
    """Prediction before labelling against label, with one sigma."""
    data = view.parity
    if not data.size:
        return None
    low = float(min(data.label_eV.min(), data.predicted_eV.min())) - 0.01
    high = float(max(data.label_eV.max(), data.predicted_eV.max())) + 0.01
    figure = go.Figure()
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", line={"color": MUTED, "width": 1}, hoverinfo="skip", name="ideal"
    )
    several = len(set(data.rounds.tolist())) > 1
    figure.add_scatter(
        x=data.label_eV,
        y=data.predicted_eV,
        error_y={"array": np.nan_to_num(data.sigma_eV, nan=0.0), "color": "#cbd2d9", "thickness": 1.2, "width": 0},
        mode="markers",
        marker={
            "color": data.rounds,
            "colorscale": "Viridis",
            "size": 8,
            "line": {"color": "white", "width": 0.7},
            "showscale": several,
            "colorbar": colorbar("round", data.rounds),
        },
        text=[hover(a) for a in view.predicted],
        hovertemplate="%{text}<extra></extra>",
    )
    look(figure, "label (eV)", "predicted before labelling (eV)")
    figure.update_layout(showlegend=False)
    return figure


def calibration(view: CampaignView) -> go.Figure | None:
    """Observed against nominal coverage of the central intervals predicted before labelling."""
    if not len(view.parity.z):
        return None
    nominal = np.linspace(0.0, 0.995, 100)
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": MUTED, "width": 1}, name="ideal")
    figure.add_scatter(
        x=nominal,
        y=view.parity.coverage(nominal),
        mode="lines",
        line={"color": ACCENT, "width": 3, "shape": "hv"},
        fill="tonexty",
        fillcolor="rgba(11,114,133,0.10)",
        name="observed",
        hovertemplate="%{x:.0%} intervals hold %{y:.0%} of the labels<extra></extra>",
    )
    look(figure, "nominal coverage", "observed coverage")
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_layout(showlegend=False)
    return figure


def quality(view: CampaignView) -> go.Figure | None:
    """Error on unseen labels of model and mean predictor by round."""
    model, base = view.metric("mae_eV"), view.metric("mean_predictor_mae_eV")
    if not len(model[0]):
        return None
    figure = go.Figure()
    lines = ((model, "model", ACCENT, "solid"), (base, "mean predictor", SECOND, "dash"))
    for (rounds, values), name, colour, dash in lines:
        if len(rounds):
            figure.add_scatter(
                x=rounds,
                y=values,
                name=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2.5},
            )
    look(figure, "round", "MAE on unseen labels (eV)")
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(dtick=tick(model[0].tolist()))
    return figure


def paths(view: CampaignView, count: int = 6) -> list[tuple[str, Label, go.Figure]]:
    """(formula, label, energy along its hops) of the best labels that have a path."""
    formula = {a.label_key: a.formula for a in view.at_target}
    labels = [(key, label) for key, label in view.best_labels.items() if any(hop.path_eV for hop in label.hops)]
    labels = labels[:count]
    top = max((max(hop.path_eV) for _, label in labels for hop in label.hops if hop.path_eV), default=1.0)
    low = min((min(hop.path_eV) for _, label in labels for hop in label.hops if hop.path_eV), default=0.0)
    pad = 0.08 * (top - low)
    return [(formula.get(key, key), label, _path(label, (low - pad, top + pad))) for key, label in labels]


def _path(label: Label, limits: tuple[float, float]) -> go.Figure:
    figure = go.Figure()
    for order, hop in enumerate(hop for hop in label.hops if hop.path_eV):
        name, note = hop.name or "hop", "" if hop.converged else " (not converged)"
        heights = f"{number(hop.forward_eV)} / {number(hop.backward_eV)} eV"
        figure.add_scatter(
            x=hop.path_A,
            y=hop.path_eV,
            mode="lines+markers",
            line={"color": PATHS[order % len(PATHS)], "width": 2},
            marker={"size": 7, "symbol": "circle" if hop.converged else "circle-open"},
            name=f"{name} {heights}{note}",
            hovertemplate=f"{name}: %{{y:.3f}} eV at %{{x:.2f}} Å{note}<extra></extra>",
        )
    look(figure, "path (Å)", "energy (eV)", legend=len(figure.data) <= 4)
    figure.update_layout(legend={"font": {"size": 10}, "orientation": "v"})  # above the axes, where no path runs
    figure.update_layout(margin={"l": 48, "r": 8, "t": 8, "b": 42}, font_size=11)
    figure.update_yaxes(range=limits)
    return figure


# --- parts -----------------------------------------------------------------------------------------------------


def _band(figure: go.Figure, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor="rgba(232,89,12,0.12)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def _round_colours(rounds: list[int]) -> list[str]:
    return sample_colorscale("Viridis", np.linspace(0, 0.92, max(len(rounds), 2)))[: len(rounds)]
