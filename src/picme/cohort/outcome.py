"""Words and statements that tell how a stay ended; they are counted everywhere, and forbidden in admission texts."""

from __future__ import annotations

import re

OUTCOME_WORDS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "expired": r"\bexpired\b",
        "deceased": r"\bdeceased\b",
        "died": r"\bdied\b",
        "death": r"\bdeath\b",
        "passed away": r"\bpassed away\b",
        "comfort measures": r"\b(?:comfort (?:measures|care|focused)|cmo)\b",
        "hospice": r"\bhospice\b",
        "withdrawal of care": r"\bwithdr(?:e|a)w(?:al|n)?(?: of)? (?:care|support|life)\b",
        "discharged": r"\bdischarged (?:to|home)\b",
    }.items()
}
"""Words and their patterns. Many uses are innocent ("mother died of cancer"), so a count is a hint, not a violation."""

ANY_WORD = re.compile(
    "|".join(pattern.pattern for pattern in OUTCOME_WORDS.values())
    + "|disposition|pronounced|terminal|declared|time of",
    re.IGNORECASE,
)
"""A quick test: a text without any of these words needs no closer look."""

_PATIENT = r"\b(?:the |this )?(?:patient|pt\.?)\s+(?:\w+\s+){0,2}?"
OUTCOME_STATEMENT = re.compile(
    "|".join(
        (
            _PATIENT + r"(?:expired|deceased|died|passed away)\b",
            r"\b(?:m(?:r|r?s)\.?\s+(?:_+|\w+)|he|she)\s+(?:\w+\s+)?expired\b",
            _PATIENT + r"(?:transitioned|changed|made|switched|placed)\s+(?:\w+\s+){0,2}?(?:comfort|cmo|hospice)\b",
            r"\b(?:was |were )?(?:pronounced|declared)\s+(?:dead|deceased|expired)\b",
            r"\btime of death\b",
            r"\b(?:discharge )?disposition:?\s*(?:expired|deceased|hospice)\b",
            r"\bterminal(?:ly)? extubat(?:ed|ion)\b",
            r"^[^\w\n]*(?:expired|deceased)[^\w\n]*$",
        )
    ),
    re.IGNORECASE | re.MULTILINE,
)
"""Pattern of a statement that this patient died or was given comfort care only."""

_END = re.compile(r"(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bDr)(?<!\bpt)[.!?](?=\s|$)|\n", re.IGNORECASE)


def states_outcome(text: str) -> bool:
    """Tell whether the text says how this patient's stay ended."""
    return OUTCOME_STATEMENT.search(text) is not None


def without_statements(text: str) -> tuple[str, int]:
    """Remove the sentences that state the outcome; return the text and how many those were."""
    removed = 0
    while match := OUTCOME_STATEMENT.search(text):
        start = max((end.end() for end in _END.finditer(text, 0, match.start())), default=0)
        stop = _END.search(text, match.end())
        text = text[:start] + (text[stop.end() :] if stop else "")
        removed += 1
    return text, removed
