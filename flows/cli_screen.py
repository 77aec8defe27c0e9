"""`ionloop screen`: from a campaign's ranking to the few compositions worth a synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

console = Console()
app = typer.Typer()


@app.command(rich_help_panel="Campaigns")
def screen(
    campaign: Annotated[
        Optional[str],  # noqa: UP045 (Typer reads this at run time)
        typer.Argument(help="Name or folder of a campaign; default: the one touched last in ./campaigns."),
    ] = None,
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="TOML or YAML whose [screen] section is used instead of the campaign's own."),
    ] = None,
) -> None:
    """Send the ranking through the steps of [screen]: which compositions stay, and why the others do not.

    What a step has measured is kept in the campaign's folder: a killed screen goes on where it was, and a screen with
    another rule or after another round measures only what is new.
    """
    from flows.screening_campaign import screen_campaign
    from flows.screening_views import table
    from flows.session import find_campaign

    screened, path = screen_campaign(find_campaign(campaign), config, console)
    console.print(table(screened))
    console.print(f"{len(screened.kept)} stay; every composition with its reason: {path}", soft_wrap=True)
