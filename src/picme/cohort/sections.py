"""Sections of clinical notes, and the part of a physical exam that belongs to the admission."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from picme.cohort.heading_kinds import LATE_EXAM, UNKNOWN, closing, harmless, plain, running_text
from picme.cohort.headings import CANDIDATE, DISCHARGE, LATE_SECTIONS, LINE, RADIOLOGY
from picme.config.notes import KNOWN_AT_ADMISSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

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
    r"^\W*(?:(?:on|at|upon|prior|to|day|time|of|the)\s+)*(?:discharge|d/c|death|transfer|admission|arrival|"
    r"presentation)"
    r"\W*$|\b(?:exam\w*|physical|vitals?|pe)\b",
    re.IGNORECASE,
)
_MARKER = 60
_EXAMS = frozenset({"physical_exam", "discharge_exam"})
# A line that says nothing but when the exam below it was done.
_WHEN = r"(?:(?:on|at|upon|prior to|before|day of|time of|at time of|at the time of|the)\s+)*"
_WHAT = r"(?:\s+(?:day|vitals?|vital signs|vs|physical|exam\w*|pe|labs?))*"
_BARE_LATE = re.compile(
    rf"(?:(?:physical|exam\w*|vitals?|vital signs|vs|pe)\s+)*{_WHEN}"
    rf"(?:discharge|dc|d c|death|transfer|call ?out|expiration){_WHAT}"
)
_BARE_EARLY = re.compile(
    rf"(?:(?:physical|exam\w*|vitals?|vital signs|vs|pe)\s+)*{_WHEN}(?:admission|admit|arrival|presentation){_WHAT}"
)
# A closing heading in the middle of a line begins a line of its own.
_MIDLINE = re.compile(
    r"(?:(?<=[.;,)])[ \t]+(?=(?:Brief |BRIEF )?(?:Hospital|HOSPITAL|ICU|MICU|SICU|CCU)[ \t]+(?:Course|COURSE)[ \t]*:)"
    r"|(?<=[.;,\w)])[ \t]+(?=(?:(?:Discharge|DISCHARGE|Transfer|TRANSFER)[ \t]+(?:Med|MED|Diag|DIAG|Dispo|"
    r"DISPO|Cond|COND|"
    r"Instr|INSTR|Lab|LAB|Summ|SUMM)\w*"
    r"|(?:Med\w*|MED\w*)[ \t]+(?:on|at|upon|ON|AT|UPON)[ \t]+(?:Discharge|DISCHARGE|discharge|Transfer|"
    r"TRANSFER|transfer)"
    r"|(?:Follow|FOLLOW)[- ]?(?:up|Up|UP)[ \t]+(?:Instr|INSTR)\w*)[ \t]*:))"
)
_BLANK_ABOVE = re.compile(r"\n[ \t]*\n[ \t]*$")
_NOT_LATE = frozenset({"transfer"})
# In a radiology report a heading may begin with a number and hold a time of day: `2 VIEWS, 5:40 A.M.:`.
_REPORT_LINE = re.compile(
    r"^[ \t*#>=_-]*(?P<words>[A-Za-z0-9](?:[^\n:]|(?<=\d):(?=\d\d)){1,79}?)(?P<colon>:(?!\d)|$)", re.MULTILINE
)
_READING = frozenset({"findings", "impression"})
# The end of a part's own line: a blank line, of a comparison also the end of its first sentence.
_BELOW = re.compile(r"(?<=\S)[ \t]*\n[ \t]*\n")
_BELOW_COMPARISON = re.compile(r"(?<=\S)[ \t]*\n[ \t]*\n|(?<=[.;])\s+(?=\S)")


def split_sections(text: str, wanted: Collection[str] | None = None) -> dict[str, str]:
    """Split a discharge summary into sections by their name (`config.notes.DISCHARGE_SECTIONS`), all or those wanted.

    Text before the first heading is `header`; a section that occurs twice is joined; empty ones are left out. Once the
    hospital course or a discharge section has begun, short forms (`PE:`) and headings of an exam that do not say
    "admission" open no section: what follows them was written of the end of the stay. A heading that is not known
    belongs to the section in which it stands.
    """
    return _join(_pieces(text, frozenset()), wanted)


def admitted_sections(text: str, admitted: Collection[str]) -> tuple[dict[str, str], Counter[str]]:
    """Take the admitted sections of a discharge summary, each only as far as its headings vouch for it.

    A heading that tells of the stay or its end closes an admitted section, and so does a heading that is neither known
    nor listed as harmless there (`subheadings`). What follows is left out up to the next admitted section's heading.

    Returns:
        The sections that have text, and how often text was left out, by the kind of heading above it.
    """
    pieces = _pieces(text, frozenset(admitted))
    left_out = Counter(kind for _, kind, body in pieces if kind and body.strip())
    return _join([piece for piece in pieces if not piece[1] or piece[0]], admitted), left_out


def split_radiology(text: str, wanted: Collection[str] | None = None) -> dict[str, str]:
    """Split a radiology report into parts by their name (`config.notes.RADIOLOGY_PARTS`), all or those wanted.

    A heading that is not known, such as `ONE VIEW OF THE CHEST:`, stands with its text among the findings. A report
    whose findings have no heading at all has them before its first heading, or below a line of another part. Without
    any known heading all is `header`.
    """
    pieces, part, start, known = [], "header", 0, False
    for match in _REPORT_LINE.finditer(text):
        found = RADIOLOGY.find(match["words"], match["colon"] == ":")
        if found is None and (part in _READING or not match["colon"] or not _report_heading(match["words"])):
            continue
        pieces.append((part, "", text[start : match.start()]))
        part, start, known = (found[0], match.end(), True) if found else ("findings", match.start(), known)
    pieces.append((part, "", text[start:]))
    if not known:
        pieces = [("header", "", text)]
    elif not any(name == "findings" and body.strip() for name, _, body in pieces):
        pieces = [piece for name, _, body in pieces for piece in _without_findings(name, body)]
    return _join(pieces, wanted)


def _report_heading(words: str) -> bool:
    """Tell whether the words before a colon are a heading of a report, not a sentence or the rest of one."""
    return not words[0].islower() and not running_text(words)


def _without_findings(part: str, body: str) -> list[tuple[str, str, str]]:
    """Divide a part of a report that has no findings: what stands apart below its own line is taken for them."""
    if part == "header":
        return [("findings", "", body)]
    end = (_BELOW_COMPARISON if part == "comparison" else _BELOW).search(body) if part not in _READING else None
    return [(part, "", body)] if end is None else [(part, "", body[: end.start()]), ("findings", "", body[end.end() :])]


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


def _join(pieces: Iterable[tuple[str, str, str]], wanted: Collection[str] | None) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for name, _, body in pieces:
        if name and (wanted is None or name in wanted):
            joined.setdefault(name, []).append(body)
    tidied = {name: tidy("\n".join(parts)) for name, parts in joined.items()}
    return {name: body for name, body in tidied.items() if body}


def _pieces(text: str, admitted: frozenset[str]) -> list[tuple[str, str, str]]:
    """Cut a discharge summary at its headings.

    Returns:
        The section ("" after an unknown heading), the kind of the heading if it is none of the table's and closed an
        admitted section (else ""), and the text; in order.
    """
    text = _MIDLINE.sub("\n", text)
    pieces = []
    section, kind, start, late = "header", "", 0, False
    for match in LINE.finditer(text):
        words, colon = match["words"], match["end"] != ""
        opened = _opened(words, colon, section, late, bool(admitted))
        strict = section in admitted
        if opened is None:
            if not strict or not colon or not _ends_section(text, match, section):
                continue
            opened = "", UNKNOWN
        name, found = opened
        pieces.append((section, kind, text[start : match.start()]))
        # The date of an exam may stand in its heading: keep it with the text.
        dated = name == "physical_exam" and _EARLY.search(words) is not None
        # What closed an admitted section stays the reason until a heading of the table comes.
        kind = found if strict or (kind and found) else ""
        section, start = name, match.start() if dated else match.end()
        late = late or (name in LATE_SECTIONS and found not in _NOT_LATE)
    pieces.append((section, kind, text[start:]))
    return pieces


def _opened(words: str, colon: bool, section: str, late: bool, judged: bool) -> tuple[str, str] | None:
    """Find the section that a line opens, and the kind of its heading ("" if it is one of the table's)."""
    words = _trimmed(words)
    if not colon and words.endswith("."):
        return None
    if section in _EXAMS and len(words) <= _MARKER and (colon or _LIKE_A_MARKER.search(words)):
        # Several exams of one section follow each other, and each says when it was done.
        if _BARE_LATE.fullmatch(plain(words)):
            return "discharge_exam", ""
        if not late and _BARE_EARLY.fullmatch(plain(words)):
            return "physical_exam", ""
    found = DISCHARGE.find(words, colon)
    if found is not None and not (found[0] in KNOWN_AT_ADMISSION and _tells_the_end(words, colon)):
        name, short = found
        if not late or not (short or (name == "physical_exam" and not _EARLY.search(words))):
            return name, ""
        # Within a section of the stay it is no heading; an admission section must not take it in.
        return None if section in LATE_SECTIONS or not section else ("discharge_exam", LATE_EXAM)
    ends = closing(words, colon)
    return None if ends is None or (not judged and ends[0] == "hospital course") else (ends[1], ends[0])


def _tells_the_end(words: str, colon: bool) -> bool:
    return not DISCHARGE.knows(words) and closing(words, colon) is not None


def _ends_section(text: str, match: re.Match[str], section: str) -> bool:
    """Tell whether a line with a colon is an unknown heading that ends an admitted section."""
    words = _trimmed(match["words"])
    if len(words) > _MARKER or harmless(words, section) or running_text(words):
        return False
    line_end = text.find("\n", match.end())
    followed = text[match.end() : line_end if line_end >= 0 else len(text)].strip()
    if followed and match["mark"] and "#" not in match["mark"]:
        return False  # an item of a list: `1. CAD: stent in ___`
    if followed and words[:1].islower():
        # The second line of a sentence may hold a colon; a heading stands apart.
        above = text[: match.start()].rstrip(" \t")
        return not above or above.endswith("\n\n") or _BLANK_ABOVE.search(above[-40:]) is not None
    return True


def _trimmed(words: str) -> str:
    return words.rstrip(" \t-–—=;")
