"""The command line. Thin: every command is one call into the rooms behind it."""

from __future__ import annotations

import signal
import sys
from functools import partial
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Annotated, Optional

import typer
from rich.console import Console

from flows import (
    cli_agent,
    cli_calculators,
    cli_electrodes,
    cli_features,
    cli_finetune,
    cli_md,
    cli_models,
    cli_relabel,
    cli_screen,
    cli_serve,
)
from flows.errors import UserError, as_user_error, exit_codes
from flows.server import quiet_prefect

app = typer.Typer(
    name="ionloop",
    help="Autonomous campaigns that find solid electrolytes with a low ion-migration barrier.\n\n"
    "Start with `ionloop init`, then `ionloop run campaign.toml`; watch with `ionloop status` and `ionloop ui`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=True,
)
for part in (
    cli_calculators.app,
    cli_models.app,
    cli_agent.app,
    cli_md.app,
    cli_screen.app,
    cli_features.app,
    cli_electrodes.app,
    cli_serve.app,
    cli_relabel.app,
    cli_finetune.app,
):
    app.add_typer(part)
console = Console()

CampaignName = Annotated[
    Optional[str],  # noqa: UP045 (Typer reads this at run time)
    typer.Argument(help="Name or folder of a campaign; default: the one touched last in ./campaigns."),
]


def _unwind(number: int, _frame: FrameType | None) -> None:
    """End through all that is open: servers that were started, locks, workers."""
    raise SystemExit(128 + number)


def main() -> None:
    """Entry point: exit code 0, 2 for what a person can put right, 1 for a fault of ours, 130 for Ctrl-C, 143 for
    SIGTERM where no campaign was paused by it."""
    quiet_prefect()
    signal.signal(signal.SIGTERM, _unwind)
    sys.path.append(str(Path.cwd()))  # a calculator of one's own, module:object, may lie here
    with exit_codes():
        app()


@app.command(rich_help_panel="Campaigns")
def init(path: Annotated[Path, typer.Argument(help="File to write.")] = Path("campaign.toml")) -> None:
    """Write a commented example configuration."""
    from flows.example import example_config

    if path.exists():
        raise UserError(f"{path}: exists already; give another name")
    path.write_text(example_config(), encoding="utf-8")
    console.print(f"wrote {path}; read it, then: ionloop run {path}")


@app.command(rich_help_panel="Campaigns")
def run(config: Annotated[Path, typer.Argument(help="Configuration, TOML or YAML.")]) -> None:
    """Run a campaign; if it exists already, go on where it stopped."""
    from flows.config import load_config
    from flows.session import run_campaign

    run_campaign(load_config(config), console)


@app.command(rich_help_panel="Campaigns")
def resume(campaign: CampaignName = None) -> None:
    """Go on with a campaign that was interrupted, killed, or stopped by a rule that has been loosened."""
    from flows.found import find_campaign
    from flows.session import run_campaign

    run_campaign(find_campaign(campaign).config, console)


@app.command(rich_help_panel="Looking at a campaign")
def status(
    campaign: CampaignName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it on the screen, live, until q or Ctrl-C.")] = False,
) -> None:
    """Where a campaign stands: rounds, labels, best so far, failures, budget."""
    from flows import tables
    from flows.found import find_campaign
    from flows.looks import Status

    found = find_campaign(campaign)
    if watch:
        from flows.dashboard import watch as keep_watching

        keep_watching(lambda: found.look(Status.load), found.folder, console)
    else:
        console.print(tables.status(found.look(Status.load)))
        if jobs := found.jobs():
            console.print(f"jobs: {jobs}", markup=False)


@app.command(rich_help_panel="Looking at a campaign")
def history(
    campaign: CampaignName = None,
    number: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--round", min=0, help="One round: each composition, and why it was chosen."),
    ] = None,
) -> None:
    """What each round proposed, why, and what came of it."""
    from flows import tables
    from flows.found import find_campaign
    from flows.looks import History

    found = find_campaign(campaign)
    if number is None:
        console.print(tables.history(found.look(History.load)))
        return
    view = found.view()
    if not view.of_round(number):
        raise UserError(f"--round {number}: no such round yet; `ionloop history {found.folder}` lists them")
    console.print(tables.acquisitions(view, number))


@app.command(rich_help_panel="Looking at a campaign")
def rank(
    campaign: CampaignName = None,
    top: Annotated[int, typer.Option(min=1, help="How many compositions.")] = 20,
) -> None:
    """The best compositions at the target fidelity, labelled or predicted."""
    from flows import tables
    from flows.found import find_campaign
    from flows.looks import Ranking

    load = partial(Ranking.load, top=top)
    console.print(tables.ranking(find_campaign(campaign).look(load)))


@app.command(rich_help_panel="Campaigns")
def space(config: Annotated[Path, typer.Argument(help="Configuration, TOML or YAML.")]) -> None:
    """The funnel: how many compositions are left after each filter, and why."""
    from agent.hosts import load_host
    from agent.space import build_space
    from flows import tables
    from flows.config import load_config

    settings = load_config(config)
    with as_user_error():
        found = build_space(load_host(settings.campaign.host), settings.space)
    console.print(tables.funnel([(step.name, step.count) for step in found.funnel]))


@app.command(rich_help_panel="Looking at a campaign")
def ui(
    port: Annotated[Optional[int], typer.Option(help="Port; default 4200 or a free one.")] = None,  # noqa: UP045
    host: cli_serve.Host = None,
) -> None:
    """Serve the Prefect UI over every campaign of this machine until Ctrl-C."""
    from flows.session import serve_ui

    serve_ui(port, host, console)


@app.command(rich_help_panel="Looking at a campaign")
def export(
    campaign: CampaignName = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder to write; default: export in the campaign's.")] = None,  # noqa: UP045
) -> None:
    """Tables, structures (CIF, POSCAR, extended XYZ), NEB paths, plots and the report, in one folder."""
    from flows.export import export as write
    from flows.found import find_campaign

    found = find_campaign(campaign)
    folder = out or found.folder / "export"
    write(found.view(), folder)
    console.print(f"wrote {folder}")


@app.command(rich_help_panel="Looking at a campaign")
def report(campaign: CampaignName = None) -> None:
    """One self-contained HTML page of the campaign."""
    from flows.found import find_campaign
    from flows.report import write_report

    found = find_campaign(campaign)
    console.print(f"wrote {write_report(found.view(), found.folder / 'report.html')}")


@app.command(rich_help_panel="By themselves")
def version() -> None:
    """Version of ionloop."""
    console.print(metadata.version("ionloop"))
