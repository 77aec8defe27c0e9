"""A campaign's history in the Prefect UI: artifacts whose versions are the rounds.

Every campaign has seven keys (`artifact_keys`); publishing a round adds one version to each. Prefect is the stage
and not the memory: whatever fails here is one warning, never a failed campaign.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
from matplotlib.figure import Figure
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException

from flows import plots
from flows.dopants import from_labels
from flows.facts import failure_lines, known_metrics, outcome, reference_note, round_facts
from flows.view import Acquisition, CampaignView
from flows.wording import DASH, duration, energy, number, plural, slug

log = logging.getLogger("ionloop")

#: What Prefect's client raises when its server is gone, refuses, or answers nonsense; nothing of ours.
PREFECT_ERRORS = (PrefectException, httpx.HTTPError, OSError, RuntimeError, ValueError)

KINDS = ("acquisitions", "summary", "quality", "best", "fidelities", "failures", "budget")


def artifact_keys(campaign: str) -> dict[str, str]:
    """The key of each kind of artifact: lowercase letters, digits and dashes, as Prefect wants them."""
    return {kind: f"{slug(campaign)}-{kind}" for kind in KINDS}


def publish_round(view: CampaignView, round: int) -> bool:
    """Publish one round; True if everything arrived. Never raises: the campaign does not depend on its picture.

    Stops at the first error: with its server gone every further call would block for a minute.
    """
    try:
        steps = _steps(view, round)
    except Exception:  # a figure that cannot be drawn must not end a campaign of weeks
        log.warning(
            "round %d of %s could not be drawn for Prefect; the campaign goes on", round, view.name, exc_info=True
        )
        return False
    error = _send(steps)
    if error is not None:
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        log.warning(
            "round %d of %s is not shown in Prefect (%s: %s); the ledger has it, the campaign goes on",
            *(round, view.name, type(error).__name__, reason),
        )
    return error is None


def _steps(view: CampaignView, round: int) -> list[Callable[[], Any]]:
    """The calls that publish a round, with their contents ready."""
    keys, name = artifact_keys(view.name), view.name
    contents: dict[str, tuple[Callable[..., Any], Any, str]] = {
        "acquisitions": (
            create_table_artifact,
            acquisition_table(view, round),
            f"round {round}: what was chosen and why (mean, sigma, label in eV)",
        ),
        "summary": (create_markdown_artifact, summary(view, round), f"where it stands after round {round}"),
        "quality": (create_table_artifact, quality_table(view, round), f"the model up to round {round}"),
        "best": (create_table_artifact, best_table(view), f"ranking at {view.target_fidelity} after round {round}"),
        "fidelities": (
            create_table_artifact,
            fidelity_table(view),
            f"labels by fidelity, and what they took, up to round {round}",
        ),
        "failures": (create_table_artifact, failure_table(view), f"failures by kind up to round {round}"),
        "budget": (create_progress_artifact, progress_percent(view), f"{budget_text(view)} after round {round}"),
    }
    return [
        partial(create, content, key=keys[kind], description=f"{name}: {text}")
        for kind, (create, content, text) in contents.items()
    ]


def _send(steps: list[Callable[[], Any]]) -> Exception | None:
    """Make the calls; returns what stopped them."""
    try:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
        if error is not None:
            return error
        for step in steps:
            step()
    except PREFECT_ERRORS as error:
        return error
    return None


# --- contents --------------------------------------------------------------------------------------------------


def acquisition_table(view: CampaignView, round: int) -> list[dict[str, Any]]:
    """One line per acquisition; numbers are rounded and gaps are dashes, since the UI shows NaN as nothing."""
    rows = [_acquisition(a) for a in view.of_round(round)]
    return rows or [{"composition": f"round {round} proposed nothing"}]


def _acquisition(a: Acquisition) -> dict[str, Any]:
    return {
        "composition": a.formula,
        "cluster": DASH if a.cluster is None else a.cluster,
        "mean": number(a.mean_eV),
        "sigma": number(a.sigma_eV),
        "score": number(a.score),
        "label": number(a.value_eV),
        "state": outcome(a),
        "why": a.reason,  # the longest column comes after what one looks for first
        "failure": a.failure[1] if a.failure else "",
        "calculator": f"{a.calculator} (fallback for {a.asked})" if a.fallback else a.calculator,
        "fidelity": a.fidelity or DASH,
        "converged": DASH if a.value_eV is None else "yes" if a.converged else "no",
        "attempts": len(a.attempts),
        "wall time": duration(a.seconds) if a.attempts else "already known" if a.value_eV is not None else DASH,
        "ledger id": a.id,
        "ordering": a.ordering,
        "folder": f"labels/{a.label_key}",
        "job": a.job or DASH,
        "prefect run": a.prefect_run or DASH,
    }


def quality_table(view: CampaignView, round: int) -> list[dict[str, Any]]:
    """Figures of the model on labels that it had not seen, up to a round, newest first."""
    figures = known_metrics(view)
    rows = [
        {"round": row.number, **{title: number(row.metrics.get(key), digits) for key, title, digits in figures}}
        for row in reversed(view.rounds)
        if row.number <= round and row.metrics
    ]
    return rows or [{"round": round, "MAE (eV)": "not measured yet"}]


def best_table(view: CampaignView, top: int = 100) -> list[dict[str, Any]]:
    """The ranking's first lines."""
    rows = [
        {
            "rank": line.rank,
            "composition": line.formula,
            "E_b (eV)": energy(line.mean_eV, line.sigma_eV),
            "source": line.source,
            "cluster": DASH if line.cluster is None else line.cluster,
            "orderings": line.orderings,
        }
        for line in view.ranking[:top]
    ]
    return rows or [{"rank": DASH, "composition": "nothing ranked yet"}]


