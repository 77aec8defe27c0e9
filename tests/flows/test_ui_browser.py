"""The Prefect UI of a campaign in a real browser, while it runs and when it has ended."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flows.server import local_server
from tests.browser import Page, chromium, needs_chromium
from tests.flows.test_campaign import post
from tests.flows.test_deployment import write_sleepy
from tests.flows.test_kill import MOMENTS, finish, reached, start

pytestmark = [pytest.mark.slow, needs_chromium]
#: A plot that the artifact's Markdown carries in itself, drawn by the browser.
DRAWN = "[...document.images].filter(i => i.src.startsWith('data:image/') && i.naturalWidth > 200).length"


def shows(page: Page, *words: str) -> None:
    for word in words:
        page.wait_for(f"document.body.innerText.includes({word!r})")


def test_it_is_seen_running_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONLOOP_HOME", str(tmp_path / "home"))
    write_sleepy(tmp_path, rounds=1, seconds=20.0)
    ledger = tmp_path / "toy" / "ledger.sqlite"
    with local_server() as server, chromium(tmp_path) as page:
        driver = start("run", "toy.toml", cwd=tmp_path)
        while not reached(ledger, MOMENTS["first label running"]):
            assert driver.poll() is None
            time.sleep(0.2)
        page.open(f"{server.ui_url}/runs", 1280, 900)
        shows(page, "round 1", "Running")
        page.screenshot(tmp_path / "running.png")
        finish(driver)

        page.open(f"{server.ui_url}/runs", 1280, 900)
        shows(page, "round 1", "Completed")
        assert "Running" not in page.text()
        newest = {
            row["key"]: row["id"]
            for row in sorted(post(server.api_url, "artifacts"), key=lambda row: str(row["created"]))
        }
        page.open(f"{server.ui_url}/artifacts/artifact/{newest['toy-summary']}", 1280, 900)
        page.wait_for(f"{DRAWN} >= 3")
        page.screenshot(tmp_path / "summary.png")
        page.open(f"{server.ui_url}/artifacts/artifact/{newest['toy-acquisitions']}", 1280, 900)
        shows(page, "composition", "cluster", "calculator")
        page.open(f"{server.ui_url}/artifacts/key/toy-acquisitions", 1280, 900)
        shows(page, "round 1")
