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
        "withdrawal of care": r"\bwithdr(?:e|a)w(?:al|n|ing)?(?: of)? (?:care|support|life)\b",
        "pronounced": r"\bpronounced\b",
        "autopsy": r"\bautopsy\b",
        "discharged": r"\bdischarged (?:to|home)\b",
    }.items()
}
"""Words and their patterns. Many uses are innocent ("mother died of cancer"), so a count is a hint, not a violation."""

_TIME = r"(?:\d{1,2}:?\d{2}|\d{1,2} ?[ap]\.?m)\b"
_PATIENT = r"\b(?:(?:(?:the|this|our) )?(?:patient|pt\.?)|m(?:r|r?s|iss)\.?\s+(?:_+|[\w'-]+)|he|she)\s+"
_DIED = r"(?:expired|deceased|died|passed away|passed on|succumbed)\b"
_COMFORT = r"(?:cmo\b|comfort|hospice)"
_CARE = r"(?:care|support|life|treatment|ventilat\w+|pressors?|intubation|aggressive)"
STATEMENTS: tuple[tuple[str, bool], ...] = (
    (_PATIENT + r"(?:[\w/-]+\s+){0,3}?" + _DIED, True),
    # Without a subject: how, when or after what.
    (r"\b(?:and|then|subsequently|peacefully|sadly|unfortunately|ultimately|later) (?:he |she )?" + _DIED, True),
    (r"\bpassed (?:away|(?:on )?peacefully|quietly)\b", True),
    (
        r"\b(?:expired|died) (?:peacefully|this (?:morning|afternoon|evening|am|pm)|overnight|today|shortly|surrounded|"
        r"at home with|with (?:his|her|the)? ?family|on (?:hd|pod|hospital|icu|_+)|in the (?:[a-z]*icu|"
        r"hospital|ed|or)\b|"
        r"(?:at|@|around|approximately) *(?:approximately |around )?" + _TIME + ")",
        True,
    ),
    (r"(?:^|(?<=[.;]))[^\w\n]*(?:expired|deceased|dead|death)(?=[^\w\n]*$|[.;])", True),
    (r"\b(?:pronounced|declared)\s+(?:\w+\s+){0,2}?(?:dead|deceased|expired|death|at\s+" + _TIME + ")", True),
    (r"\basystol\w+[^.\n]{0,80}\b(?:declared|pronounced|expired|died|death)\b", False),
    (r"\b(?:pulseless|apneic|no pulse)\b[^.\n]{0,80}\b(?:pronounced|declared)\b", False),
    (r"\bcould not be (?:resuscitated|revived)\b|\brosc (?:was |could )?(?:not|never)\b", False),
    (r"\b(?:declared|pronounced)\b[^.\n]{0,40}\basystol\w+", False),
    (r"\btime of (?:his |her |the )?death\b|\bcause of death\s*[:=]|\bdeath (?:certificate|note|exam)\b", False),
    (r"\b(?:discharge )?disposition\s*:?\s*(?:expired|deceased|hospice|dead|death)\b", False),
    (r"\b(?:terminal|compassionate)(?:ly)? (?:extubat|wean)\w*", False),
    (
        r"\b(?:made|transition\w*|changed|switched|placed|moved|converted|decision|focus\w*|goals)\s+"
        r"(?:[\w/]+\s+){0,4}?" + _COMFORT,
        True,
    ),
    (r"\bcomfort (?:measures|care|focused)(?: only)?\b|\bcomfort-focused\b|\bcmo\b", True),
    (r"\bdischarged (?:\w+ ){0,3}?hospice\b", True),
    (
        r"\bwithdr(?:aw\w*|ew)(?: of)?(?: (?:the|all|his|her|further|aggressive|medical|life))*[ -]"
        + _CARE
        + r"\b(?! group)",
        True,
    ),
    (r"\b" + _CARE + r" (?:was |were |is |being |been )?withdrawn\b", True),
    (r"\bfamily (?:meeting|discussion|conference)[^.\n]{0,160}\b(?:withdr\w+|comfort|cmo)\b", False),
    (
        r"\bautopsy\b(?=[^.\n]{0,40}\b(?:declin|refus|request|consent|perform|accept|offer|grant|waiv|"
        r"pending|reveal|show))",
        True,
    ),
    (r"\b(?:declin|refus|request|consent|offer)\w*(?: \w+){0,3}? autopsy\b", True),
    (
        r"\borgan (?:donation|procurement|bank)\b[^.\n]{0,80}\b(?:death|died|declar\w+|declined|notified|contacted)\b",
        True,
    ),
    (r"\b(?:medical examiner|coroner)\b[^.\n]{0,40}\b(?:declin|notif|contact|accept|waiv|case)\w*", True),
    (r"\bresuscitat\w+[^.\n]{0,50}\b(?:unsuccessful|stopped|terminated|called off|ceased)\b", True),
    (r"\bunsuccessful (?:resuscitat\w+|acls|cpr|code)\b|\bwithout (?:rosc|return of spontaneous)", True),
)
"""Patterns of statements that this patient died or was given comfort care only, and whether the subject may be another.

Words alone do not tell: "father died of MI" and "expired medication" are innocent, so a relative or a thing named
before the words in the same sentence takes a statement back.
"""

