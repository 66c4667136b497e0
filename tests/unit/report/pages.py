"""Reads a report as a reader of its source would: numbers with their origin, text, payload."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Page:
    numbers: list[tuple[str, str, str]] = field(default_factory=list)
    """Origin, raw value, what is shown."""
    words: str = ""
    """Visible text outside numbers."""
    payload: dict[str, Any] = field(default_factory=dict)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.number: list[str] | None = None
        self.skip = 0
        self.script: str | None = None
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.tags.append((tag, given))
        if tag == "data":
            self.number = [given["data-from"] or "", given["value"] or "", ""]
        if tag in ("style", "script"):
            self.skip += 1
            self.script = given.get("id")

    def handle_endtag(self, tag: str) -> None:
        if tag == "data" and self.number:
            self.page.numbers.append((self.number[0], self.number[1], self.number[2]))
            self.number = None
        if tag in ("style", "script"):
            self.skip -= 1
            self.script = None

    def handle_data(self, data: str) -> None:
        if self.script == "payload":
            self.page.payload = json.loads(data)
        if self.skip:
            return
        if self.number is not None:
            self.number[2] += data
        else:
            self.words.append(data)


def read(path: Path) -> Page:
    """A report's visible numbers, words and payload."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.page.words = re.sub(r"\s+", " ", " ".join(reader.words))
    return reader.page
