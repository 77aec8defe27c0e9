"""Starting Prefect servers: by two people or two homes of one person at the same moment, or ended meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from flows import server as servers
from flows.server import LOOPBACK, Server, ServerError, answers

REPOSITORY = Path(__file__).parents[2]


def free() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def home_of(server: Server) -> str:
    """The home folder of whatever server answers there, by its own account."""
    with urllib.request.urlopen(f"{server.api_url}/admin/settings", timeout=30) as answer:
        return str(json.load(answer)["home"])


def both(start: Callable[[Path], Server], *folders: Path) -> list[Server | ServerError]:
    """What becomes of servers that are started at once in these folders; all are stopped again."""

    def started(folder: Path) -> Server | ServerError:
        try:
            return start(folder)
        except ServerError as error:
            return error

    with ThreadPoolExecutor(len(folders)) as threads:
        return list(threads.map(started, folders))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "one", tmp_path / "other"]
    for folder in made:
        folder.mkdir()
    return made


@pytest.mark.slow
def test_servers_that_choose_the_same_port_do_not_take_each_other_for_themselves(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, together, choose = free(), threading.Barrier(2), servers._free_port
    chose: set[int] = set()

    def chosen(host: str) -> int:
        if (me := threading.get_ident()) in chose:
            return choose(host, 0)
        chose.add(me)
        together.wait(60)
        return port

    monkeypatch.setattr(servers, "_free_port", chosen)
    found = both(lambda folder: servers._start(folder, None, LOOPBACK), *folders)
    try:
        assert all(isinstance(server, Server) for server in found), found
        assert [home_of(server) for server in found] == [str(folder) for folder in folders]
        assert len({server.port for server in found} - {port}) == 1, "one got the port, one another"
        assert [json.loads((f / "server.json").read_text())["port"] for f in folders] == [s.port for s in found]
    finally:
        for server in found:
            if isinstance(server, Server):
                servers._stop(server)


@pytest.mark.slow
def test_a_port_that_a_person_named_is_not_changed_for_another(folders: list[Path]) -> None:
    port = free()
    found = both(lambda folder: servers._start(folder, port, LOOPBACK), *folders)
    try:
        (winner,) = [server for server in found if isinstance(server, Server)]
        (loser,) = [error for error in found if isinstance(error, ServerError)]
        assert home_of(winner) == str(folders[found.index(winner)])
        assert f"port {port} on {LOOPBACK} is taken by another program" in str(loser)
        assert not (folders[found.index(loser)] / "server.json").exists()
        assert not Server(1, port).healthy(), "it answers, but it is not ours"
        assert answers(winner.api_url)
    finally:
        for server in found:
            if isinstance(server, Server):
                servers._stop(server)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_ended_while_its_server_starts_takes_it_along(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "IONLOOP_HOME": str(tmp_path)}
    environment.pop("PREFECT_API_URL", None)
    # As from a terminal: whoever runs tests in a shell's background hands an ignored SIGINT on.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heed}\nfrom flows.cli import main; main()", "ui", "--port", str(free())]
    ui = psutil.Popen(command, cwd=tmp_path, env=environment)
    while not (started := ui.children(recursive=True)):
        assert ui.poll() is None
        time.sleep(0.01)
    time.sleep(1)  # the server needs several; its parent has taken note of it by now
    assert not (tmp_path / "server.json").exists()
    ui.send_signal(number)
    assert ui.wait(60) == code
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive
