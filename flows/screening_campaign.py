"""`ionloop screen` on a campaign: its newest ranking in, tables in its folder out."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from agent.composition import Composition
from agent.hosts import load_host
from flows.config import Config, parse_config
from flows.errors import Paused, UserError, as_user_error
from flows.found import Found
from flows.lock import driver_lock
from flows.progress import Reporter, stage_note
from flows.screening import Campaign, Candidate, Screened, Step, screen
from flows.screening_views import write_tables

#: Where a campaign keeps its screens.
FOLDER = "screening"


def screen_campaign(found: Found, config_path: Path | None, console: Console) -> tuple[Screened, Path]:
    """Screen a campaign's ranking and write screen.csv and screen.json into its folder.

    Args:
        config_path: a file whose [screen] section is used instead of the campaign's own.

    Returns:
        the screen, and the path of its CSV.

    Raises:
        UserError, ConfigError: nothing is ranked yet, or the section is wrong.
        Paused: interrupted; the same command goes on.
    """
    config = found.config if config_path is None else with_section(found, config_path)
    candidates = candidates_of(found, config)
    folder = found.folder / FOLDER
    folder.mkdir(exist_ok=True)
    with driver_lock(folder), Reporter(console).running() as reporter, reporter.bar("screening") as bar:

        def told(index: int, step: Step, done: int, of: int, event: dict[str, Any]) -> None:
            bar.update(f"{index + 1} {step.name}: {done + 1} of {of}, {stage_note(event)}", done, of)

        try:
            screened = screen(candidates, config.screen.steps, folder, told)
        except KeyboardInterrupt as interrupt:
            raise Paused("paused; nothing is lost: the same `ionloop screen` goes on from here") from interrupt
        path = write_tables(screened, folder)
    with found.ledger() as ledger:
        names = ", ".join(step.name for step in screened.steps)
        text = f"screened {len(screened.entries)} compositions ({names}): {len(screened.kept)} stay"
        ledger.log(
            found.folder.absolute().name, "screen", text, steps=[s.model_dump(mode="json") for s in screened.steps]
        )
    return screened, path


def candidates_of(found: Found, config: Config) -> list[Candidate]:
    """The newest ranking as candidates.

    Raises:
        UserError: no round has ended yet.
    """
    view = found.view()
    if not view.ranking:
        raise UserError(f"campaign {view.name}: no round has ended yet, so nothing is ranked and nothing to screen")
    with as_user_error():
        campaign = Campaign(view, load_host(config.campaign.host), config.campaign.seed)
    return [
        Candidate(
            campaign=campaign,
            rank=line.rank,
            composition=Composition.from_key(line.composition),
            formula=line.formula,
            cluster=line.cluster,
            E_b_eV=line.mean_eV,
            sigma_eV=line.sigma_eV,
            source=line.source,
        )
        for line in view.ranking
    ]


def with_section(found: Found, path: Path) -> Config:
    """The campaign's configuration with the [screen] section of another file (which may hold nothing else)."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.safe_load(text) if path.suffix in {".yaml", ".yml"} else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict) or "screen" not in data:
        raise UserError(f"{path}: has no [screen] section; docs/screening.md shows one")
    return parse_config(found.config.model_dump(mode="json") | {"screen": data["screen"]}, str(path))
