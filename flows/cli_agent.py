"""`ionloop backtest`, and a person's hand in a campaign: `exclude`, `pin`, `add-label`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from flows.errors import UserError, as_user_error

console = Console()
app = typer.Typer()

Campaign = Annotated[str, typer.Argument(help="Name or folder of a campaign.")]
WhichComposition = Annotated[str, typer.Argument(help="Formula or key, as `ionloop rank` and ranking.csv show it.")]


@app.command(rich_help_panel="A person's hand in a campaign")
def exclude(campaign: Campaign, composition: WhichComposition) -> None:
    """Never propose this composition; the ledger says who said so."""
    _edit(campaign, composition, "exclude")


@app.command(rich_help_panel="A person's hand in a campaign")
def pin(campaign: Campaign, composition: WhichComposition) -> None:
    """Propose this composition in the next round; the ledger says who said so."""
    _edit(campaign, composition, "pin")


@app.command("add-label", rich_help_panel="A person's hand in a campaign")
def add_label(
    campaign: Campaign,
    composition: WhichComposition,
    value_eV: Annotated[float, typer.Argument(help="The barrier, eV.", min=0)],
    source: Annotated[str, typer.Option(help="Where the value comes from; stands in its provenance.")],
    ordering: Annotated[int, typer.Option(min=0, help="Which ordering it belongs to.")] = 0,
) -> None:
    """Add a barrier at the target fidelity that was found elsewhere; the next round learns from it."""
    from flows.byhand import add_label as add
    from flows.found import find_campaign

    found = find_campaign(campaign)
    key, formula = _composition(found.folder, composition)
    with found.ledger() as ledger:
        add(ledger, found.folder.absolute().name, key, formula, ordering, value_eV, source, getpass.getuser())
    console.print(f"added {value_eV:.3f} eV for {composition}")


def _edit(campaign: str, composition: str, kind: str) -> None:
    from flows.found import find_campaign

    found = find_campaign(campaign)
    key, who = _composition(found.folder, composition)[0], getpass.getuser()
    with found.ledger() as ledger:
        ledger.log(found.folder.absolute().name, kind, f"{who}: {kind} {composition}", who=who, composition=key)
    console.print(f"{kind}: {composition}; counts from the next round on")


def _composition(folder: Path, given: str) -> tuple[str, str]:
    """Key and formula of a composition of the campaign's space."""
    import pandas as pd

    space = pd.read_csv(folder / "space.csv")
    match = space[(space.formula == given) | (space.composition == given)]
    if len(match) != 1:
        raise UserError(f"composition {given!r}: not in the campaign's space; {folder / 'space.csv'} lists all of it")
    return str(match.composition.iloc[0]), str(match.formula.iloc[0])


@app.command(rich_help_panel="By themselves")
def backtest(
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="TOML with fields of the back-test, or a campaign's configuration; options win."),
    ] = None,
    table: Annotated[Optional[Path], typer.Option(help="CSV of candidates with known labels.")] = None,  # noqa: UP045
    target: Annotated[Optional[str], typer.Option(help="Column of the label, if there are several.")] = None,  # noqa: UP045
    strategies: Annotated[Optional[str], typer.Option(help="Comma-separated, e.g. random,lcb,ei+lcmd.")] = None,  # noqa: UP045
    features: Annotated[Optional[str], typer.Option(help="Numeric columns; else composition or structure.")] = None,  # noqa: UP045
    host: Annotated[Optional[str], typer.Option(help="Host of a table of compositions.")] = None,  # noqa: UP045
    cheap: Annotated[Optional[str], typer.Option(help="Column of a cheap fidelity; several with commas.")] = None,  # noqa: UP045
    direction: Annotated[Optional[str], typer.Option(help="min or max is wanted; default: min.")] = None,  # noqa: UP045
    top: Annotated[Optional[float], typer.Option(help="Targets: a share below 1, or a number.")] = None,  # noqa: UP045
    seeds: Annotated[Optional[int], typer.Option(min=1, help="Runs per strategy.")] = None,  # noqa: UP045
    surrogate: Annotated[Optional[str], typer.Option(help="gp, rf or cgformer.")] = None,  # noqa: UP045
    out: Annotated[Path, typer.Option(help="Folder for CSV, PNG, HTML.")] = Path("backtest"),
) -> None:
    """The campaign's loop against a table of known labels: which strategy finds the best with fewest labels."""
    from agent.backtest import run_backtest
    from agent.backtest_report import facts, metrics, short, write_report
    from flows.backtest_request import read_request, read_table
    from flows.backtesting import surrogate_factory
    from flows.progress import Reporter

    names = None if strategies is None else [name.strip() for name in strategies.split(",")]
    of_table = {"table": table, "target": target, "features": features, "host": host, "cheap": cheap}
    given = of_table | {"direction": direction, "strategies": names, "top": top, "seeds": seeds}
    with as_user_error():
        asked, settings = read_request(config, given | {"surrogate": surrogate})
        data = read_table(asked)
        factory = surrogate_factory(settings.surrogate, data, asked.table.parent)
    with Reporter(console).running() as reporter, reporter.bar("runs") as bar, as_user_error():
        result = run_backtest(
            data, settings, out, factory, progress=lambda done, of: bar.update(f"{done} of {of}", done, of)
        )
    page = write_report(result, out)
    console.print(facts(result), markup=False)
    table_shown = short(metrics(result)).round(2).to_string(index=False, na_rep="never")
    console.print(table_shown, markup=False, highlight=False)
    console.print(f"wrote {page}; {out / 'metrics.csv'} has every figure and its band")
