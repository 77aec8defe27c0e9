"""Opening, running and ending campaigns on this machine: what the command line calls."""

from __future__ import annotations

import getpass
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from agent.ledger import Ledger
from calculators.jobs import SchedulerError
from flows import tables
from flows.changes import check_changes
from flows.errors import Paused, UserError, as_user_error
from flows.found import CONFIG_FILE, ledger_target
from flows.lock import driver_lock
from flows.looks import Ranking

if TYPE_CHECKING:
    from flows.campaign import Campaign
    from flows.config import Config
    from flows.interruption import Interruption
    from flows.stage import Stage


def run_campaign(config: Config, console: Console) -> None:
    """Run or go on with a campaign in this process, and leave a folder that a scientist can use."""
    from flows.patience import patiently
    from flows.rounds import play_rounds
    from flows.streaming import play_streaming

    loops = {"rounds": play_rounds, "streaming": play_streaming}
    start = config.model.start_from
    if start is not None and not (start / "model.json").is_file() and not start.is_file():
        raise UserError(f"model.start_from: {start} is no folder of a trained ensemble and no checkpoint (.pth.tar)")
    with _open_campaign(config, console) as campaign:
        loop = loops[config.loop.mode]
        reason = patiently(lambda: campaign.run(loop), campaign.ledger, campaign.reporter.say)
        best = Ranking.load(campaign.ledger, campaign.name, top=15)
    console.print(tables.ranking(best))
    console.print(f"stopped: {reason.text}\nfolder: {config.folder}\nreport: {config.folder / 'report.html'}")
    console.print("history in the Prefect UI: ionloop ui" if config.prefect.enabled else "", end="\n")


def relabel_campaign(config: Config, fidelity: str | None, top: int | None, console: Console) -> None:
    """Label orderings of a campaign again at another fidelity, as a round of its own (see `flows.relabel`)."""
    from calculators.pipeline import label_key
    from flows.patience import patiently
    from flows.relabel import begin_round, calculator_of, fidelity_of
    from flows.rounds import play_one

    if config.loop.mode != "rounds":
        raise UserError("relabel: this campaign streams; only campaigns of batch rounds can be relabelled")
    fidelity = fidelity or fidelity_of(config.label.calculators[0])
    calculator = calculator_of(config, fidelity)
    with _open_campaign(config, console) as campaign:
        before = campaign.view().campaign
        campaign.places.limits.setdefault(calculator, config.label.workers)

        def key_of(composition: str, ordering: int) -> str:
            return label_key(campaign.proposer.work(composition, ordering, calculator))

        who = getpass.getuser()
        number = begin_round(campaign.ledger, campaign.view(), fidelity, calculator, top, key_of, who)
        if number is None:
            console.print(f"nothing to label again at {fidelity}" + ("" if top else "; --top N takes the best N too"))
            return
        patiently(lambda: play_one(campaign, number), campaign.ledger, campaign.reporter.say)
        campaign.ledger.set_campaign_state(campaign.name, before.state, before.stop_reason)
        view, best = campaign.view(), Ranking.load(campaign.ledger, campaign.name, top=15)
    done = [a for a in view.of_round(number) if a.value_eV is not None]
    console.print(tables.ranking(best))
    console.print(f"{len(done)} of {len(view.of_round(number))} orderings now have a {fidelity} label")


@contextmanager
def _open_campaign(config: Config, console: Console) -> Iterator[Campaign]:
    """A campaign ready to run: locked, enrolled, with candidates, workers and stage; at the end it is exported.

    Ctrl-C and SIGTERM inside become `Paused`.
    """
    from calculators.supervisor import WorkerPool
    from flows.campaign import Campaign
    from flows.candidates import build_candidates
    from flows.engines import open_engine
    from flows.export import export
    from flows.interruption import Interruption
    from flows.jobs import describe
    from flows.progress import Reporter

    folder = config.folder
    _check_calculators(config)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(driver_lock(folder))
        ledger = Ledger.open(ledger_target(config.ledger.url, folder))
        stack.callback(ledger.close)
        _enrol(config, ledger)
        with console.status("enumerating, clustering and ordering the composition space"):
            candidates = build_candidates(config)
        console.print(tables.funnel([(step.name, step.count) for step in candidates.funnel]))
        candidates.write(folder / "space.csv")
        pool = stack.enter_context(WorkerPool(sum(config.places.values()), config.label.threads))
        interruption = Interruption(pool.close)
        stage = stack.enter_context(_stage(config, interruption, console))
        engine = stack.enter_context(open_engine(config, pool, interruption.event))
        reporter = stack.enter_context(Reporter(console, folder).running())
        campaign = Campaign(config, candidates, ledger, engine, reporter, stage, interruption)
        with interruption.heeded():
            try:
                yield campaign
            except KeyboardInterrupt as interrupt:
                jobs = describe(config, ledger)
                ledger.set_campaign_state(config.campaign.name, "paused", "interrupted by a person")
                if jobs:
                    console.print(f"jobs run on without us: {jobs}", markup=False)
                raise Paused(f"paused; nothing is lost: `ionloop resume {folder}` goes on from here") from interrupt
        reporter.say("writing tables, structures, plots and the report")
        export(campaign.view(), folder)


