"""A campaign driven through Prefect's API as its UI does it: real server, real worker, real processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.config import load_config
from flows.deployment import changed, parameters
from flows.errors import ConfigError
from flows.server import local_server
from tests.flows.sleepers import DEAR
from tests.flows.test_cli import REPOSITORY, ionloop, refused
from tests.flows.toy import write_toy

PATIENCE_S = 600.0


def write_sleepy(folder: Path, rounds: int = 4, seconds: float = 1.5) -> Path:
    """A toy campaign whose labels only take time."""
    path = write_toy(folder, rounds=rounds, prefect=True)
    text = path.read_text().replace('calculators = ["emt"]', f'calculators = ["{DEAR}"]')
    settings = text[text.index("[label.settings.emt]") : text.index("[model]")]
    path.write_text(text.replace(settings, f'[label.settings."{DEAR}"]\nseconds = {seconds}\n'))
    return path


def test_what_may_be_changed_is_what_a_run_offers(tmp_path: Path) -> None:
    path = write_sleepy(tmp_path)
    config = load_config(path)
    offered = parameters(path, config)
    given = {"stopping": config.stopping, "acquisition": config.acquisition} | {
        name: offered[name] for name in ("batch", "workers", "concurrency", "timeout_min", "retries")
    }
    assert changed(path, given) == config
    assert changed(path, given | {"batch": 2}).campaign.batch == 2
    with pytest.raises(ConfigError, match=r"label\.concurrency\.nope.*allowed"):
        changed(path, given | {"concurrency": {"nope": 1}})


def test_a_work_pool_needs_a_server_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    write_sleepy(tmp_path)
    refused(ionloop("deploy", "toy.toml", "--pool", "p", cwd=tmp_path), "PREFECT_API_URL")


# --- the whole way ---------------------------------------------------------------------------------------------


class Api:
    """What the UI asks of the server."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)

    def run(self, **changes: Any) -> str:
        """Run the deployment, with changed parameters; returns the id of the flow run."""
        deployment = self.http.get("/deployments/name/ionloop/toy").json()
        given = deployment["parameters"] | changes
        made = self.http.post(f"/deployments/{deployment['id']}/create_flow_run", json={"parameters": given})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def state(self, run: str) -> str:
        return str(self.http.get(f"/flow_runs/{run}").json()["state_name"])

    def running(self) -> list[str]:
        """Names of the flow runs that the UI shows as running."""
        wanted = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        return [found["name"] for found in self.http.post("/flow_runs/filter", json=wanted).json()]

    def pause(self, run: str) -> None:
        """The UI's dialogue "Pause flow run"."""
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        details = {"pause_timeout": until, "pause_reschedule": True, "deferred": False, "untrackable_result": False}
        self.set_state(run, {"type": "PAUSED", "name": "Suspended", "state_details": details})

    def resume(self, run: str) -> None:
        self.insist(f"/flow_runs/{run}/resume", {})

    def cancel(self, run: str) -> None:
        self.set_state(run, {"type": "CANCELLING", "name": "Cancelling"})

    def set_state(self, run: str, state: dict[str, Any]) -> None:
        self.insist(f"/flow_runs/{run}/set_state", {"state": state, "force": True})

    def insist(self, path: str, asked: dict[str, Any]) -> None:
        """As a person presses a button again: Prefect's SQLite is "locked" now and then on a busy machine."""
        wait(f"{path} to be accepted", lambda: self.http.post(path, json=asked).json().get("status") == "ACCEPT")


def wait(what: str, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.3)


def one(ledger: Path, query: str) -> Any:
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchone()[0]
    except (sqlite3.OperationalError, TypeError):
        return None


def label_processes(folder: Path) -> list[int]:
    """Worker processes that compute labels of campaigns in this folder, and their drivers."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["cwd"] == str(folder) and ("calculators.worker" in line or "flow-run" in line):
            found.append(process.pid)
    return found


@pytest.fixture(params=["served", "work pool"])
def driven(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Api]]:
    """A toy campaign as a deployment, either served or in a work pool with a process worker."""
    monkeypatch.setenv("IONLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home" / "prefect"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    write_sleepy(tmp_path)
    with local_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", server.api_url)
        if request.param == "served":
            command = ["-c", "from flows.cli import main; main()", "serve", "toy.toml"]
        else:
            pool = ["-m", "prefect", "work-pool", "create", "here", "--type", "process"]
            subprocess.run([sys.executable, *pool], check=True, capture_output=True, cwd=tmp_path)
            result = ionloop("deploy", "toy.toml", "--pool", "here", cwd=tmp_path)
            assert result.returncode == 0, result.stderr
            command = ["-m", "prefect", "worker", "start", "--pool", "here", "--type", "process"]
        log = (tmp_path / "server.log").open("wb")
        process = subprocess.Popen([sys.executable, *command], cwd=tmp_path, stdout=log, stderr=log, env=os.environ)
        api = Api(server.api_url)
        wait("the deployment", lambda: api.http.get("/deployments/name/ionloop/toy").status_code == 200)
        try:
            yield tmp_path, api
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


@pytest.mark.slow
def test_started_paused_resumed_cancelled_and_changed(driven: tuple[Path, Api]) -> None:
    folder, api = driven
    ledger = folder / "toy" / "ledger.sqlite"
    labels, state = "SELECT count(*) FROM labels", "SELECT state FROM campaigns"

    run = api.run()
    wait("the first label", lambda: (one(ledger, labels) or 0) >= 1)
    assert api.state(run) == "Running"
    api.pause(run)
    wait("the pause", lambda: one(ledger, state) == "paused")
    wait("the processes' end", lambda: not label_processes(folder))
    assert api.state(run) == "Suspended"
    wait("the runs inside to end", lambda: not api.running())
    so_far = one(ledger, labels)

    api.resume(run)
    wait("another label", lambda: one(ledger, labels) > so_far)
    assert one(ledger, state) == "running"
    api.cancel(run)
    wait("the cancellation", lambda: one(ledger, state) == "cancelled")
    wait("the processes' end", lambda: not label_processes(folder))
    wait("the run's state", lambda: api.state(run) == "Cancelled")
    wait("the runs inside to end", lambda: not api.running())
    assert one(ledger, "SELECT count(*) FROM attempts WHERE state = 'running'") == 0

    given = api.http.get("/deployments/name/ionloop/toy").json()["parameters"]["stopping"]
    again = api.run(stopping=given | {"max_rounds": 2}, workers=3)
    wait("the end", lambda: one(ledger, state) == "finished")
    wait("the run's state", lambda: api.state(again) == "Completed")
    assert one(ledger, "SELECT count(*) FROM rounds WHERE state = 'done'") == 2
    assert one(ledger, "SELECT max(text) FROM events WHERE kind = 'config'") is not None
    keys = "SELECT count(*) - count(DISTINCT label_key) FROM attempts WHERE state = 'succeeded'"
    assert one(ledger, keys) == 0, "a label was computed twice"
