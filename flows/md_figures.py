"""Figures of a molecular dynamics study (matplotlib): MSD, Arrhenius line, framework RMSD."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calculators.arrhenius import Arrhenius
from calculators.md_study import AtTemperature, Transport
from flows.plots import ACCENT, INK, MUTED, SECOND, _empty, _figure, _footnote, _legend


def write_figures(result: Transport, out: Path) -> list[Path]:
    """msd.png, arrhenius.png and rmsd.png in `out`."""
    figures = {"msd": msd(result), "arrhenius": arrhenius(result), "rmsd": rmsd(result)}
    paths = []
    for name, figure in figures.items():
        paths.append(out / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
    return paths


def msd(result: Transport) -> Figure:
    """MSD of the mobile ion at every temperature, with its error, the fit window and the line."""
    figure, axes = _figure(width=6.4, height=4.2)
    axis = axes[0]
    runs = [run for run in result.runs if run.diffusion is not None]
    if not runs:
        return _empty(figure, axes, "no run could be analysed")
    for run, colour in zip(runs, _colours(runs), strict=True):
        seen = run.diffusion
        assert seen is not None
        lag, curve, error = (np.array(column) for column in (seen.lag_ps, seen.msd_A2, seen.msd_error_A2))
        axis.plot(lag, curve, color=colour, lw=1.8, label=f"{run.temperature_K:g} K: {seen.verdict.value}")
        axis.fill_between(lag, curve - error, curve + error, color=colour, alpha=0.15, lw=0)
        if seen.fit is not None and seen.window_ps is not None:
            window = np.array(seen.window_ps)
            axis.plot(window, seen.fit[0] * window + seen.fit[1], color=INK, lw=1.2, ls="--")
    windows = {run.diffusion.window_ps for run in runs if run.diffusion is not None}
    if len(windows) == 1 and (window_ps := windows.pop()) is not None:  # runs of several lengths have one each
        axis.axvspan(*window_ps, color=MUTED, alpha=0.1, lw=0, label="fit window")
    axis.set(xlabel="Δt (ps)", ylabel="MSD (Å$^2$)", title=f"{result.ion} in {result.formula}, {result.calculator}")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    _legend(axis, loc="upper left")
    _footnote(figure, "Averaged over ions and time origins; shaded: standard error. Dashed: fit.")
    return figure


def arrhenius(result: Transport) -> Figure:
    """D against 1/T with the fitted line, its 68 % band, and the extrapolation to room temperature."""
    figure, axes = _figure(width=6.4, height=4.2)
    axis, line = axes[0], result.arrhenius
    points = [run for run in result.runs if run.diffusion is not None and run.diffusion.d_cm2_per_s is not None]
    if not points:
        return _empty(figure, axes, f"no temperature gave a diffusion coefficient: {line.verdict.value}")
    for run in points:
        seen = run.diffusion
        assert seen is not None
        axis.errorbar(
            1000 / run.temperature_K,
            seen.d_cm2_per_s or 0.0,
            yerr=seen.d_error_cm2_per_s,
            fmt="o",
            color=ACCENT,
            markerfacecolor="white" if run.excluded else ACCENT,
            capsize=3,
        )
    axis.set_yscale("log")
    axis.set(xlabel="1000 / T (1/K)", ylabel=f"$D_{{\\mathrm{{{result.ion}}}}}$ (cm$^2$/s)")
    if line.ea_eV is None:
        axis.set_title(f"No Arrhenius line: {line.verdict.value}")
        _footnote(figure, line.reason)
        return figure
    _line(axis, line)
    axis.set_title(f"{result.formula}, {result.calculator}: $E_a$ = {line.ea_eV:.2f} ± {line.ea_error_eV:.2f} eV")
    _legend(axis)
    assert line.ln_sigma_room_error is not None
    factor = np.exp(line.ln_sigma_room_error)
    _footnote(
        figure,
        f"σ({line.room_K:g} K) = {line.sigma_room_mS_per_cm:.2g} mS/cm, within a factor {factor:.2g} (68 %); "
        "Nernst-Einstein, Haven ratio 1.",
    )
    return figure


def rmsd(result: Transport) -> Figure:
    """Framework RMSD over time at every temperature."""
    figure, axes = _figure(width=6.4, height=3.6)
    axis = axes[0]
    runs = [run for run in result.runs if run.stability is not None and run.stability.rmsd_curve_A]
    if not runs:
        return _empty(figure, axes, "no framework, or too short a run to judge it by")
    for run, colour in zip(runs, _colours(runs), strict=True):
        seen = run.stability
        assert seen is not None
        word = "stable" if seen.stable else "not stable"
        axis.plot(seen.time_ps, seen.rmsd_curve_A, color=colour, lw=1.2, label=f"{run.temperature_K:g} K: {word}")
    limit = result.provenance["settings"]["stability"]["rmsd_limit_A"]
    axis.axhline(limit, color=SECOND, lw=1, ls=":", label=f"limit {limit:g} Å")
    axis.set(xlabel="time (ps)", ylabel="framework RMSD (Å)", title=f"{result.formula} without {result.ion}")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    _legend(axis)
    return figure


def _line(axis: Axes, line: Arrhenius) -> None:
    kelvin = np.geomspace(line.room_K, max(line.temperatures_K), 60)
    ln_d, error = line.ln_d(kelvin)
    axis.plot(1000 / kelvin, np.exp(ln_d), color=SECOND, lw=1.5, label="Arrhenius line")
    axis.fill_between(
        1000 / kelvin, np.exp(ln_d - error), np.exp(ln_d + error), color=SECOND, alpha=0.15, lw=0, label="68 %"
    )


def _colours(runs: Sequence[AtTemperature]) -> list[object]:
    """From cold to hot."""
    return [colormaps["plasma"](share) for share in np.linspace(0.1, 0.8, len(runs))]
