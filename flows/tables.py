"""Terminal views of a campaign (rich): what `status`, `history`, `rank` and `space` print.

Made for 100 columns, readable at 80; wider terminals give longer formulas and reasons more room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.schema import EventRow
from flows.looks import History, Ranking, Running, Status, TargetLabel
from flows.wording import DASH, duration, energy, finite, number, plural

if TYPE_CHECKING:
    import pandas as pd

    from flows.view import CampaignView

STATE_COLOUR = {"running": "cyan", "paused": "yellow", "finished": "green", "stopped": "red"}
OUTCOME_COLOUR = {"converged": "green", "not converged": "yellow", "pending": "dim"}
SPARK = "▁▂▃▄▅▆▇█"


def status(found: Status) -> RenderableType:
    """One screen: where the campaign stands, its best, its model, its failures and its last decisions."""
    campaign = found.campaign
    colour = STATE_COLOUR.get(campaign.state, "white")
    title = Text.assemble((campaign.name, "bold"), "  ", (campaign.state, f"bold {colour}"))
    parts: list[RenderableType] = [_facts(found)]
    if found.best:
        parts += [Text(), Text("Best so far", style="bold"), _best(found.best)]
    if found.running and campaign.state == "running":
        parts += [Text(), Text("Being labelled", style="bold"), _running(found.running)]
    if found.decisions:
        parts += [Text(), Text("Last decisions", style="bold")]
        parts.append(_decisions(found.decisions))
    return Panel(Group(*parts), title=title, title_align="left", border_style=colour, padding=(1, 2))


def history(found: History) -> Table:
    """One line per round: what it chose, what it found, how good the model was afterwards."""
    name, at = found.campaign.name, found.campaign.target_fidelity
    caption = f"cl.: clusters; lowest, best: E_b in eV at {at}; MAE: on labels not seen, eV, and the mean predictor's"
    table = _table(title=f"{name}: {plural(len(found.rounds), 'round')}", caption=caption)
    table.padding = (0, 1, 0, 0)  # ten columns in 80 characters
    for title in ("round", "sent", "labels", "fail", "cl.", "lowest", "best", "MAE / mean", "took"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    best: float | None = None
    for row, members in found.rounds:
        lowest = members.lowest_eV
        improved = lowest is not None and (best is None or lowest < best)
        best = lowest if improved else best
        took = (row.ended - row.started).total_seconds() if row.ended else None
        table.add_row(
            str(row.number),
            str(members.sent),
            str(members.labels),
            Text(str(members.failed), style="red" if members.failed else "dim"),
            str(members.clusters or DASH),
            number(lowest),
            Text(number(best), style="bold green" if improved else ""),
            _against_mean(row.metrics),
            duration(took),
            Text("done", style="green") if row.state == "done" else Text(row.state, style="cyan"),
        )
    return table


def acquisitions(view: CampaignView, round: int) -> Table:
    """What one round chose and why, and what became of it."""
    from flows.facts import outcome

    table = _table(title=f"{view.name}: round {round}")
    table.expand = True
    table.add_column("id", justify="right", style="dim")
    table.add_column("composition, and why it was chosen", overflow="fold", ratio=1)
    table.add_column("cl.", justify="right")
    table.add_column("predicted (eV)", justify="right", no_wrap=True)
    table.add_column("label", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for a in view.of_round(round):
        word = outcome(a)
        why = a.reason if a.failure is None else f"{a.reason}; failed: {a.failure[1]}"
        table.add_row(
            str(a.id),
            Text.assemble(a.formula, "\n", (why, "dim")),
            DASH if a.cluster is None else str(a.cluster),
            energy(a.mean_eV, a.sigma_eV),
            Text(number(a.value_eV), style="bold"),
            Text(word + (f"\njob {a.job}" if a.job else ""), style=OUTCOME_COLOUR.get(word, "red")),
        )
    return table


def ranking(found: Ranking) -> Table:
    """The best compositions at the target fidelity; labels bold, predictions with their sigma."""
    title = f"{found.campaign.name}: ranking at {found.campaign.target_fidelity}"
    table = _table(title=title, caption=_ranking_caption(found))
    table.add_column("#", justify="right", style="dim")
    table.add_column("composition", overflow="fold", ratio=1, min_width=38)
    table.add_column("E_b (eV)", justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for name in ("cl.", "ord.", "round"):
        table.add_column(name, justify="right")
    for line in found.lines:
        label = line.source == "label"
        labelled = found.labelled_in.get(line.composition)
        table.add_row(
            str(line.rank),
            Text(line.formula, style="bold" if label else ""),
            Text(energy(line.mean_eV, line.sigma_eV), style="bold" if label else ""),
            Text(line.source, style="green" if label else "dim"),
            DASH if line.cluster is None else str(line.cluster),
            str(line.orderings),
            DASH if labelled is None else str(labelled),
        )
    return table


def hits(found: pd.DataFrame) -> Table:
    """What `ionloop search` found: labels bold; percentile 0 is the lowest barrier of the space."""
    table = _table(title=f"{len(found)} compositions, lowest barrier first" if len(found) else "nothing fits")
    table.add_column("composition", overflow="fold", ratio=1, min_width=34)
    table.add_column("E_b (eV)", justify="right", no_wrap=True)
    table.add_column("percentile", justify="right", no_wrap=True)
    table.add_column("entropy (R)", justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True)
    table.add_column("structure", overflow="fold", min_width=12)
    for row in found.to_dict("records"):
        label = row["source"] == "label"
        table.add_row(
            Text(str(row["formula"]), style="bold" if label else ""),
            Text(energy(finite(row["E_b_eV"]), finite(row["sigma_eV"])), style="bold" if label else ""),
            number(row["percentile"], 1),
            f"{number(row['entropy_R'], 2)} {row['entropy_class']}",
            Text(row["source"] or DASH, style="green" if label else "dim"),
            row["structure"] or DASH,
        )
    return table


def funnel(rows: Sequence[tuple[str, int]], title: str = "Composition space") -> Table:
    """(filter, compositions left after it) from the whole space down, with the share that each filter keeps."""
    table = _table(title=title)
    table.add_column("filter", overflow="fold", ratio=1)
    table.add_column("compositions", justify="right", no_wrap=True)
    table.add_column("kept", justify="right", no_wrap=True)
    table.add_column("", width=28)
    first = max((count for _, count in rows), default=0)
    for i, (name, count) in enumerate(rows):
        before = rows[i - 1][1] if i else 0
        kept = f"{count / before:.1%}" if i and before else DASH
        bar = ProgressBar(
            total=max(first, 1), completed=count, width=28, complete_style="cyan", finished_style="cyan"
        )
        table.add_row(name, f"{count:,}", kept, bar)
    return table


def sparkline(values: Sequence[float]) -> str:
    """A tiny curve: 0.4, 0.3, 0.2 -> "█▅▁"."""
    if not len(values):
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARK[round((value - low) / span * (len(SPARK) - 1))] for value in values)


def _against_mean(metrics: Mapping[str, object]) -> Text:
    """The model's error beside the mean predictor's, green where it is the smaller one."""
    model, mean = finite(metrics.get("mae_eV")), finite(metrics.get("mean_predictor_mae_eV"))
    better = model is not None and mean is not None and model < mean
    return Text.assemble((number(model), "green" if better else ""), " / ", (number(mean), "dim"))


# --- parts of the status panel ---------------------------------------------------------------------------------


def _facts(found: Status) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    campaign = found.campaign
    grid.add_row("host", f"{campaign.host}, target fidelity {campaign.target_fidelity}, seed {campaign.seed}")
    until = campaign.ended or found.taken
    grid.add_row(
        "time", f"since {campaign.created:%Y-%m-%d %H:%M} UTC, {duration((until - campaign.created).total_seconds())}"
    )
    if campaign.stop_reason:
        grid.add_row("ended", campaign.stop_reason)
    done = sum(row.state == "done" for row in found.rounds)
    last = found.rounds[-1].number if found.rounds else None
    grid.add_row("rounds", f"{done} done" + ("" if last is None else f", last is round {last}"))
    grid.add_row("budget", _budget(found))
    if found.labels:
        best = found.best_so_far_eV
        text = f"{len(found.labels):,} at {campaign.target_fidelity}"
        if best:
            text += f", best {best[-1]:.3f} eV"
            text += f"  {sparkline(_thin(best))}" if best[-1] < best[0] else ""
        grid.add_row("labels", text)
        if found.target_eV is not None:
            text = f"{plural(found.found, 'composition')} at or below {found.target_eV:g} eV"
            if found.reference is not None:
                expected = found.reference.share(found.target_eV) * len(found.labels)
                text += f" (random choice: {expected:.1f} expected)"
            grid.add_row("found", text)
    if found.mae_eV is not None:
        text = f"MAE {number(found.mae_eV)} eV before labelling, n = {len(found.errors_eV)}"
        grid.add_row("model", f"{text} (mean predictor {number(found.mean_predictor_mae_eV)})")
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.failures_by_kind.items())
    grid.add_row("failures", Text(f"{plural(found.failed, 'proposal')}; attempts: {kinds or 'none failed'}"))
    costs = found.costs.items()
    cost = ", ".join(f"{name} {duration(seconds)} in {plural(n, 'attempt')}" for name, (n, seconds) in costs)
    grid.add_row("cost", cost or "nothing computed yet")
    return grid


def _budget(found: Status) -> RenderableType:
    if not found.budgets:
        return f"no limit set; {found.ended:,} proposals ended"
    grid = Table.grid(padding=(0, 1))
    for budget in found.budgets:
        bar = ProgressBar(total=1.0, completed=budget.share, width=30, complete_style="cyan", finished_style="cyan")
        grid.add_row(bar, str(budget))
    return grid


def _best(best: Sequence[TargetLabel], count: int = 5) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="bold green", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(style="dim", no_wrap=True)
    for label in best[:count]:
        cluster = "" if label.cluster is None else f", cluster {label.cluster}"
        grid.add_row(f"{number(label.value_eV)} eV", label.formula, f"round {label.round}{cluster}")
    return grid


def _decisions(events: Sequence[EventRow]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for event in events:
        grid.add_row(f"{event.time:%m-%d %H:%M}", event.text)
    return grid


def _running(running: Sequence[Running], count: int = 6) -> Table:
    grid = Table.grid(padding=(0, 2))
    for one in running[:count]:
        job = f", job {one.job}" if one.job else ""
        grid.add_row(one.formula, one.calculator, Text(f"since {one.started:%H:%M:%S} UTC{job}", style="dim"))
    if len(running) > count:
        grid.add_row(Text(f"and {len(running) - count} more", style="dim"))
    return grid


def _thin(values: list[float], most: int = 24) -> list[float]:
    """At most so many values, evenly spaced, the last one always among them."""
    if len(values) <= most:
        return values
    step = (len(values) - 1) / (most - 1)
    return [values[round(i * step)] for i in range(most)]


def _ranking_caption(found: Ranking) -> str:
    if not found.lines:
        return "no round has ended yet, so nothing is ranked"
    rest = found.total - len(found.lines)
    note = f"after round {found.lines[0].round}; cl.: cluster, ord.: orderings behind the value"
    return note + (f"\n{rest:,} more in the ledger" if rest > 0 else "")


def _table(title: str, caption: str | None = None) -> Table:
    return Table(
        title=title,
        title_style="bold",
        title_justify="left",
        caption=caption,
        caption_style="dim",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
    )
