"""What a back-test leaves for people: summary.csv, curves.csv, metrics.csv, discovery.png and one HTML page."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np
import pandas as pd

from agent.backtest import Backtest
from agent.metrics import random_any, random_band, random_expectation

METRIC_COLUMNS = {
    "af_50": "AF at 50 %",
    "af_50_p05": "5th percentile",
    "af_50_p95": "95th percentile",
    "af_80": "AF at 80 %",
    "af_80_p05": "5th percentile",
    "af_80_p95": "95th percentile",
    "ef_max": "largest EF",
    "ef_max_p05": "5th percentile",
    "ef_max_p95": "95th percentile",
    "first_hit_median": "median labels to the first target",
    "first_hit_p05": "5th percentile",
    "first_hit_p95": "95th percentile",
    "labels_to_50": "labels to 50 % of the targets",
    "labels_to_80": "labels to 80 %",
    "regret_end": "mean simple regret at the end",
    "regret_end_p05": "5th percentile",
    "regret_end_p95": "95th percentile",
    "de_alm": "mean deALM after the first round",
    "de_alm_p05": "5th percentile",
    "de_alm_p95": "95th percentile",
    "gain": "mean Top% above random, over all n",
    "n_below_random": "n at which it is below random beyond noise",
}


def summary(result: Backtest) -> pd.DataFrame:
    """One row per strategy and n: top_fraction_mean, _p05, _p95 over the seeds, best_value_mean."""
    rows = []
    for strategy in result.orders:
        curves = result.curves(strategy)
        rows.append(
            pd.DataFrame(
                {
                    "strategy": strategy,
                    "n": curves.n,
                    "top_fraction_mean": curves.top_fraction.mean(axis=0),
                    "top_fraction_p05": np.percentile(curves.top_fraction, 5, axis=0),
                    "top_fraction_p95": np.percentile(curves.top_fraction, 95, axis=0),
                    "best_value_mean": curves.best_value.mean(axis=0),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def curves(result: Backtest) -> pd.DataFrame:
    """One row per strategy and n: EF(n) and the simple regret, each with its mean, _p05 and _p95 over the seeds."""
    rows = []
    for strategy in result.orders:
        of = result.curves(strategy)
        columns: dict[str, object] = {"strategy": strategy, "n": of.n}
        for name, values in (("ef", of.enhancement()), ("regret", of.regret(_optimum(result)))):
            low, high = np.percentile(values, [5, 95], axis=0)
            columns |= {f"{name}_mean": values.mean(axis=0), f"{name}_p05": low, f"{name}_p95": high}
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)


def _optimum(result: Backtest) -> float:
    best = result.table.truth[result.targets]
    return float(best.min() if result.table.sign > 0 else best.max())


def metrics(result: Backtest) -> pd.DataFrame:
    """One row per strategy: af_50, af_80, ef_max, first_hit_median, and what stands behind them."""
    rows = []
    for strategy in result.orders:
        curves = result.curves(strategy)
        af_50, af_80 = curves.acceleration_band(0.5), curves.acceleration_band(0.8)
        expected = random_expectation(curves.n, curves.n_candidates)
        decided, regret = curves.decisions(result.config.initial), curves.regret(_optimum(result))[:, -1]
        enhancement, first = curves.enhancement(), curves.first_hit()
        peak = int(enhancement.mean(axis=0).argmax())
        rows.append(
            {
                "strategy": strategy,
                "af_50": curves.acceleration(0.5),
                "af_50_p05": af_50[0],
                "af_50_p95": af_50[1],
                "af_80": curves.acceleration(0.8),
                "af_80_p05": af_80[0],
                "af_80_p95": af_80[1],
                "ef_max": float(enhancement.mean(axis=0)[peak]),
                "ef_max_p05": float(np.percentile(enhancement[:, peak], 5)),
                "ef_max_p95": float(np.percentile(enhancement[:, peak], 95)),
                "first_hit_median": float(np.median(first)),
                "first_hit_p05": float(np.percentile(first, 5, method="lower")),
                "first_hit_p95": float(np.percentile(first, 95, method="higher")),
                "labels_to_50": curves.labels_to(0.5),
                "labels_to_80": curves.labels_to(0.8),
                "regret_end": float(regret.mean()),
                "regret_end_p05": float(np.percentile(regret, 5)),
                "regret_end_p95": float(np.percentile(regret, 95)),
                "de_alm": float(decided.mean()),
                "de_alm_p05": float(np.percentile(decided, 5)),
                "de_alm_p95": float(np.percentile(decided, 95)),
                "gain": float((curves.top_fraction.mean(axis=0) - expected).mean()),
                "n_below_random": curves.below_random(),
            }
        )
    return pd.DataFrame(rows)


def short(table: pd.DataFrame) -> pd.DataFrame:
    """What of `metrics` fits a terminal."""
    columns = {
        "strategy": "strategy",
        "labels_to_50": "to 50 %",
        "labels_to_80": "to 80 %",
        "af_50": "AF 50 %",
        "af_80": "AF 80 %",
        "ef_max": "max EF",
        "first_hit_median": "first hit",
        "de_alm": "deALM",
    }
    return table[list(columns)].rename(columns=columns)


def write_report(result: Backtest, folder: Path, title: str = "Back-test") -> Path:
    """Write summary.csv, curves.csv, metrics.csv, discovery.png and report.html into `folder`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    summary(result).round(6).to_csv(folder / "summary.csv", index=False)
    curves(result).round(6).to_csv(folder / "curves.csv", index=False)
    table = metrics(result)
    table.round(4).to_csv(folder / "metrics.csv", index=False)
    plot(result, folder / "discovery.png", title)
    page = folder / "report.html"
    page.write_text(_page(result, table, folder / "discovery.png", title))
    return page


