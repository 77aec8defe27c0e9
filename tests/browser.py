"""A headless Chromium, spoken to over its DevTools protocol: pages as people see them."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)")
#: What a page's scripts complain about, kept for `Page.errors`.
LISTEN = "window.complaints = []; addEventListener('error', event => complaints.push(event.message))"


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids = socket, count(1)
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        asked = next(self._ids)
        self._socket.send(json.dumps({"id": asked, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(timeout=60))).get("id") != asked:
            continue
        assert "error" not in answer, (method, answer)
        return dict(answer["result"])

    def open(self, url: str, width: int, height: int, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition: str, limit_s: float = 60.0) -> None:
        """Until a script's expression is true."""
        until = time.monotonic() + limit_s
        while not self.evaluate(condition):
            assert time.monotonic() < until, f"waited in vain: {condition}; the page says: {self.text()[:500]}"
            time.sleep(0.2)

    def text(self) -> str:
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def errors(self) -> list[str]:
        return list(self.evaluate("window.complaints"))

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A browser with an empty profile in `folder`, for the length of the block."""
    assert CHROMIUM is not None
    options = ["--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--remote-debugging-port=0"]
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [CHROMIUM, *options, *sandbox, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    with (folder / "chromium.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            with connect(_tab(folder / "chromium.log"), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(30)


def _tab(log: Path, limit_s: float = 60.0) -> str:
    """The address of the browser's first tab."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if said := re.search(r"DevTools listening on ws://([\d.:]+)/", log.read_text()):
            with urllib.request.urlopen(f"http://{said[1]}/json/list", timeout=10) as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError(f"Chromium did not start: {log.read_text()[-1000:]}")
