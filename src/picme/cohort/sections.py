"""Sections of clinical notes, and the part of a physical exam that belongs to the admission."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from picme.cohort.headings import CANDIDATE, DISCHARGE, LATE_SECTIONS, RADIOLOGY, Headings

if TYPE_CHECKING:
    from collections.abc import Collection

# Words that mark the change of a physical exam from one date to another, whatever else the line says.
_LATE = re.compile(
    r"\b(discharge[ds]?|d/c|dc|death|deceased|expir\w+|transfer(red)?|call[- ]?out|post[- ]?op\w*|pod ?#?\d+|hd ?#?\d+"
    r"|hospital day|extubation)\b",
    re.IGNORECASE,
)
_EARLY = re.compile(
    r"\b(admission|admit\w*|arrival|initial|presentation|presenting|intake|ed|triage|pre[- ]?op\w*)\b", re.IGNORECASE
)
# A marker inside a line, where several exams stand in one: `ON ADMISSION: T 98.2 … ON DISCHARGE: T 97.8 …`.
_INLINE = re.compile(
    r"(?<=\S)(?<!\bon)(?<!\bat)(?<!\bupon)(?<!\bto)(?<!\bof)[ \t]+"
    r"(?=(?:(?:on|at|upon|prior to|day of|(?:at )?time of) )?(?:discharge|transfer|death|admission)"
    r"(?: (?:vitals?|vital signs|physical|exam\w*|pe|labs?))*[ \t]*:)",
    re.IGNORECASE,
)
# Without a colon a line is a marker only if it reads like one: `without erythema or discharge` is a finding.
_LIKE_A_MARKER = re.compile(
    r"^\W*(?:(?:on|at|upon|prior|to|day|time|of|the)\s+)*(?:discharge|d/c|death|transfer|admission|arrival|presentation)"
    r"\W*$|\b(?:exam\w*|physical|vitals?|pe)\b",
    re.IGNORECASE,
)
_MARKER = 60


def split_sections(text: str, wanted: Collection[str] | None = None) -> dict[str, str]:
    """Split a discharge summary into sections by their name (`config.notes.DISCHARGE_SECTIONS`), all or those wanted.

    Text before the first heading is `header`; a section that occurs twice is joined; empty ones are left out. Once the
    hospital course or a discharge section has begun, short forms (`PE:`) and headings of an exam that do not say
    "admission" open no section: what follows them was written of the end of the stay.
    """
    return _split(text, DISCHARGE, wanted)


def split_radiology(text: str, wanted: Collection[str] | None = None) -> dict[str, str]:
    """Split a radiology report into parts by their name (`config.notes.RADIOLOGY_PARTS`), all or those wanted."""
    return _split(text, RADIOLOGY, wanted)


def before_discharge_diagnosis(text: str) -> tuple[str, bool]:
    """Cut a summary at its discharge diagnosis heading; return the text and whether there was such a heading."""
    for match in CANDIDATE.finditer(text):
        found = DISCHARGE.find(match[1], match[2] == ":")
        if found is not None and found[0] == "discharge_diagnosis":
            return text[: match.start()], True
    return text, False


def admission_exam(text: str) -> tuple[str, bool]:
    """Take the admission's part of a physical exam; return it and whether the exam says when it was done.

    A short line, or the words before a colon, that speak of discharge, death, transfer or a later hospital day close
    the part; one that speaks of admission opens it again. Without any such word the whole exam is returned.
    """
    kept, keep, dated = [], True, False
    for line in _INLINE.sub("\n", text).splitlines():
        words, colon, _ = line.partition(":")
        if len(words) <= _MARKER and (colon or _LIKE_A_MARKER.search(words)):
            if _LATE.search(words):
                keep, dated = False, True
            elif _EARLY.search(words):
                keep, dated = True, True
        if keep:
            kept.append(line)
    return tidy("\n".join(kept)), dated


def tidy(text: str) -> str:
    """Remove blank lines and runs of spaces from a text."""
    return "\n".join([" ".join(words) for line in text.splitlines() if (words := line.split())])


def title(section: str) -> str:
    """Return the heading under which a section stands in the text handed to an encoder."""
    return section.replace("_", " ").capitalize()


def _split(text: str, headings: Headings, wanted: Collection[str] | None) -> dict[str, str]:
    pieces: dict[str, list[str]] = {}
    section, start, late = "header", 0, False
    for match in CANDIDATE.finditer(text):
        found = headings.find(match[1], match[2] == ":")
        if found is None:
            continue
        name, short = found
        if late and (short or (name == "physical_exam" and "admission" not in match[1].lower())):
            continue
        pieces.setdefault(section, []).append(text[start : match.start()])
        # The date of an exam may stand in its heading: keep it with the text.
        dated = name == "physical_exam" and "admission" in match[1].lower()
        section, start = name, match.start() if dated else match.end()
        late = late or name in LATE_SECTIONS
    pieces.setdefault(section, []).append(text[start:])
    joined = {name: tidy("\n".join(parts)) for name, parts in pieces.items() if wanted is None or name in wanted}
    return {name: body for name, body in joined.items() if body}
