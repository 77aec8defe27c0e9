"""A real Prefect server for people who have configured none, on loopback unless told otherwise.

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
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import psutil

START_TIMEOUT_S = 300.0
LOOPBACK = "127.0.0.1"
TRIES = 5  # ports, before a start is given up
SETTINGS = {
    "PREFECT_SERVER_UI_API_URL": "/api",  # under whatever name the browser has found it, also through a tunnel
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}


class ServerError(RuntimeError):
    """The Prefect server did not start; the message says where its log lies."""


@dataclass(frozen=True)
class Server:
    """A running server: its process, its API and the page for people."""

    pid: int
    port: int
    host: str = LOOPBACK  # that it listens on

    @property
    def root_url(self) -> str:
        host = _reached_by_us(self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.root_url}/api"

    @property
    def ui_url(self) -> str:
        return f"{self.root_url}/v2"

    def healthy(self) -> bool:
        """Whether it answers, and is what listens there: after a crash another server may have come to its port."""
        return self.listens() and answers(self.api_url)

    def listens(self) -> bool:
        """Whether our process, or a child of it, holds the port."""
        try:
            process = psutil.Process(self.pid)
            family = [process, *process.children(recursive=True)]
            held = [connection for member in family for connection in member.net_connections("tcp")]
        except psutil.Error:  # gone, or not ours
            return False
        return any(c.status == psutil.CONN_LISTEN and c.laddr.port == self.port for c in held)


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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _reached_by_us(host: str) -> str:
    """Where this machine finds a server that listens there, be it on all addresses."""
    address = _address(host)
    if address is None or not address.is_unspecified:
        return host
    return "::1" if address.version == 6 else LOOPBACK


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address, or None of a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def configured_api_url() -> str | None:
    """The Prefect API that the user has chosen by environment or profile, if any."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def quiet_prefect() -> None:
    """Keep Prefect's own lines out of the terminal (they stay in its UI); call before Prefect is imported.

    And let its client give a server that has gone half a minute per call, enough for a restart, and not a whole one.
    """
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "4")  # after 2, 4, 8 and 16 s
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "ionloop")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")


@contextmanager
def local_server(port: int | None = None, host: str | None = None) -> Iterator[Server]:
    """Use the home's server, starting it if it does not run; the last user to leave stops it.

    Args:
        port: the port to listen on; by default 4200, or a free one if that is taken.
        host: the address to listen on; by default loopback, or wherever it listens already.

    Raises:
        ServerError: it did not come up within five minutes, or listens on another address already.
    """
    folder = home() / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "start.lock").open("w") as starting, (folder / "users.lock").open("w") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)  # one starter at a time
        fcntl.flock(users, fcntl.LOCK_SH)
        server = _running(folder) or _start(folder, port, host or LOOPBACK)
        if host not in (None, server.host):
            raise ServerError(
                f"the Prefect server runs already and listens on {server.host}:{server.port}, not on {host}; "
                "end what uses it (running campaigns, `ionloop ui`) first"
            )
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


def _start(folder: Path, port: int | None, host: str) -> Server:
    """Start the home's server; a port that somebody else took in the meantime is tried no further than `TRIES`."""
    for _ in range(TRIES):
        server = _launch(folder, port or _free_port(host), host)
        if server is not None:
            temporary = folder / "server.json.part"
            temporary.write_text(json.dumps(asdict(server)))
            temporary.replace(folder / "server.json")
            return server
        if port is not None:
            raise ServerError(
                f"port {port} on {host} is taken by another program; name another port, or none to have one found"
            )
    raise ServerError(f"{TRIES} ports on {host} were taken by other programs just before the Prefect server listened")


def _launch(folder: Path, port: int, host: str) -> Server | None:
    """A server that listens on this port; None if another program does, be it another Prefect server."""
    environment = os.environ | SETTINGS | {"PREFECT_HOME": str(folder)}
    environment.pop("PREFECT_API_URL", None)
    log = folder / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the campaign's terminal is not for the server
        )
    try:
        return _listening(process, Server(process.pid, port, host), log)
    except BaseException:  # Ctrl-C and SIGTERM too: nobody knows of this server yet
        _stop(Server(process.pid, port, host))
        raise


def _listening(process: subprocess.Popen[bytes], server: Server, log: Path) -> Server | None:
    """The server as soon as it answers; None if another program has its port."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.healthy():
        ended = process.poll() is not None
        if (ended or answers(server.api_url)) and not server.listens() and _taken(server.host, server.port):
            _end(process)
            return None
        if ended or time.monotonic() > deadline:
            raise ServerError(f"the Prefect server did not start on {server.host}:{server.port}; its log: {log}")
        time.sleep(0.2)
    return server


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


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


def _free_port(host: str, preferred: int = 4200) -> int:
    problem: OSError | None = None
    for candidate in (preferred, 0):
        with _socket(host) as probe:
            try:
                probe.bind((host, candidate))
            except OSError as error:
                problem = error
                continue
            return int(probe.getsockname()[1])
    raise ServerError(f"nothing can listen on {host}: {problem}")


def _taken(host: str, port: int) -> bool:
    with _socket(host) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _socket(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made
