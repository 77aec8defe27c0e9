"""Two kinds of trouble: a person's (one clear line, exit code 2) and ours (a report file, exit code 1)."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from agent.database import LedgerError
from flows.lock import CampaignBusy
from flows.server import ServerError, home


class ConfigError(ValueError):
    """The configuration says something impossible; the message names the field and what is allowed."""


class UserError(Exception):
    """Something a person can put right; the message says what, where, and what is allowed."""


class Paused(Exception):
    """A person stopped the campaign; the message says how to go on."""


@contextmanager
def as_user_error(
    kinds: tuple[type[Exception], ...] = (ValueError, FileNotFoundError, ImportError),
) -> Iterator[None]:
    """Around calls whose exceptions of these kinds speak of the user's input (default: bad values, missing files)."""
    try:
        yield
    except kinds as error:
        raise UserError(str(error)) from error


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn exceptions into exit codes: 2 for the user's, 1 with a report file for ours, 130 for Ctrl-C."""
    console = Console(stderr=True)
    try:
        yield
    except (UserError, ConfigError, LedgerError, CampaignBusy, ServerError) as error:
        console.print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
        sys.exit(2)
    except OSError as error:
        if not error.filename and error.errno is None:
            raise
        console.print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
        sys.exit(2)
    except Paused as pause:
        console.print(f"[yellow]{_escaped(str(pause))}[/]", soft_wrap=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 (the one place that catches all, to write it down)
        path = write_report(error)
        console.print(
            f"[bold red]internal error:[/] {type(error).__name__}: {_escaped(str(error))}\n"
            f"report: {path} (please send it with your configuration)",
            soft_wrap=True,
        )
        sys.exit(1)


def write_report(error: Exception) -> Path:
    """Write what happened, with traceback and versions, to ionloop's home folder."""
    folder = home() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    lines = [
        f"ionloop on Python {platform.python_version()}, {platform.platform()}",
        f"command: {' '.join(sys.argv)}",
        "".join(traceback.format_exception(error)),
    ]
    path.write_text("\n".join(lines))
    return path


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
