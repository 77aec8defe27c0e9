"""Tables of the electrode commands: counts beside the paper's, the list of arrangements, the ranking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.table import Table

from agent.electrode_counts import (
    COMMON,
    PAPER_COMPOUNDS,
    PAPER_METALS,
    PAPER_STRUCTURES,
    Counted,
    compound_count,
    paper_convention,
)
from agent.electrode_screening import Screened
from agent.electrodes import ElectrodeSpace, Metals


def count_rows(counts: Sequence[Counted], metals: int) -> list[dict[str, Any]]:
    """One row per symmetry: arrangements by ratio, per pair of metals, and of the whole space.

    Raises:
        RuntimeError: enumeration and Burnside's lemma disagree, a fault of ours.
    """
    rows = []
    for one in counts:
        if one.by_ratio != one.by_burnside:
            raise RuntimeError(f"{one.symmetry}: enumeration {one.by_ratio} and Burnside {one.by_burnside} differ")
        sites = len(one.by_ratio) + 1
        ratios = {f"{count}/{sites - count}": number for count, number in enumerate(one.by_ratio, 1)}
        totals = {"per pair": one.per_pair, "all": one.structures(metals)}
        rows.append({"symmetry": one.symmetry, "operations": one.operations, **ratios, **totals})
    return rows


def counts_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The counts as a table."""
    table = Table(box=None, header_style="bold")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "symmetry" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    return table


def beside_the_paper(space: ElectrodeSpace, counts: Sequence[Counted], metals: int) -> str:
    """Compounds and structures, ours and in the paper's convention, beside what the paper states for 30 metals."""
    sites = space.host.n_substituted_sites
    mobile = space.host.mobile
    contents = [one for one in counts if one.symmetry in {f"{mobile}{content:g}" for content in space.contents}]
    common = next(one for one in counts if one.symmetry == COMMON)
    compounds, structures = paper_convention(metals, sites, contents)
    lines = [
        f"{compound_count(metals, sites):,} compounds of {metals} metals on {sites} sites, each once; "
        f"{common.structures(metals):,} arrangements that differ at any {mobile} content",
        f"in the paper's convention (ordered pairs, {sites // 2} ratios, all {mobile} contents added up): "
        f"{compounds:,} compounds, {structures:,} structures",
    ]
    if metals == PAPER_METALS:
        lines.append(f"Shim et al. (2024): {PAPER_COMPOUNDS:,} compounds, {PAPER_STRUCTURES:,} structures")
    return "\n".join(lines)


def arrangement_rows(space: ElectrodeSpace, compounds: Iterable[Metals]) -> Iterator[dict[str, Any]]:
    """One row per arrangement: the element on every site, and how many arrangements are equivalent."""
    for metals in compounds:
        for one in space.arrangements(metals):
            yield {
                "name": one.name,
                "compound": metals.name(space.host),
                "arrangement": "".join(one.symbols),
                "multiplicity": one.multiplicity,
            }


def ranking_table(screened: Sequence[Screened], top: int) -> Table:
    """The best compounds, and then the reasons of those left out, `top` rows in all."""
    table = Table(box=None, header_style="bold")
    for column in ("rank", "arrangement", "V21", "V32", "V43", "(V21-V43)/V43", "left out because"):
        table.add_column(column, justify="right" if column[0] in "V(r" else "left", overflow="fold")
    for one in screened[:top]:
        voltages = (one.candidate.V21, one.candidate.V32, one.candidate.V43)
        table.add_row(
            "" if one.rank is None else str(one.rank),
            one.candidate.name,
            *("" if value is None else f"{value:.2f}" for value in voltages),
            "" if one.score is None else f"{one.score:.3f}",
            "; ".join(one.reasons),
        )
    return table
