"""One self-contained HTML page about a campaign: opens offline in any browser, on a desk and on a phone."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from flows import report_figures as charts
from flows import report_maps as maps
from flows.dopants import from_labels, from_ranking
from flows.facts import failure_lines, known_metrics, outcome, reference_note, round_facts
from flows.screening_views import read_summary
from flows.view import CampaignView
from flows.wording import DASH, duration, energy, finite, formula_html, number, plural

#: Lines of the ranking that the page shows; ranking.csv has them all.
RANKING_LINES = 15
#: Compositions of the newest screen that the page shows; screen.csv has them all.
SCREEN_LINES = 40
#: Acquisitions of one round that the page lists; acquisitions.csv has them all.
ROUND_LINES = 60
#: Rounds whose acquisitions are listed; earlier ones of a very long campaign keep their summary line.
ROUND_TABLES = 40
EVENT_LINES = 200
DOPANTS = (("Labels", "labels"), ("Labels and predictions", "ranking"))
PACKAGES = ("ionloop", "ase", "chgnet", "torch", "scikit-learn", "modAL-python", "prefect", "sqlalchemy")

#: The published figure that stands beside our held-out error (Tao et al., Matter 8, 102380 (2025)).
PAPER_NOTE = (
    "For scale: Tao et al. (Matter 8, 102380, 2025) report a cross-validated MAE of 0.0361 eV for CGformer on "
    "their own 238 barriers, whose standard deviation is 0.063 eV. Their labels are not ours, so this is no contest."
)


@dataclass(frozen=True)
class Tile:
    """One headline number."""

    title: str
    value: str | Markup
    note: str | Markup = ""
    tone: str = ""


def write_report(view: CampaignView, path: Path) -> Path:
    """Write the page; replaces an older one in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(render(view), encoding="utf-8")
    draft.replace(path)
    return path


def render(view: CampaignView) -> str:
    """The page as text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(ev=energy, num=number, span=duration, formula=_breakable, plural=plural)
    template = environment.from_string(files("flows").joinpath("data/report.html.j2").read_text(encoding="utf-8"))
    page = figures(view)
    return template.render(
        view=view,
        campaign=view.campaign,
        tiles=tiles(view),
        has=page.keys(),
        figures=Markup(_json(page)),
        paths=[(formula, label) for formula, label, _ in charts.paths(view)],
        dopants=[(title, f"{source}-effects", f"{source}-pairs") for title, source in DOPANTS],
        ranking=view.ranking[:RANKING_LINES],
        screened=read_summary(view.folder / "screening"),
        screen_lines=SCREEN_LINES,
        rounds=[(row, view.of_round(row.number), round_facts(view.of_round(row.number))) for row in view.rounds][
            ::-1
        ],
        round_lines=ROUND_LINES,
        round_tables=ROUND_TABLES,
        outcome=outcome,
        measured=[row for row in view.rounds if finite(row.metrics.get("mae_eV")) is not None],
        metrics=known_metrics(view),
        reference=reference_note(view),
        paper_note=PAPER_NOTE,
        failures=failure_lines(view),
        events=view.events[::-1][:EVENT_LINES],
        config=json.dumps(view.campaign.config, indent=2, ensure_ascii=False, default=str),
        versions=versions(),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        plotly=Markup(get_plotlyjs()),
        dash=DASH,
    )


def figures(view: CampaignView) -> dict[str, go.Figure]:
    """Every chart that the campaign has data for, by the name that the page calls it."""
    made = {
        "discovery": charts.discovery(view),
        "found": charts.found(view),
        "barriers": charts.barriers(view),
        "map": maps.cluster_map(view),
        "parity": charts.parity(view),
        "calibration": charts.calibration(view),
        "quality": charts.quality(view),
    }
    made |= {f"path-{i}": figure for i, (_, _, figure) in enumerate(charts.paths(view))}
    for dopants in (from_labels(view), from_ranking(view)):
        if dopants is not None:
            made[f"{dopants.source}-effects"] = maps.dopant_effects(dopants)
            made[f"{dopants.source}-pairs"] = maps.dopant_pairs(dopants)
    return {name: figure for name, figure in made.items() if figure is not None}


def _json(page: dict[str, go.Figure]) -> str:
    """The charts as JSON that can stand inside a script element, whatever a formula or reason contains."""
    parts = ",".join(f"{json.dumps(name)}:{figure.to_json()}" for name, figure in page.items())
    return "{" + parts.replace("<", r"\u003c") + "}"


def tiles(view: CampaignView) -> list[Tile]:
    """The headline numbers, each with what it must be compared with."""
    made = []
    if view.best:
        best = view.best[0]
        made.append(Tile("Lowest barrier", f"{number(best.value_eV)} eV", _breakable(best.formula), "good"))
    else:
        made.append(Tile("Lowest barrier", DASH, f"no converged {view.target_fidelity} label yet"))
    curve = view.discovery
    if curve.target_eV is not None and len(curve.found):
        note = f"compositions ≤ {curve.target_eV:g} eV"
        if curve.reference is not None:
            expected = curve.reference.share(curve.target_eV) * len(curve.found)
            note += f"; random choice: {expected:.1f} expected"
        made.append(Tile("Found", str(int(curve.found[-1])), note))
    ended = f"{view.spent:,} proposals ended"
    made.append(Tile("Labels", f"{len(view.at_target):,}", "; ".join([ended, *map(str, view.budgets)])))
    parity = view.parity
    if parity.size:
        base = number(parity.mean_predictor_mae_eV)
        better = parity.mean_predictor_mae_eV is not None and (parity.mae_eV or 0) < parity.mean_predictor_mae_eV
        note = f"before labelling, n = {parity.size}; mean predictor {base}"
        made.append(Tile("Model MAE", f"{number(parity.mae_eV)} eV", note, "good" if better else "warn"))
    failed = len(view.failed)
    kinds = ", ".join(f"{count} {kind}" for kind, count in view.failures_by_kind.items())
    made.append(Tile("Failed", f"{failed:,}", f"attempts: {kinds}" if kinds else "no failed attempt"))
    seconds = sum(cost.seconds for cost in view.costs)
    calls = sum(cost.force_calls for cost in view.costs)
    made.append(Tile("Labelling time", duration(seconds), f"{calls:,} force calls; {view.adopted:,} labels reused"))
    return made


def _breakable(formula: str) -> Markup:
    """A formula that may be broken after an amount, and nowhere else."""
    return Markup(formula_html(formula).replace("</sub>", "</sub><wbr>"))


def versions() -> list[tuple[str, str]]:
    known = []
    for package in PACKAGES:
        try:
            known.append((package, version(package)))
        except PackageNotFoundError:
            known.append((package, "not installed as a package"))
    return known