def facts(result: Backtest) -> str:
    """N, M, batch, seed size and number of runs in one line."""
    config, table = result.config, result.table
    dropped = f", {table.dropped} rows without a label left out" if table.dropped else ""
    replicates = f", {table.replicates} replicate labels each" if table.replicates > 1 else ""
    first = config.acquisition.initial if table.cheap is None else config.initial_by or "cheap-drawn"
    return (
        f"N = {len(table)} candidates{replicates}, M = {int(result.targets.sum())} targets, batch {config.batch}, "
        f"first round {config.initial} ({first}, counted), {config.seeds} seeds, "
        f"surrogate {config.surrogate}{dropped}"
    )


def plot(result: Backtest, path: Path, title: str) -> None:
    """Top%(n), EF(n) and simple regret of every strategy, with 90 % bands of up to four; deALM by round."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), layout="constrained")
    (found, enhanced), (regretted, decided) = figure.subplots(2, 2)
    last = max(order.shape[1] for order in result.orders.values())
    n = np.arange(1, last + 1)
    size, targets = len(result.table), int(result.targets.sum())
    low, high = random_band(n, size, targets)
    found.fill_between(n, low, high, color="0.88", label="one random campaign, 90 %")
    found.plot(n, random_expectation(n, size), color="black", linestyle="--", label="random, expected")
    enhanced.axhline(1, color="black", linestyle="--")
    colors = colormaps["tab20"].colors  # type: ignore[attr-defined]
    banded = len(set(result.orders) - {"random"}) <= 4
    for index, strategy in enumerate(result.orders):
        curves = result.curves(strategy)
        color = colors[(2 * index) % 20 + (2 * index) // 20]
        regret = curves.regret(_optimum(result))
        for axes, values in ((found, curves.top_fraction), (enhanced, curves.enhancement()), (regretted, regret)):
            axes.plot(curves.n, values.mean(axis=0), color=color, label=strategy)
            if banded:
                axes.fill_between(curves.n, *np.percentile(values, [5, 95], axis=0), color=color, alpha=0.15)
        decided.plot(*curves.efficiency_by_round(result.config.initial, result.config.batch), color=color)
    for share in (0.5, 0.8):
        found.axhline(share, color="0.6", linewidth=0.7, linestyle=":")
    decided.axhline(0, color="black", linestyle="--")
    found.set(ylabel=f"share of the {targets} targets found", ylim=(0, 1.01))
    enhanced.set(ylabel="EF(n): targets found over those of random labelling")
    regretted.set(ylabel="simple regret: best value found above the best there is")
    decided.set(ylabel="deALM of a round's decisions: 1 best, 0 random, −1 worst")
    for axes in figure.axes:
        axes.set(xlabel="labels", xlim=(0, last))
    enhanced.legend(*found.get_legend_handles_labels(), fontsize=8)
    figure.suptitle(f"{title}: {facts(result)}", fontsize=9)
    figure.savefig(path, dpi=110)


def _page(result: Backtest, table: pd.DataFrame, picture: Path, title: str) -> str:
    image = base64.b64encode(picture.read_bytes()).decode()
    shown = table.rename(columns=METRIC_COLUMNS)
    body = shown.to_html(index=False, float_format=lambda v: f"{v:.3g}", na_rep="never", border=0)
    n = np.array([result.config.initial, result.orders[next(iter(result.orders))].shape[1]])
    chance = random_any(n, len(result.table), int(result.targets.sum()))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }}
img {{ max-width: 100% }} table {{ border-collapse: collapse; font-size: 13px }}
th, td {{ padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #ddd }} th:first-child, td:first-child
{{ text-align: left }} th {{ vertical-align: bottom }}
</style>
<h1>{html.escape(title)}</h1>
<p>{html.escape(facts(result))}. At random, the chance of at least one target is {chance[0]:.0%} after the first round
({n[0]} labels).</p>
<img alt="share of the targets found against labels" src="data:image/png;base64,{image}">
<h2>Figures of merit</h2>
{body}
<p>Top%(n): share of the targets found by n labels. AF(t) = n<sub>random</sub>(t) / n<sub>strategy</sub>(t), where the
mean Top% reaches t. EF(n) = Top%<sub>strategy</sub>(n) / Top%<sub>random</sub>(n). Random is the exact hypergeometric
expectation. Percentiles of AF come from bootstrap samples of the seeds. "never": not reached within the labels of the
back-test. deALM, the decision efficiency: 2 × (share of the candidates still open that a label beats) − 1; 1 is the
best choice, 0 a random one and −1 the worst; the mean over all labels after the first round.</p>
</html>
"""
