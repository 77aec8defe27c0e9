"""The report in a real browser, offline, at a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from flows.report import write_report
from flows.view import CampaignView
from tests.browser import Page, chromium, needs_chromium

pytestmark = [pytest.mark.slow, needs_chromium]
CHARTS = "[...document.querySelectorAll('[data-chart]')]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        page.call("Network.enable")
        page.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
        )
        yield page


@pytest.mark.parametrize(("width", "height", "mobile"), [(1280, 900, False), (390, 844, True)], ids=["desk", "phone"])
def test_everything_is_drawn_and_nothing_is_cut_off(
    browser: Page, synthetic_view: CampaignView, tmp_path: Path, width: int, height: int, mobile: bool
) -> None:
    report = write_report(synthetic_view, tmp_path / "report.html")
    browser.open(report.as_uri(), width, height, mobile)
    browser.evaluate(f"{CHARTS}.forEach(chart => chart.scrollIntoView())")
    browser.wait_for(f"{CHARTS}.every(chart => chart.querySelector('svg.main-svg'))")
    assert browser.evaluate(f"{CHARTS}.length") >= 6
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    assert (
        browser.evaluate(f"{CHARTS}.filter(chart => chart.getBoundingClientRect().right > innerWidth + 1).length")
        == 0
    )
    assert browser.errors() == []
    assert (
        browser.evaluate("performance.getEntriesByType('resource').filter(e => e.name.startsWith('http')).length")
        == 0
    )
    browser.evaluate("scrollTo(0, 0)")
    shot = Image.open(browser.screenshot(tmp_path / "top.png")).convert("RGB")
    assert shot.size == (width, height)
    assert len(shot.getcolors(maxcolors=1 << 24) or []) > 100, "a blank page"
