"""What a screen leaves behind: one table with every composition, its values and the reason for its verdict."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from calculators.storage import write_json
from flows.screening import Entry, Screened, Step
from flows.wording import DASH, energy, number

#: Lines of the terminal's table; screen.csv has them all.
LINES = 40
#: Quantities that have a column of their own in a terminal of 80 columns; more of them stand below the composition.
COLUMNS = 1
#: Columns of such a column: its title wraps between words, so that a formula keeps its line.
VALUE_WIDTH = 11


def quantities(screened: Screened) -> list[Step]:
    """The steps that have a column: the first of each name (the barrier has a column of its own)."""
    first = {step.name: step for step in reversed(screened.steps) if step.name != "barrier"}
    return [step for step in screened.steps if first.get(step.name) is step]


def write_tables(screened: Screened, folder: Path) -> Path:
    """screen.csv and, for the report, screen.json; each replaced whole."""
    path = folder / "screen.csv"
    draft = path.with_name(".screen.csv.part")
    with draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows(csv_rows(screened))
    draft.replace(path)
    write_json(folder / "screen.json", summary(screened))
    return path


def csv_rows(screened: Screened) -> Iterable[list[Any]]:
    """Header, then one line per composition: kept ones first, then those that came furthest."""
    steps = quantities(screened)
    yield [
        *("formula", "verdict", "left_at", "reason", "rank", "E_b_eV", "sigma_eV", "source", "cluster"),
        *(column(step) for step in steps),
        *("composition",),
    ]
    for entry in screened.entries:
        one = entry.candidate
        yield [
            *(one.formula, "kept" if entry.kept else "excluded", _left_at(screened, entry), entry.reason, one.rank),
            *(round(one.E_b_eV, 6), one.sigma_eV, one.source, one.cluster),
            *(one.found[step.name].value if step.name in one.found else None for step in steps),
            one.composition.key,
        ]


def column(step: Step) -> str:
    """A column's name with its unit: "E_hull_eV/atom"."""
    return f"{step.quantity}_{step.unit}".replace(" ", "_").rstrip("_")


def _left_at(screened: Screened, entry: Entry) -> str:
    return "" if entry.left_at is None else f"{entry.left_at + 1} {screened.steps[entry.left_at].name}"


def summary(screened: Screened) -> dict[str, Any]:
    """The screen as JSON: steps with their counts, and every composition that passed the first step."""
    counts = screened.counts()
    return {
        "entered": counts[0],
        "steps": [
            {
                "step": step.name,
                "title": step.title,
                "left": left,
                "settings": step.model_dump(mode="json", exclude_none=True),
            }
            for step, left in zip(screened.steps, counts[1:], strict=True)
        ],
        "columns": [step.title for step in quantities(screened)],
        "rows": [_row(screened, entry) for entry in screened.entries if entry.left_at != 0],
    }


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What `write_tables` last wrote into the folder; None where nothing was screened or the file is damaged."""
    try:
        found = json.loads((folder / "screen.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"entered", "steps", "columns", "rows"} <= set(found) else None


def _row(screened: Screened, entry: Entry) -> dict[str, Any]:
    one = entry.candidate
    return {
        "formula": one.formula,
        "composition": one.composition.key,
        "E_b_eV": one.E_b_eV,
        "sigma_eV": one.sigma_eV,
        "kept": entry.kept,
        "reason": entry.reason,
        "values": [_shown(step, entry) for step in quantities(screened)],
        "found": {name: found.model_dump() for name, found in one.found.items()},
    }


def _shown(step: Step, entry: Entry) -> str:
    found = entry.candidate.found.get(step.name)
    return DASH if found is None else number(found.value, step.digits)


def table(screened: Screened) -> Table:
    """The compositions that passed the first step, for a terminal."""
    counts = screened.counts()
    funnel = " → ".join(
        [f"{counts[0]:,} ranked", *(f"{n:,} {s.name}" for n, s in zip(counts[1:], screened.steps, strict=True))]
    )
    shown = [entry for entry in screened.entries if entry.left_at != 0][:LINES]
    view = Table(title=funnel, title_justify="left", box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    view.add_column("", no_wrap=True)
    view.add_column("composition, and why", overflow="fold", ratio=2, min_width=32)
    view.add_column("E_b (eV)", justify="right", no_wrap=True)
    measured = [step for step in quantities(screened) if any(step.name in one.candidate.found for one in shown)]
    columns = measured if len(measured) <= COLUMNS else []  # more of them would leave no room for the words
    for step in columns:
        view.add_column(step.title, justify="right", overflow="fold", max_width=VALUE_WIDTH)
    for entry in shown:
        one = entry.candidate
        view.add_row(
            Text("kept", style="bold green") if entry.kept else Text("out", style="dim"),
            Text.assemble(
                (one.formula, "bold" if entry.kept else ""),
                *("" if columns else f"\n{step.title} {_shown(step, entry)}" for step in measured),
                "\n",
                (entry.reason, "dim"),
            ),
            energy(one.E_b_eV, one.sigma_eV),
            *(_shown(step, entry) for step in columns),
        )
    return view
