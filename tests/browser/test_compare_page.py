"""The page of `picme compare` in a browser: quiet, offline, accessible, and its tables filter and save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from chromium import DESKTOP, PHONE, Opened, browser, needs_chromium
from run_folders import run_folder

from picme.compare import compare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["browser"]

pytestmark = needs_chromium
ATTACK = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    runs = [run_folder(folder / "first", 0.4), run_folder(folder / "second", 2.0, seed=1, settings={"name": ATTACK})]
    return compare(runs, resamples=100).write(folder / "compare.html")


@pytest.fixture(scope="module", params=["desktop light", "desktop dark", "phone light"])
def opened(request: pytest.FixtureRequest, browser: Any, compared: Path) -> Iterator[Opened]:
    size, scheme = request.param.split()
    made = Opened(browser, compared, DESKTOP if size == "desktop" else PHONE, scheme)
    yield made
    made.page.close()


def test_it_says_nothing_and_asks_for_nothing(opened: Opened) -> None:
    assert opened.said == []
    assert opened.elsewhere() == []
    assert len(opened.asked) == 1


def test_axe_finds_nothing_serious(opened: Opened) -> None:
    assert opened.serious() == []


def test_the_page_is_no_wider_than_the_screen(opened: Opened) -> None:
    assert opened.width() <= opened.page.viewport_size["width"]


def test_a_study_name_is_text(opened: Opened) -> None:
    assert opened.page.locator("img").count() == 0
    assert ATTACK in opened.page.locator("body").inner_text()


def test_the_table_of_tests_filters_and_saves(opened: Opened, tmp_path: Path) -> None:
    table = opened.page.locator("[data-table=tests]")
    rows = table.locator("tbody tr:not([hidden])")
    total = table.locator("tbody tr").count()
    words = table.locator("[data-words]")
    words.fill("gated")
    assert 0 < rows.count() < total
    assert all("gated" in text for text in rows.all_text_contents())
    words.fill("")
    with opened.page.expect_download() as download:
        table.locator("[data-save=csv]").click()
    download.value.save_as(tmp_path / "tests.csv")
    lines = (tmp_path / "tests.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == rows.count() + 1 > 1
    assert lines[0].startswith("task,")


def test_contents_lead_to_every_chapter(opened: Opened) -> None:
    links = opened.page.locator(".toc a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    assert len(links) == 4
    for link in links:
        assert opened.page.locator(link).count() == 1
