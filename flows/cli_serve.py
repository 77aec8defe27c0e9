"""`ionloop serve` and `ionloop deploy`: campaigns that are driven from the Prefect UI; `ionloop cancel`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from flows.errors import UserError

console = Console()
app = typer.Typer()

Configuration = Annotated[Path, typer.Argument(help="Configuration, TOML or YAML.")]
Host = Annotated[
    Optional[str],  # noqa: UP045 (Typer reads this at run time)
    typer.Option(help="Address to listen on, e.g. 0.0.0.0; default: this machine alone. There is no password."),
]


@app.command(rich_help_panel="Campaigns")
def serve(config: Configuration, host: Host = None) -> None:
    """Offer a campaign in the Prefect UI: start, pause, resume, cancel it there, and change its parameters.

    Runs are started by this process, so it has to stay up; the campaign's labels and decisions are in its ledger as
    with `ionloop run`. Ends with Ctrl-C, which pauses a running campaign.
    """
    from flows.config import load_config
    from flows.deployment import serve as serve_deployment
    from flows.session import prefect_api

    settings = load_config(config)
    with prefect_api(settings.prefect.port, console, host):
        console.print(f"serving deployment ionloop/{settings.campaign.name}; start it in the UI, or by")
        console.print(f"  prefect deployment run ionloop/{settings.campaign.name}", markup=False)
        serve_deployment(config, settings)


@app.command(rich_help_panel="Campaigns")
def deploy(
    config: Configuration,
    pool: Annotated[str, typer.Option(help="Process work pool; `prefect work-pool create NAME --type process`.")],
) -> None:
    """Hand a campaign to a Prefect work pool, whose workers then run it.

    Needs a Prefect server that outlives this command (PREFECT_API_URL). Workers run on a machine that has this
    installation, this configuration file and this working directory.
    """
    from prefect.exceptions import ObjectNotFound

    from flows.config import load_config
    from flows.deployment import deploy as deploy_to
    from flows.server import configured_api_url

    settings = load_config(config)
    if configured_api_url() is None:
        raise UserError("PREFECT_API_URL is not set: a work pool lives on a Prefect server of your own")
    try:
        deploy_to(config, settings, pool)
    except (RuntimeError, ObjectNotFound) as error:
        raise UserError(f"--pool {pool}: {error}; `prefect work-pool ls` lists what there is") from error
    console.print(f"deployed ionloop/{settings.campaign.name} to work pool {pool}; start it in the UI, or by")
    console.print(f"  prefect deployment run ionloop/{settings.campaign.name}", markup=False)


@app.command(rich_help_panel="Campaigns")
def cancel(
    campaign: Annotated[str, typer.Argument(help="Name or folder of a campaign.")],
) -> None:
    """End a campaign's driver, if one runs, and take its jobs out of the scheduler's queue.

    Labels that are done stay; `ionloop resume` goes on later all the same. (Ctrl-C alone lets jobs run on.)
    """
    from flows.found import find_campaign
    from flows.lock import stop_driver
    from flows.session import cancel_campaign

    found = find_campaign(campaign)
    if stop_driver(found.folder):
        console.print("the driver has stopped")
    cancel_campaign(found.config, "cancelled by a person", console)
