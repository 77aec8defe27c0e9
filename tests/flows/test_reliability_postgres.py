"""A PostgreSQL server that is restarted, and one that crashes, while a campaign runs on it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.ledger import Ledger, LedgerError
from tests.flows.lives import Content, Life, attempts, content, live, write_campaign

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BINARIES, reason="needs PostgreSQL's pg_ctl, and root to run it as user postgres"
)


@dataclass(frozen=True)
class Server:
    """A PostgreSQL of our own, which may be maltreated."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def control(self, *arguments: str) -> None:
        command = ["runuser", "-u", "postgres", "--", str(BINARIES[-1]), "-D", str(self.folder / "data"), "-w"]
        subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder}"
        self.control("start", "-l", str(self.folder / "log"), "-o", options)


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="ionloop-postgres-"))
    shutil.chown(folder, "postgres")
    made = Server(folder, port)
    initdb = [str(BINARIES[-1].with_name("initdb")), "-D", str(folder / "data"), "-A", "trust", "-E", "UTF8"]
    subprocess.run(
        ["runuser", "-u", "postgres", "--", *initdb, "--locale=C.UTF-8"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )
    made.start()
    yield made
    made.control("stop", "-m", "immediate")
    shutil.rmtree(folder)


def count(url: str, what: str) -> int:
    """Labels or done rounds so far; -1 while there is no ledger."""
    try:
        ledger = Ledger.open(url)
    except LedgerError:
        return -1
    try:
        if ledger.campaign("toy") is None:
            return -1
        rounds = ledger.rounds("toy")
        return sum(row.state == "done" for row in rounds) if what == "rounds" else len(ledger.labels("toy"))
    finally:
        ledger.close()


@pytest.mark.slow
def test_a_server_that_is_restarted_and_one_that_crashes(
    tmp_path: Path, server: Server, uninterrupted: tuple[Life, Content]
) -> None:
    write_campaign(tmp_path, server.url)
    struck: list[str] = []
    until = time.monotonic() + 600

    def strike() -> None:
        for what, number, mode, away_s in (
            ("labels", 1, "fast", 0.0),
            ("rounds", 1, "immediate", 3.0),
            ("labels", 8, "fast", 6.0),
        ):
            while count(server.url, what) < number:
                assert time.monotonic() < until, f"waited in vain for {number} {what}"
                time.sleep(0.05)
            server.control("stop", "-m", mode)
            time.sleep(away_s)
            server.start()
            struck.append(mode)

    life = live(tmp_path, meanwhile=strike)
    assert life.code == 0, life.error
    assert struck == ["fast", "immediate", "fast"]
    assert content(server.url) == uninterrupted[1]
    print(attempts(server.url))
    assert "the database answers again; going on" in (tmp_path / "output.txt").read_text()


def test_waiting_ends_when_the_server_is_back(server: Server) -> None:
    ledger = Ledger.open(server.url)
    server.control("stop", "-m", "fast")
    with pytest.raises(LedgerError, match="could not be read or written"):
        ledger.wait(0.2, pause_s=0.1)
    back = threading.Timer(1.0, server.start)
    back.start()
    ledger.wait(60.0, pause_s=0.1)
    assert ledger.campaigns() == []
    back.join()
    ledger.close()
