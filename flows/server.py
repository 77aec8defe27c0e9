"""A real Prefect server on loopback for people who have configured none.

The server lives in ionloop's own home folder (SQLite inside), survives until its last user has gone, and is
started again by whoever comes next. Its users are counted by shared kernel locks, which a kill -9 releases.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

START_TIMEOUT_S = 300.0


class ServerError(RuntimeError):
    """The Prefect server did not start; the message says where its log lies."""


@dataclass(frozen=True)
class Server:
    """A running server: its process, its API and the page for people."""

    pid: int
    port: int

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2"

    def healthy(self) -> bool:
        return psutil.pid_exists(self.pid) and answers(self.api_url)


def answers(api_url: str, timeout_s: float = 2.0) -> bool:
    """Whether a Prefect API answers at this URL."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def home() -> Path:
    """ionloop's home folder: $IONLOOP_HOME, or ~/.ionloop."""
    return Path(os.environ.get("IONLOOP_HOME", Path.home() / ".ionloop"))


def configured_api_url() -> str | None:
    """The Prefect API that the user has chosen by environment or profile, if any."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def quiet_prefect() -> None:
    """Keep Prefect's own lines out of the terminal (they stay in its UI); call before Prefect is imported."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "ionloop")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")


@contextmanager
def local_server(port: int | None = None) -> Iterator[Server]:
    """Use the home's server, starting it if it does not run; the last user to leave stops it.

    Args:
        port: the port to listen on; by default 4200, or a free one if that is taken.

    Raises:
        ServerError: it did not come up within five minutes.
    """
    folder = home() / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "start.lock").open("w") as starting, (folder / "users.lock").open("w") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)  # one starter at a time
        fcntl.flock(users, fcntl.LOCK_SH)
        server = _running(folder) or _start(folder, port)
        fcntl.flock(starting, fcntl.LOCK_UN)
        try:
            yield server
        finally:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if _last_user(users):
                _stop(server)
                (folder / "server.json").unlink(missing_ok=True)


def _last_user(users: object) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
    except BlockingIOError:
        return False
    return True


def _running(folder: Path) -> Server | None:
    try:
        server = Server(**json.loads((folder / "server.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return server if server.healthy() else None


def _start(folder: Path, port: int | None) -> Server:
    port = port or _free_port()
    environment = os.environ | {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    environment.pop("PREFECT_API_URL", None)
    log = folder / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the campaign's terminal is not for the server
        )
    server = Server(process.pid, port)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(server.api_url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise ServerError(f"the Prefect server did not start on port {port}; its log: {log}")
        time.sleep(0.2)
    temporary = folder / "server.json.part"
    temporary.write_text(json.dumps(asdict(server)))
    temporary.replace(folder / "server.json")
    return server


def _stop(server: Server) -> None:
    try:
        process = psutil.Process(server.pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with _gone_is_fine():
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    for member in alive:
        with _gone_is_fine():
            member.kill()


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        return


def _free_port(preferred: int = 4200) -> int:
    for candidate in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("no free port on 127.0.0.1")
