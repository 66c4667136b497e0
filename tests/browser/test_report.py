"""The report in a browser: quiet, offline, accessible, and its controls do what they say.

`$PICME_REPORT` names another report to run these tests on, such as that of a finished run; `$PICME_SCREENSHOTS` a
folder for pictures of it.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fabricate
import pytest
from chromium import DESKTOP, PHONE, Opened, browser, needs_chromium

from picme.report.build import build

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["browser"]

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("PICME_REPORT")
    if given:
        return Path(given).resolve()
    folder = tmp_path_factory.mktemp("run")
    tables = fabricate.reduced(fabricate.fabricate())
    return build(folder, tables, fabricate.config(), fabricate.run_info(), folder / "report.html")


@pytest.fixture(scope="module", params=["desktop light", "desktop dark", "phone light"])
def opened(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Opened]:
    size, scheme = request.param.split()
    made = Opened(browser, report, DESKTOP if size == "desktop" else PHONE, scheme)
    made.scroll_through()
    folder = os.environ.get("PICME_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        made.page.screenshot(path=f"{folder}/{size}-{scheme}.png", full_page=True)
    yield made
    made.page.close()


@pytest.fixture
def desktop(browser: Any, report: Path) -> Iterator[Any]:
    made = Opened(browser, report, DESKTOP, "light")
    yield made.page
    assert made.said == []
    made.page.close()


def saved(page: Any, table: str, kind: str, folder: Path) -> str:
    with page.expect_download() as download:
        page.locator(f"[data-table={table}] [data-save={kind}]").click()
    download.value.save_as(folder / "saved")
    return (folder / "saved").read_text(encoding="utf-8")


def test_it_says_nothing_on_the_console_and_asks_for_nothing(opened: Opened) -> None:
    assert opened.said == []
    assert opened.elsewhere() == []
    assert len(opened.asked) == 1


def test_axe_finds_nothing_serious(opened: Opened) -> None:
    # What is folded up is checked too: the record of the run, and one figure's data (all are made the same way).
    folded = opened.page.locator("#made details, #alignment details").all()
    for details in folded:
        details.evaluate("element => { element.open = true; }")
    found = opened.serious()
    for details in folded:
        details.evaluate("element => { element.open = false; }")
    assert found == []


def test_the_page_is_no_wider_than_the_screen(opened: Opened) -> None:
    assert opened.width() <= opened.page.viewport_size["width"]


def test_every_figure_is_drawn_within_its_column(opened: Opened) -> None:
    plates = opened.page.locator("[data-plate]")
    assert plates.count() > 0
    for plate in plates.all():
        box = plate.bounding_box()
        drawn = plate.locator(".main-svg").first.bounding_box()
        assert box is not None
        assert drawn is not None
        assert drawn["width"] <= box["width"] + 1
        assert drawn["height"] > 100


def test_a_table_sorts_both_ways_and_by_keyboard(desktop: Any) -> None:
    table = desktop.locator("[data-table=every-cell]")
    table.locator("summary").click()
    column = next(
        index for index, text in enumerate(table.locator("th").all_inner_texts()) if text.startswith("AUROC, mean")
    )
    button = table.locator("th").nth(column).locator("button")
    if button.count() == 0:
        pytest.skip("too few rows for the table to be sortable")

    def shown() -> list[float]:
        cells = table.locator(f"tbody tr:not([hidden]) td:nth-child({column + 1})")
        return [float(value) for value in cells.evaluate_all("cells => cells.map(c => c.dataset.value)") if value]

    before = shown()
    button.click()
    assert shown() == sorted(before, reverse=True)
    assert table.locator("th").nth(column).get_attribute("aria-sort") == "descending"
    button.focus()
    desktop.keyboard.press("Enter")
    assert shown() == sorted(before)
    assert table.locator("th").nth(column).get_attribute("aria-sort") == "ascending"
    assert len(before) > 1


def test_a_table_filters_by_lists_and_words(desktop: Any) -> None:
    table = desktop.locator("[data-table=every-cell]")
    table.locator("summary").click()
    rows = table.locator("tbody tr:not([hidden])")
    total = table.locator("tbody tr").count()
    heads = [text.strip().lower() for text in table.locator("th").all_text_contents()]
    place = heads.index("strategy")
    table.locator(f"select[data-filter='{place}']").select_option(index=1)
    wanted = table.locator(f"select[data-filter='{place}']").input_value()
    kept = rows.locator(f"td:nth-child({place + 1})").all_text_contents()
    assert kept
    assert {text.strip() for text in kept} == {wanted}
    assert len(kept) < total
    assert table.locator(".shown").inner_text() == f"{len(kept)} of {total} rows, here and in the files"
    table.locator("[data-words]").fill("no such words at all")
    assert rows.count() == 0
    assert table.locator(".shown").inner_text() == f"0 of {total} rows, here and in the files"


def test_table_1_opens_as_a_matrix_and_saves_what_its_lists_leave(desktop: Any, tmp_path: Path) -> None:
    table = desktop.locator("[data-table=table-1]")
    rows = table.locator("tbody tr:not([hidden])")
    every = rows.count()
    assert not desktop.locator("[data-table=every-cell] table").is_visible(), "the long table is a click away"
    assert "▲" in table.locator("td:has(b)").first.inner_text()
    size = table.locator("select[data-filter]")
    size.select_option(index=1)
    assert 0 < rows.count() < every
    kept = {
        " + ".join(row["combination"].split("+"))
        for row in csv.DictReader(io.StringIO(saved(desktop, "table-1", "csv", tmp_path)))
    }
    assert kept == set(rows.locator("td:first-child").all_text_contents())
    made = saved(desktop, "table-1", "tex", tmp_path)
    groups = table.locator(".groups th")
    assert made.count(r"\begin{longtable}") == groups.count(), "a table for each task"
    assert made.count(r"\bullet") == groups.count() * rows.locator(".dot", has_text="●").count()


def test_the_slider_and_the_play_button_move_the_embeddings(desktop: Any) -> None:
    plate = desktop.locator("[data-plate=tsne]")
    if plate.count() == 0:
        pytest.skip("the study kept no t-SNE frames")
    plate.scroll_into_view_if_needed()
    plate.locator(".main-svg").first.wait_for(state="attached")
    slider, said = plate.locator("input[type=range]"), plate.locator("output")
    first_point = "plot => [plot.data[0].x[0], plot.data[0].y[0]]"
    last = plate.locator(".plot").evaluate(first_point)
    slider.focus()
    desktop.keyboard.press("Home")
    desktop.wait_for_timeout(800)
    start = plate.locator(".plot").evaluate(first_point)
    epoch = said.inner_text()
    assert start != last
    plate.locator(".play").click()
    assert plate.locator(".play").inner_text() == "Pause"
    desktop.wait_for_timeout(1600)
    assert said.inner_text() != epoch
    plate.locator(".play").click()
    assert plate.locator(".play").inner_text() == "Play"
    assert plate.locator(".plot").evaluate(first_point) != start


def test_choosing_another_view_changes_figure_reading_and_lists(desktop: Any) -> None:
    plate = desktop.locator("[data-plate=alignment]")
    plate.scroll_into_view_if_needed()
    plate.locator(".main-svg").first.wait_for(state="attached")
    bars = "plot => plot.data.find(trace => trace.type === 'bar').x"
    before, said = plate.locator(".plot").evaluate(bars), plate.locator(".reading").inner_text()
    lists = plate.locator("select[data-choice='0']")
    # On few stays some metrics agree to the last digit: one of the others must differ.
    seen = []
    for index in range(1, lists.locator("option").count()):
        lists.select_option(index=index)
        seen.append((plate.locator(".plot").evaluate(bars), plate.locator(".reading").inner_text()))
    assert any(drawn != before and reading != said for drawn, reading in seen)


def test_a_series_can_be_hidden_from_the_keyboard(desktop: Any) -> None:
    plate = desktop.locator("[data-plate=seeds]")
    plate.scroll_into_view_if_needed()
    plate.locator(".main-svg").first.wait_for(state="attached")
    drawn = "plot => plot.data.filter(trace => trace.visible === 'legendonly').length"
    assert plate.locator(".plot").evaluate(drawn) == 0
    entry = plate.locator(".legend button").first
    entry.focus()
    desktop.keyboard.press("Space")
    assert entry.get_attribute("aria-pressed") == "false"
    assert plate.locator(".plot").evaluate(drawn) == 1


def test_each_view_opens_on_the_chosen_curve_and_its_control_until_another_is_pressed(desktop: Any) -> None:
    plate = desktop.locator("[data-plate=calibration]")
    plate.scroll_into_view_if_needed()
    plate.locator(".main-svg").first.wait_for(state="attached")
    drawn = "plot => plot.data.filter(trace => trace.name && trace.visible === true).map(trace => trace.name)"
    lists = plate.locator("select[data-choice='0']")
    off = plate.locator(".legend button[aria-pressed=false]")
    for index in reversed(range(lists.locator("option").count())):
        lists.select_option(index=index)
        shown = plate.locator(".plot").evaluate(drawn)
        assert 0 < len(shown) <= 2
        assert off.count() == plate.locator(".legend button").count() - len(shown) > 0
    assert off.first.evaluate("button => getComputedStyle(button).textDecorationLine") == "none"
    name = off.first.inner_text()
    off.first.click()
    assert set(plate.locator(".plot").evaluate(drawn)) == {*shown, name}


@pytest.mark.parametrize(("kind", "starts"), [("csv", b""), ("svg", b"<svg"), ("png", b"\x89PNG")])
def test_a_figure_can_be_saved(desktop: Any, kind: str, starts: bytes, tmp_path: Path) -> None:
    plate = desktop.locator("[data-plate=alignment]")
    plate.scroll_into_view_if_needed()
    plate.locator(".main-svg").first.wait_for(state="attached")
    with desktop.expect_download() as download:
        plate.locator(f"[data-save={kind}]").click()
    download.value.save_as(tmp_path / "saved")
    content = (tmp_path / "saved").read_bytes()
    assert content.startswith(starts)
    assert len(content) > 100
    assert download.value.suggested_filename.endswith(f".{kind}")
    if kind == "csv":
        assert content.splitlines()[0].startswith(b"combination,n_modalities,metric")


def test_downloads_of_a_table_have_the_rows_that_its_lists_and_words_leave(desktop: Any, tmp_path: Path) -> None:
    table = desktop.locator("[data-table=comparisons]")
    rows = table.locator("tbody tr:not([hidden])")
    for shown in (
        lambda: None,
        lambda: table.locator("[data-words]").fill("gated"),
        lambda: table.locator("th button").nth(1).click(),
    ):
        shown()
        made = list(csv.reader(io.StringIO(saved(desktop, "comparisons", "csv", tmp_path))))
        lines = [line for line in saved(desktop, "comparisons", "tex", tmp_path).splitlines() if line.endswith(r" \\")]
        lines = lines[2:]  # the caption and the headings
        assert 0 < rows.count() == len(made) - 1 == len(lines)
        assert {row[made[0].index("task")] for row in made[1:]} == {"mortality"}
        for text, line in zip(rows.locator("td:nth-child(2)").all_inner_texts(), lines, strict=True):
            assert line.split(" & ")[1] == text.replace("\n", " "), "LaTeX has the order of the page"
    assert all("gated" in row[2] + row[4] for row in made[1:])


def test_the_data_of_a_figure_can_be_read_as_a_table(desktop: Any) -> None:
    plate = desktop.locator("[data-plate=alignment]")
    plate.locator("details.data summary").click()
    table = plate.locator("details.data table")
    table.wait_for(state="visible")
    assert table.locator("th").first.inner_text() == "combination"
    assert table.locator("tbody tr").count() > 0


def test_the_page_turns_dark_and_the_figures_with_it(desktop: Any) -> None:
    plot = desktop.locator("[data-plate=alignment]")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for(state="attached")
    colour = "plot => plot._fullLayout.font.color"
    light = plot.locator(".plot").evaluate(colour)
    ground = "getComputedStyle(document.body).backgroundColor"
    paper = desktop.evaluate(ground)
    desktop.locator("button.theme").click()
    assert desktop.evaluate(ground) != paper
    assert plot.locator(".plot").evaluate(colour) != light
    assert desktop.locator("button.theme").get_attribute("aria-pressed") == "true"


def test_it_prints_with_all_figures(desktop: Any, tmp_path: Path) -> None:
    desktop.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    drawn = desktop.evaluate("[...document.querySelectorAll('.plot')].filter(p => p.querySelector('.main-svg')).length")
    assert drawn == desktop.locator(".plot").count()


def test_contents_lead_to_every_chapter(desktop: Any) -> None:
    links = desktop.locator(".toc a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    assert len(links) > 3
    for link in links:
        assert desktop.locator(link).count() == 1


def test_every_heading_leads_to_itself(desktop: Any) -> None:
    links = desktop.locator("h2 > a.here, h3 > a.here").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    assert len(links) == len(set(links)) > 10
    for link in links:
        assert desktop.locator(link).count() == 1


# Boxes that hold more than they show, and are not marked where it goes on; text of figures beyond its figure.
CLIPPED = """() => {
  const found = [];
  for (const box of document.querySelectorAll('main *:not(svg *), nav, nav *, header *')) {
    if (!box.clientWidth || getComputedStyle(box).overflow === 'visible') continue;
    if (box.closest('.plot, select, .hidden, .tip')) continue;
    const over = { down: box.scrollHeight - box.clientHeight - box.scrollTop,
      right: box.scrollWidth - box.clientWidth - box.scrollLeft };
    const sides = Object.keys(over).filter((side) => over[side] > 1);
    const frame = box.closest('.edges');
    const marked = sides.every((side) => frame && frame.classList.contains(side));
    const dark = sides.length && frame ? getComputedStyle(frame, '::after').backgroundImage.includes('0.34') : true;
    if (!marked || !dark) found.push(box.outerHTML.slice(0, 200));
  }
  for (const plot of document.querySelectorAll('.plot')) {
    const edge = plot.getBoundingClientRect();
    for (const text of plot.querySelectorAll('text')) {
      const own = text.getBoundingClientRect();
      const out = own.width && (own.left < edge.left - 1 || own.right > edge.right + 1);
      if (out) found.push(`${plot.parentElement.id}: ${text.textContent}`);
    }
  }
  return found;
}"""


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_is_clipped_without_a_mark(browser: Any, report: Path, width: int) -> None:
    made = Opened(browser, report, {"width": width, "height": 900}, "light")
    made.page.evaluate("for (const item of document.querySelectorAll('details')) item.open = true")
    made.scroll_through()
    made.page.wait_for_timeout(300)
    assert made.page.evaluate(CLIPPED) == []
    box = made.page.locator("[data-table=every-cell] .scroll")
    frame = made.page.locator("[data-table=every-cell] .edges")
    assert "down" in frame.get_attribute("class")
    box.evaluate("box => box.scrollTo(box.scrollWidth, box.scrollHeight)")
    made.page.wait_for_timeout(300)
    assert set(frame.get_attribute("class").split()) & {"down", "right"} == set(), "at its end nothing is left"
    assert "up" in frame.get_attribute("class")
    assert made.said == []
    made.page.close()


def test_labels_of_rows_end_with_the_screen(browser: Any, report: Path) -> None:
    made = Opened(browser, report, {"width": 320, "height": 700}, "light")
    plate = made.page.locator("[data-plate=labels]")
    if plate.count() == 0:
        pytest.skip("the study has no task of many labels")
    plate.scroll_into_view_if_needed()
    plate.locator(".main-svg").first.wait_for(state="attached")
    ends = plate.locator(".annotation-text").evaluate_all(
        "texts => texts.map(text => [text.textContent, text.getBoundingClientRect().right])"
    )
    assert any("…" in text for text, _ in ends)
    assert [text for text, end in ends if end > 320] == []
    assert made.said == []
    made.page.close()


@pytest.mark.parametrize(("width", "side_by_side"), [(1280, True), (390, False)])
def test_panels_stand_below_one_another_on_a_phone(browser: Any, report: Path, width: int, side_by_side: bool) -> None:
    made = Opened(browser, report, {"width": width, "height": 900}, "light")
    plate = made.page.locator("[data-plate=withheld]")
    if plate.count() == 0:
        pytest.skip("the study withholds nothing")
    plate.scroll_into_view_if_needed()
    plate.locator(".main-svg").first.wait_for(state="attached")
    panels = plate.locator(".bglayer rect").evaluate_all(
        "panels => panels.map(panel => panel.getBoundingClientRect()).map(box => [box.left, box.top])"
    )
    lefts, tops = ({round(panel[i]) for panel in panels} for i in (0, 1))
    assert len(panels) == 3
    assert (len(lefts) == 3) is side_by_side
    assert (len(tops) == 3) is not side_by_side
    assert made.said == []
    made.page.close()
