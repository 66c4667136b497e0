"""A page in headless Chromium, with what it said, asked for and what axe finds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_module = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

CHROMIUM = os.environ.get("PICME_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

needs_chromium = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="no chromium found: install Debian's chromium or set PICME_CHROMIUM"
)


class Opened:
    """A page with what it said and asked for."""

    def __init__(self, browser: Any, report: Path, viewport: dict[str, int], scheme: str) -> None:
        self.page = browser.new_page(viewport=viewport, color_scheme=scheme)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def scroll_through(self) -> None:
        """Brings every figure into view, so that all are drawn."""
        for plate in self.page.locator("[data-plate]").all():
            plate.scroll_into_view_if_needed()
            plate.locator(".main-svg").first.wait_for(state="attached", timeout=20_000)
        self.page.evaluate("scrollTo(0, 0)")

    def serious(self) -> list[str]:
        """What axe-core finds that is moderate or worse."""
        found = axe_module.Axe().run(self.page).response["violations"]
        return [
            f"{item['id']}: {item['help']} ({item['nodes'][0]['html'][:200]})"
            for item in found
            if item["impact"] in ("serious", "critical", "moderate")
        ]

    def elsewhere(self) -> list[str]:
        """Requests other than for the page itself."""
        return [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))]

    def width(self) -> int:
        """Of the whole page, in pixels."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()