def fidelity_table(view: CampaignView) -> list[dict[str, Any]]:
    """One line per calculator: the fidelity of its labels, how many there are, what they took and what they found."""
    costs = {cost.calculator: cost for cost in view.costs}
    rows = []
    for calculator in dict.fromkeys([a.calculator for a in view.acquisitions] + list(costs)):
        mine = [a for a in view.acquisitions if a.calculator == calculator]
        values = [a.value_eV for a in mine if a.value_eV is not None and a.converged]
        cost = costs.get(calculator)
        rows.append(
            {
                "fidelity": next((a.fidelity for a in mine if a.fidelity), DASH),
                "calculator": calculator,
                "labels": sum(a.value_eV is not None for a in mine),
                "lowest (eV)": number(min(values, default=None)),
                "pending": sum(a.state == "pending" for a in mine),
                "being computed": cost.running if cost else 0,
                "failed attempts": cost.failed if cost else 0,
                "median time": duration(cost.median_s) if cost else DASH,
                "time in all": duration(cost.seconds) if cost else DASH,
            }
        )
    return rows or [{"fidelity": DASH, "calculator": "nothing proposed yet"}]


def failure_table(view: CampaignView) -> list[dict[str, Any]]:
    """Failed attempts by kind and reason."""
    rows = [{"kind": kind, "attempts": count, "reason": reason} for kind, reason, count in failure_lines(view)]
    lost = view.failures_by_kind.get("lost", 0)
    if lost:
        rows.append({"kind": "lost", "attempts": lost, "reason": "the driver died while they ran"})
    return rows or [{"kind": DASH, "attempts": 0, "reason": "no attempt has failed"}]


def progress_percent(view: CampaignView) -> float:
    """Share of the budget nearest to its end, in percent; without any budget, of the proposals that have ended."""
    if view.budgets:
        return round(100 * view.budgets[0].share, 1)
    total = sum(a.round > 0 for a in view.acquisitions)
    return round(100 * view.spent / total, 1) if total else 0.0


def budget_text(view: CampaignView) -> str:
    return "; ".join(map(str, view.budgets)) or plural(len(view.at_target), "label")


def summary(view: CampaignView, round: int) -> str:
    """The page to open first: the state in words, then the plots."""
    lines = [f"# {view.name}, round {round}", ""]
    row = next((row for row in view.rounds if row.number == round), None)
    if row is not None and row.summary:
        lines += [f"> {row.summary}", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in _facts(view, round)]
    lines += ["", f"*{reference_note(view)}*", ""]
    for title, draw in PICTURES.items():
        lines += [f"## {title}", "", f"![{title}]({data_uri(draw(view))})", ""]
    dopants = from_labels(view)
    if dopants is not None:
        helpful = ", ".join(f"{e.element} {e.difference_eV:+.3f} eV (n = {e.count})" for e in dopants.effects[:5])
        lines += ["## Dopants", "", f"Mean barrier with minus without, lowest first: {helpful}.", ""]
    keys = artifact_keys(view.name)
    links = ", ".join(f"[{kind}](/v2/artifacts/key/{key})" for kind, key in keys.items() if kind != "summary")
    lines += [
        "",
        f"Every round of this campaign: {links}. Folder: `{view.folder.name}`; `ionloop report` has it all.",
    ]
    return "\n".join(lines)


PICTURES: dict[str, Callable[[CampaignView], Figure]] = {
    "Discovery": partial(plots.discovery, narrow=True),
    "Barriers by round": plots.barriers,
    "Parity": plots.parity,
    "Model quality": partial(plots.quality, narrow=True),
    "Map of the space": plots.cluster_map,
    "Paths of the best labels": partial(plots.paths, narrow=True),
}


def _facts(view: CampaignView, round: int) -> list[tuple[str, str]]:
    facts = [("This round", round_facts(view.of_round(round)) or "nothing proposed")]
    if view.best:
        best = view.best[0]
        facts.append(("Lowest barrier", f"**{number(best.value_eV)} eV**, {best.formula}, round {best.round}"))
    curve = view.discovery
    if curve.target_eV is not None and len(curve.found):
        facts.append((f"At or below {curve.target_eV:g} eV", plural(int(curve.found[-1]), "composition")))
    parity = view.parity
    if parity.size:
        text = f"MAE {number(parity.mae_eV)} eV, n = {parity.size}; "
        facts.append(("Model, before labelling", f"{text}mean predictor {number(parity.mean_predictor_mae_eV)} eV"))
    kinds = ", ".join(f"{count} {kind}" for kind, count in view.failures_by_kind.items())
    facts.append(("Failed attempts", kinds or "none"))
    facts.append(("Budget", budget_text(view)))
    facts.append(("Labelling time", duration(sum(cost.seconds for cost in view.costs))))
    return facts


def data_uri(figure: Figure, dpi: int = 80) -> str:
    """The figure as PNG inside a data URI: the one way of showing a plot in the UI that needs no file server."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
