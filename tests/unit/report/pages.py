"""Reads a report as a reader of its source would, and holds what it shows against the result tables."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.report.facts import frame
from picme.results.tables import TABLES
from picme.results.write import csv_text

if TYPE_CHECKING:
    from pathlib import Path

Number = tuple[str, str, str]

# Which result table each table of the page shows.
SHOWN = {
    "table-1": "summary",
    "every-cell": "summary",
    "comparisons": "comparisons",
    "agreement": "agreement",
    "fairness": "fairness",
    "label-agreement": "label_agreement",
    "calibration-errors": "calibration",
    "thresholds": "thresholds",
    "group-calibration": "subgroups",
    "quarantine": "quarantine",
    "event-rows": "event_rows",
    "leakage": "leakage",
    "measured-leak": "leakage",
    "availability": "availability",
    "baseline": "baseline",
    "presence": "presence",
    "gate-orders": "gate_orders",
    "pretraining-seeds": "pretraining_seeds",
    "published-times": "runtimes",
    "cost-by-stage": "runtimes",
    "robustness": "robustness",
    "value": "value",
    "interactions": "interactions",
    "subsets": "lattice",
    "sufficient": "sufficient",
    "acquisition": "acquisition",
}
# A pivoted table: a row of it is several rows of the result table.
PIVOTED = ("table-1", "availability", "baseline", "cost-by-stage", "published-times", "robustness")


@dataclass
class Page:
    numbers: list[Number] = field(default_factory=list)
    """Origin, raw value, what is shown."""
    words: str = ""
    """Visible text outside numbers."""
    payload: dict[str, Any] = field(default_factory=dict)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    rows: dict[str, list[list[Number]]] = field(default_factory=dict)
    """For each table of the page, the numbers of each row."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.number: list[str] | None = None
        self.skip = 0
        self.script: str | None = None
        self.words: list[str] = []
        self.table: list[list[Number]] | None = None
        self.body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.tags.append((tag, given))
        if given.get("data-table"):
            self.table = self.page.rows.setdefault(str(given["data-table"]), [])
        if tag == "tbody":
            self.body = True
        if tag == "tr" and self.body and self.table is not None:
            self.table.append([])
        if tag == "data":
            self.number = [given["data-from"] or "", given["value"] or "", ""]
        if tag in ("style", "script"):
            self.skip += 1
            self.script = given.get("id")

    def handle_endtag(self, tag: str) -> None:
        if tag == "data" and self.number:
            number = (self.number[0], self.number[1], self.number[2])
            self.page.numbers.append(number)
            if self.body and self.table:
                self.table[-1].append(number)
            self.number = None
        if tag == "tbody":
            self.body, self.table = False, None
        if tag in ("style", "script"):
            self.skip -= 1
            self.script = None

    def handle_data(self, data: str) -> None:
        if self.script == "payload":
            self.page.payload = unpacked(data)
        if self.skip:
            return
        if self.number is not None:
            self.number[2] += data
        else:
            self.words.append(data)


def unpacked(text: str) -> Any:
    """What a page holds compressed."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def read(path: Path) -> Page:
    """A report's visible numbers, words and payload."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.page.words = re.sub(r"\s+", " ", " ".join(reader.words))
    return reader.page


def columns_of(tables: dict[str, pl.DataFrame]) -> dict[str, set[float]]:
    """Every number of every column, by `table.column`."""
    return {
        f"{name}.{column}": {float(value) for value in table[column].drop_nulls().to_list()}
        for name, table in tables.items()
        for column in table.select(pl.selectors.numeric()).columns
    }


def check_numbers(page: Page, tables: dict[str, pl.DataFrame]) -> int:
    """Every marked number is one of its column, and what is shown is that number rounded; how many were checked."""
    known = columns_of(tables)
    checked = 0
    for origin, raw, shown in page.numbers:
        if origin.startswith(("derived:", "paper.")):
            continue
        allowed = set().union(*(known[name] for name in origin.split("|")))
        assert any(math.isclose(abs(float(raw)), abs(value), rel_tol=1e-12) for value in allowed), (origin, raw)
        digits = re.sub(r"[^\d.]", "", shown)
        places = len(digits.partition(".")[2])
        fits = any(
            math.isclose(round(abs(float(raw)) * scale, places), float(digits), abs_tol=1e-9)
            for scale in (1, 100, 1 / 60, 1 / 3600)
        )
        assert fits or ("< 0.001" in shown and float(raw) < 0.001), (origin, raw, shown)
        checked += 1
    return checked


def check_rows(page: Page, tables: dict[str, pl.DataFrame]) -> int:
    """Every table's CSV has rows of its result table alone, and every row shows that row's numbers; how many rows."""
    checked = 0
    for key, given in page.payload["tables"].items():
        name = SHOWN[key]
        head, *rows = list(csv.reader(io.StringIO(given["csv"])))
        source = set(map(tuple, csv.reader(io.StringIO(csv_text(frame(tables, name).select(head))))))
        assert not set(map(tuple, rows)) - source, key
        if key in PIVOTED:
            continue
        assert len(page.rows[key]) == min(len(rows), 1200), key
        for row, numbers in zip(rows, page.rows[key], strict=False):
            cells = dict(zip(head, row, strict=True))
            for origin, raw, shown in numbers:
                if not origin.startswith(("derived:", "paper.")):
                    table, column = origin.split(".")
                    assert table == name, (key, origin)
                    assert math.isclose(float(cells[column]), float(raw), rel_tol=1e-12), (key, column, shown)
            checked += 1
    return checked


def tables_shown(page: Page) -> set[str]:
    """Result tables of which a number stands on the page."""
    origins = {name.partition(".")[0] for origin, _, _ in page.numbers for name in origin.split("|")}
    return origins & set(TABLES)
