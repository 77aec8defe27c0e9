"""A campaign as a Prefect deployment: started, paused, resumed, cancelled and changed from the UI.

`ionloop serve` runs it from a process of its own, `ionloop deploy` hands it to a work pool. Either way a run of
the deployment is a driver like `ionloop run`: the ledger says where to go on, and one driver at a time holds the
campaign.
"""

# No `from __future__ import annotations` here: Prefect reads the flow's annotations and needs types, not their names.

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause, TerminationSignal
from prefect.runtime import flow_run
from rich.console import Console

from agent.acquisition_config import AcquisitionConfig
from agent.stopping import StoppingConfig
from flows.artifacts import PREFECT_ERRORS
from flows.config import Config, load_config, parse_config
from flows.errors import Paused

#: Seconds between looks at what a person has done to the run in the UI.
LOOK_S = 3.0


@flow(name="ionloop", flow_run_name="{config.stem}", persist_result=False)
def drive(
    config: Path,
    stopping: StoppingConfig,
    acquisition: AcquisitionConfig,
    batch: int,
    workers: int,
    concurrency: dict[str, int],
    timeout_min: float,
    retries: int,
) -> None:
    """Start a campaign, or go on with it. What is not asked for here is fixed for a campaign (see docs/running.md).

    Args:
        config: the configuration file, on the machine where this runs.
        stopping: when to stop.
        acquisition: how the next compositions are chosen.
        batch: labels per round.
        workers: labels that each calculator computes side by side.
        concurrency: the same for single calculators.
        timeout_min: wall-time limit of one attempt, minutes.
        retries: further attempts after a transient failure or a time limit.
    """
    from flows.session import cancel_campaign, run_campaign

    settings = changed(config, dict(locals()))
    run_id = UUID(str(flow_run.id))
    try:
        with _heeding_the_ui(run_id):
            run_campaign(settings, Console())
    except (Paused, KeyboardInterrupt) as stopped:
        state = _state(run_id)
        if state is not None and state.is_paused():
            raise Pause(state=state) from stopped
        if state is not None and state.is_cancelling():
            cancel_campaign(settings, "cancelled in the Prefect UI", Console())
        raise TerminationSignal(signal=signal.SIGTERM) from stopped


def parameters(path: Path, config: Config) -> dict[str, Any]:
    """What a person may change from run to run, with the values of the configuration file."""
    data = config.model_dump(mode="json")
    label = {name: data["label"][name] for name in ("workers", "concurrency", "timeout_min", "retries")}
    chosen = {"stopping": data["stopping"], "acquisition": data["acquisition"], "batch": data["campaign"]["batch"]}
    return {"config": str(path.absolute()), **chosen, **label}


def changed(path: Path, given: dict[str, Any]) -> Config:
    """The configuration file with a run's parameters over it.

    Raises:
        ConfigError: the file, or what the parameters make of it, is wrong.
    """
    data = load_config(path).model_dump(mode="json")
    data["stopping"] = given["stopping"].model_dump(mode="json")
    data["acquisition"] = given["acquisition"].model_dump(mode="json")
    data["campaign"]["batch"] = given["batch"]
    data["label"] |= {name: given[name] for name in ("workers", "concurrency", "timeout_min", "retries")}
    return parse_config(data, f"{path} with this run's parameters")


def serve(path: Path, config: Config) -> None:
    """Serve the deployment from this process until it is interrupted."""
    from prefect.flows import EntrypointType

    drive.serve(
        name=config.campaign.name,
        parameters=parameters(path, config),
        tags=[config.campaign.name],
        description=_description(config),
        entrypoint_type=EntrypointType.MODULE_PATH,
        print_starting_message=False,
    )


def deploy(path: Path, config: Config, pool: str) -> None:
    """Register the deployment with a work pool whose workers run on a machine with this Python and these files.

    Raises:
        RuntimeError: Prefect refuses it, e.g. because there is no such pool.
    """
    from prefect.flows import EntrypointType

    drive.to_deployment(  # type: ignore[union-attr]
        name=config.campaign.name,
        parameters=parameters(path, config),
        tags=[config.campaign.name],
        description=_description(config),
        work_pool_name=pool,
        job_variables={"working_dir": str(Path.cwd())},
        entrypoint_type=EntrypointType.MODULE_PATH,
    ).apply()


def _description(config: Config) -> str:
    chain = ", ".join(config.label.calculators)
    return (
        f"Campaign **{config.campaign.name}** on host {config.campaign.host}, labels by {chain}. *Run* starts it or "
        f"goes on with it; pausing or cancelling loses nothing. `ionloop status {config.campaign.name}` says more."
    )


@contextmanager
def _heeding_the_ui(run_id: UUID) -> Iterator[None]:
    """While inside, a pause in the UI reaches this process as Ctrl-C would. (A cancellation comes as SIGTERM.)"""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            state = _state(run_id)
            if state is not None and state.is_paused():
                os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _state(run_id: UUID) -> State | None:
    """What the server says of this run; None if it does not answer."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(run_id).state
    except PREFECT_ERRORS:
        return None
