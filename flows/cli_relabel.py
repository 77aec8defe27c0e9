"""`ionloop relabel`: the dear label for orderings that have only a cheaper one."""

from __future__ import annotations

from typing import Annotated, Optional

import typer
from rich.console import Console

console = Console()
app = typer.Typer()


@app.command(rich_help_panel="Campaigns")
def relabel(
    campaign: Annotated[
        Optional[str],  # noqa: UP045 (Typer reads this at run time)
        typer.Argument(help="Name or folder of a campaign; default: the one touched last in ./campaigns."),
    ] = None,
    fidelity: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Such as vasp-neb (`ionloop calculators` lists them); default: the campaign's target."),
    ] = None,
    top: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="How many in all, the lowest barriers so far; default: only fallbacks."),
    ] = None,
) -> None:
    """Label orderings again at a dearer fidelity: where it was asked for and a fallback stood in, then the best.

    The orderings become a round of their own in the ledger before anything is computed; killed, `ionloop resume`
    goes on with it.
    """
    from flows.found import find_campaign
    from flows.session import relabel_campaign

    relabel_campaign(find_campaign(campaign).config, fidelity, top, console)