def cancel_campaign(config: Config, reason: str, console: Console) -> None:
    """Take a campaign's jobs out of the queue and say so in the ledger; nobody may drive it at the time."""
    from flows.jobs import cancel_jobs

    with driver_lock(config.folder):
        ledger = Ledger.open(ledger_target(config.ledger.url, config.folder))
        try:
            with as_user_error((SchedulerError,)):
                jobs = cancel_jobs(config, ledger)
            ledger.close_lost_attempts(config.campaign.name)
            ledger.set_campaign_state(config.campaign.name, "cancelled", reason)
        finally:
            ledger.close()
    for job in jobs:
        console.print(f"cancelled job {job}", markup=False)
    console.print(f"cancelled; labels are kept, `ionloop resume {config.folder}` would go on from here", markup=False)


def _check_calculators(config: Config) -> None:
    """Every calculator exists, can run here, and understands its settings, before anything is started."""
    from calculators.registry import find

    wanted = [(name, config.label.settings.get(name, {})) for name in config.label.calculators]
    if config.cheap_labels:
        wanted.append((config.pretrain.calculator, config.pretrain.settings))
    for name, settings in wanted:
        with as_user_error():
            labeller = find(name)
            labeller.settings(settings)
        if (problem := labeller.unavailable()) is not None:
            raise UserError(f"calculator {name!r} cannot run here: {problem}")


def _enrol(config: Config, ledger: Ledger) -> None:
    """Write the campaign down, or check that what has changed since then may change."""
    from calculators.registry import find

    name, data = config.campaign.name, config.model_dump(mode="json")
    known = ledger.campaign(name)
    if known is None:
        target = find(config.label.calculators[0]).fidelity
        host = Path(config.campaign.host).stem[:64]  # a path may be long; the configuration has it whole
        ledger.create_campaign(name, host, target, config.campaign.seed, data)
    elif changes := check_changes(known.config, data):
        ledger.set_campaign_config(name, data, "configuration changed: " + "; ".join(changes))
    part = config.folder / f"{CONFIG_FILE}.part"
    part.write_text(json.dumps(data, indent=1))
    part.replace(config.folder / CONFIG_FILE)


@contextmanager
def _stage(config: Config, interruption: Interruption, console: Console) -> Iterator[Stage]:
    """Prefect's stage on the user's server or on our own, or no stage at all."""
    from flows.stage import BareStage, PrefectStage

    if not config.prefect.enabled:
        yield BareStage()
        return
    with prefect_api(config.prefect.port, console) as api_url:
        yield PrefectStage(api_url, config.campaign.name, interruption.ask)


@contextmanager
def prefect_api(port: int | None, console: Console, host: str | None = None) -> Iterator[str]:
    """The Prefect API that the user has set up, or a local server for as long as it is needed.

    Args:
        host: the address that a local server listens on; whoever asks for more than loopback is warned.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.server import configured_api_url, is_loopback, local_server

    if (url := configured_api_url()) is not None:
        if host is not None:
            raise UserError(f"--host {host}: no server is started, for one is configured ({url})")
        console.print(f"Prefect: {url} (as configured)")
        yield url
        return
    with ExitStack() as stack:
        with console.status("starting a local Prefect server"):
            server = stack.enter_context(local_server(port, host))
        console.print(f"Prefect UI: {server.ui_url}")
        if not is_loopback(server.host):
            console.print(
                f"[yellow]warning:[/] the server listens on {server.host}, port {server.port}: whoever reaches this "
                "machine there can read, start, change and cancel campaigns, without a password",
                soft_wrap=True,
            )
        stack.enter_context(temporary_settings({PREFECT_API_URL: server.api_url}))
        yield server.api_url


def serve_ui(port: int | None, host: str | None, console: Console) -> None:
    """Keep the Prefect UI up until Ctrl-C."""
    with prefect_api(port, console, host):
        console.print("press Ctrl-C to leave")
        leave = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would ignore SIGINT
            signal.signal(number, lambda *_: leave.set())
        leave.wait()
