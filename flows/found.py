"""Campaigns on this disk, by name or folder. Looking at one needs no more than where its ledger is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent.ledger import Ledger
from flows.errors import UserError

if TYPE_CHECKING:
    from flows.config import Config
    from flows.view import CampaignView

CONFIG_FILE = "config.json"
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """A campaign on disk."""

    folder: Path
    stored: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.absolute().name

    @property
    def config(self) -> Config:
        """Its configuration. The folder may have been moved: where it lies is where it lies."""
        from flows.config import parse_config

        here = {"folder": str(self.folder.absolute().parent), "name": self.name}
        return parse_config(
            self.stored | {"campaign": self.stored["campaign"] | here}, str(self.folder / CONFIG_FILE)
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = Ledger.open(ledger_target(self.stored["ledger"]["url"], self.folder))
        try:
            yield ledger
        finally:
            ledger.close()

    def look(self, load: Callable[[Ledger, str], T]) -> T:
        """What one of `flows.looks` reads of it."""
        with self.ledger() as ledger:
            return load(ledger, self.name)

    def view(self) -> CampaignView:
        """All of it, for figures, report and export."""
        from flows.view import CampaignView

        with self.ledger() as ledger:
            return CampaignView.load(ledger, self.name, self.folder)

    def jobs(self) -> str:
        """What it has in a scheduler's queue, in words; "" if it sends nothing there or nothing is left."""
        if self.stored.get("label", {}).get("scheduler", "local") in ("local", "dask"):
            return ""
        from flows.jobs import describe

        with self.ledger() as ledger:
            return describe(self.config, ledger)


def ledger_target(url: str | None, folder: Path) -> str | Path:
    """What `Ledger.open` takes; `$NAME` in the URL comes from the environment: no file holds a password."""
    return os.path.expandvars(url) if url else folder / "ledger.sqlite"


def find_campaign(name: str | None, root: Path = Path("campaigns")) -> Found:
    """A campaign by name or folder, or the one touched last.

    Raises:
        UserError: there is none; the message says which there are.
    """
    known = sorted(root.glob(f"*/{CONFIG_FILE}"), key=lambda path: path.stat().st_mtime)
    if name is None:
        if not known:
            raise UserError(f"no campaign in {root}/; start one with `ionloop run CONFIG`")
        folder = known[-1].parent
    else:
        places = [Path(name), root / name]
        folder = next((place for place in places if (place / CONFIG_FILE).is_file()), Path())
        if folder == Path():
            names = ", ".join(path.parent.name for path in known) or "none"
            raise UserError(f"campaign {name!r}: not a campaign folder, and not in {root}/ (there: {names})")
    try:
        return Found(folder, json.loads((folder / CONFIG_FILE).read_text()))
    except ValueError as error:
        raise UserError(f"{folder / CONFIG_FILE}: damaged ({error})") from error