_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), guarded) for pattern, guarded in STATEMENTS)
_OTHERS = (
    r"(?:(?:step|grand|god|half)[- ]?)?(?:mother|father|mom|dad|parents?|brothers?|sisters?|siblings?|sons?|daughters?|"
    r"child|children|infant|baby|twin|uncles?|aunts?|cousins?|niece|nephew|husband|wife|spouse|partner|fiancee?|"
    r"boyfriend|girlfriend|friends?|roommate|neighbou?r|relatives?|family members?|grand(?:mother|father|parents?|son|"
    r"daughter)|mgm|mgf|pgm|pgf|dog|cat|pet|donor|co-?worker|medications?|meds|drugs?|prescriptions?|inhalers?|epipen|"
    r"insurance|license|visa|supply|bottles?|pills?|insulin|fh|fhx)"
)
_OTHER = re.compile(rf"\b{_OTHERS}\b", re.IGNORECASE)
# What takes the subject from a relative named before: the patient, or "he died at 14:32".
_BACK = re.compile(
    r"\b(?:patient|pt|m(?:r|r?s)\.?\s+_+)\s|\b(?:he|she)\s+(?:\w+\s+){0,3}?"
    r"(?:(?:expired|died|passed away)\b(?!\s+(?:of|from|at age|in (?:his|her|_)|when|at \d{2}\b(?!:)))|"
    r"(?:was|were|is)\b)",
    re.IGNORECASE,
)
_AS_SUBJECT = re.compile(
    rf"\b{_OTHERS}(?:'s)?\s+(?:who\s+)?(?:\w+\s+){{0,2}}?(?:was|is|were|had been|got|became|went|in)?\s*$",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:not|never|no|denie[sd]|refus\w+|against|nearly|almost|if|wish(?:es|ed)?|would|thoughts? of|afraid of)"
    r"\s+(?:\w+\s+)?$",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:not|never|nearly|almost|would have|could have|would rather|wish\w*|if|thought|feels?|felt|"
    r"afraid|thinks?)\b|n't\b",
    re.IGNORECASE,
)
_AGE = re.compile(
    r"\s*(?:(?:at|@)(?: the)?(?: age)?(?: of)?|in (?:his|her|their|the)|age[d]?)\s*(?:_+|\d{1,2}s?)\b(?![:\d])",
    re.IGNORECASE,
)

# How far from a word of the outcome a statement that holds it may begin or end.
_AROUND = 200

ANY_WORD = re.compile(
    "|".join(pattern.pattern for pattern in OUTCOME_WORDS.values())
    + r"|disposition|pronounced|terminal|compassionate|declared|time of|withdr|comfort(?!abl)|autopsy|"
    r"asystol|organ |passed|"
    r"succumbed|examiner|coroner|resuscitat|revived|pulseless|apneic|unsuccessful|rosc|^\W*dead\W*$|cause of",
    re.IGNORECASE | re.MULTILINE,
)
"""A quick test: a text without any of these words needs no closer look."""

_END = re.compile(r"(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bDr)(?<!\bpt)[.!?](?=\s|$)|\n", re.IGNORECASE)


def states_outcome(text: str, section: str = "") -> bool:
    """Tell whether the text, of this section of a note, says how the patient's stay ended."""
    return _statement(text, section) is not None


def without_statements(text: str, section: str = "") -> tuple[str, int]:
    """Remove the sentences that state the outcome; return the text and how many those were."""
    removed = 0
    while found := _statement(text, section):
        stop = _END.search(text, found[1])
        text = text[: _sentence(text, found[0])] + (text[stop.end() :] if stop else "")
        removed += 1
    return text, removed


def _statement(text: str, section: str) -> tuple[int, int] | None:
    """Find the first statement of the outcome: its start and end."""
    done = 0
    for word in ANY_WORD.finditer(text):
        if word.end() <= done:
            continue
        start, done = max(0, word.start() - _AROUND), text.find("\n", word.end() + _AROUND)
        done = len(text) if done < 0 else done
        spans = [
            match.span()
            for pattern, guarded in _COMPILED
            for match in pattern.finditer(text, start, done)
            if not (guarded and _of_another(text, match, section)) and not _DENIED.search(text[: match.start()][-60:])
        ]
        if spans:
            return min(spans)
    return None


def _of_another(text: str, match: re.Match[str], section: str) -> bool:
    """Tell whether a statement is about a relative or a thing, or says that it did not happen."""
    said = match[0]
    before = text[_sentence(text, match.start()) : match.start()]
    if _OTHER.search(said.split()[0]) or _NEGATED.search(said):
        return True
    inside = _OTHER.search(said)
    if re.search(_DIED, said, re.IGNORECASE):
        named = re.match(_PATIENT.replace("|he|she", ""), said, re.IGNORECASE)
        if inside is not None:
            return True
        if named:
            return False
        if section == "family_history" or _AGE.match(text, match.end()):
            return True
        return _OTHER.search(before) is not None and not _BACK.search(before + said)
    return _AS_SUBJECT.search(before) is not None


def _sentence(text: str, position: int) -> int:
    """Find the start of the sentence around a position."""
    start = text.rfind("\n", 0, position) + 1
    return max((end.end() for end in _END.finditer(text, start, position)), default=start)
