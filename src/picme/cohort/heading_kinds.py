"""Kinds of headings beyond the table: those that tell of the stay or its end, harmless subheadings, and unknown ones.

A discharge summary is written at discharge, and its authors invent headings. What stands under one of them counts as
known at admission only if the heading does; so a heading outside the table is judged here by its words.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache

from picme.cohort.subheadings import ANYWHERE, EXAM_WORDS, HARMLESS, HISTORY_WORDS

UNKNOWN = "unknown heading"
LATE_EXAM = "exam without a date after the hospital course"

_DISCHARGE = r"(?:discharg\w*|disch|dc|dced|d c|d cd|pre discharge|predischarge|death|deceased|expired|demise)"
# Kind → section and pattern, over a heading in lower case, letters only; the first that fits counts.
CLOSING: dict[str, tuple[str, re.Pattern[str]]] = {
    kind: (section, re.compile(pattern))
    for kind, section, pattern in (
        (
            "exam at discharge",
            "discharge_exam",
            rf"(?=.*\b{_DISCHARGE}\b).*\b(?:exam\w*|physical|pe|vitals?|vs|weight|wt|neuro\w*|mental status)\b",
        ),
        (
            "discharge medications",
            "discharge_medications",
            rf"(?=.*\b{_DISCHARGE}\b).*\b(?:med|meds|medications?|medicines?|drugs?|rx|prescriptions?|"
            rf"antibiotics|abx)\b",
        ),
        (
            "discharge diagnosis",
            "discharge_diagnosis",
            rf"(?=.*\b(?:{_DISCHARGE}|final|principal|primary|secondary|main|working)\b).*\b(?:diagnos\w+|"
            rf"dx|dxs|diag)\b"
            r"|^(?:diagnos[ie]s|primary|secondary)$",
        ),
        (
            "transfer",
            "hospital_course",
            r"\b(?:transfer\w*|transport\w*|tx to|xfer\w*|call ?out|called out|step ?down)\b",
        ),
        (
            "disposition",
            "discharge_disposition",
            rf"\b(?:dispo|disposition\w*)\b|\b{_DISCHARGE} (?:to|home|facility)\b",
        ),
        (
            "follow-up",
            "followup_instructions",
            r"\b(?:follow(?:ed)?|follow ?ups?|f u|fu|fup|appointments?|appts?|outpatient (?:plan|issues|to do)|to do|"
            r"pending)\b",
        ),
        (
            "instructions",
            "discharge_instructions",
            r"\b(?:instructions?|you|your|education|recommend\w*|recs|restrictions|activity status|prescriptions?)\b"
            r"|\b(?:new|changed|stopped|started|held|continued|discontinued) (?:meds?|medications?|medicines?)\b"
            r"|\b(?:medication|med|medicine)s? (?:changes|changed|started|stopped|held|added|discontinued|"
            r"list|recon\w*)\b",
        ),
        ("condition", "discharge_condition", rf"\bconditions? (?:on|at|upon)\b|\b{_DISCHARGE}\b"),
        (
            "hospital course",
            "hospital_course",
            r"\b(?:course|courses|(?:hospital|icu|inpatient) stay|events?|issues?|problems?|assessments?|"
            r"plans?|a p|a and p|"
            r"impressions?|summary|progress|interval|overnight|hospitalization|inpatient|complications?|consult\w*|"
            r"[a-z]*icu|ccu|csru|floor|wards?|pod|hospital days?|post ?op\w*|operative|addend\w+|code status|"
            r"goals of care|family meeting|cmo|comfort|autopsy|pronounced|organ|prophylaxis|ppx|extubation|remainder|"
            r"transition\w*|updates?|dictated|contacts?|communication)\b|^hd\b|^(?:acute|chronic|active|"
            r"stable|resolved)$",
        ),
    )
}
_STEMS = ("discharge", "discharged", "transfer", "transferred", "disposition", "followup", "hospital course")
# A line without a colon is a closing heading only if all its words are such as headings are made of.
_TITLE = re.compile(
    r"(?:discharge|d c|dc|transfer|call ?out|xfer|brief|concise|summary|short|hospital|hosp|[a-z]*icu|ccu|"
    r"csru|ed|floor|"
    r"ward|course|stay|by|of|on|at|upon|the|time|to|from|in|for|and|or|with|day|problems?|systems?|issues?|dates?|"
    r"med|meds|medications?|medicines?|list|physical|exam|examination|pe|vitals?|vs|signs?|labs?|"
    r"laboratory|data|results|"
    r"studies|imaging|dispo|disposition|diagnos[ie]s|dx|condition|status|instructions?|follow|up|followup|"
    r"f|u|fu|plans?|"
    r"appointments?|assessment|impression|a|p|active|acute|chronic|transitional|inactive|resolved|primary|secondary|"
    r"final|principal|pending|events?|interval|post|op|operative|postoperative|complications|code|goals|care|family|"
    r"meeting|autopsy|addendum|new|changed|stopped|started|recommendations|consults?|inpatient|hospitalization|"
    r"including|pertinent|facility|home|changes|progress)"
)
_TITLE_LINE = re.compile(rf"{_TITLE.pattern}(?: {_TITLE.pattern})*")
_ARRIVAL = re.compile(
    r"(?:on|upon|at|initial|vitals? on|vs on|labs? on|exam on|prior to|before)? ?(?:initial )?"
    r"(?:arrival|admission|presentation|admit)(?: (?:to|in|at|the|[a-z]*icu|ccu|floor|ward|ed|er|osh|exam|"
    r"vitals?|vs|labs?))*"
)
# Words that make a line running text, not a heading.
_PROSE = re.compile(
    r"\b(?:she|he|they|it|who|which|that|was|were|is|are|has|had|have|be|been|did|does|showed|shows|revealed|"
    r"reported|denie[sd]|endorse[sd]|stated|noted|received|found|started|presented|presents|complain\w*|"
    r"(?:positive|negative|notable|significant|remarkable|consistent|given|complaints?) (?:for|with|of)|"
    r"including|includes|with|because|but|also|per|his|her|their|when|while|where|then|since|until|after|before)\b",
    re.IGNORECASE,
)
_NOT_LETTERS = re.compile(r"[^a-z]+")


def plain(words: str) -> str:
    """Bring a heading to lower case, letters only."""
    return _NOT_LETTERS.sub(" ", words.lower().replace("'", "")).strip()


@lru_cache(maxsize=1 << 16)
def closing(words: str, colon: bool) -> tuple[str, str] | None:
    """Find the kind of a heading that tells of the stay or its end, and the section it opens.

    Without a colon the line must be made of words of headings alone, and be written like one.
    """
    name = plain(words)
    if not name or harmless_phrase(name):
        return None
    if not colon:
        first = words.lstrip()[:1]
        if not first.isupper() or words.rstrip().endswith((".", ",")) or not _TITLE_LINE.fullmatch(name):
            return None
        if len(name) < 4:
            return None
    for kind, (section, pattern) in CLOSING.items():
        if pattern.search(name):
            return kind, section
    return ("misspelt", "hospital_course") if colon and _misspelt(name) else None


def harmless_phrase(name: str) -> bool:
    """Tell whether a heading is listed as one that occurs inside admission sections, whatever its words."""
    return name in ANYWHERE or bool(_ARRIVAL.fullmatch(name))


def harmless(words: str, section: str) -> bool:
    """Tell whether a heading outside the table is a subheading that this admission section may have."""
    name = plain(words)
    if not name or harmless_phrase(name):
        return True
    exam = section in ("physical_exam", "review_of_systems", "discharge_exam")
    known = EXAM_WORDS if exam else HISTORY_WORDS
    return name in HARMLESS or all(len(word) == 1 or word in known for word in name.split())


def running_text(words: str) -> bool:
    """Tell whether the words before a colon are a sentence rather than a heading."""
    return bool(_PROSE.search(words)) or len(words.split()) > 8


def _misspelt(name: str) -> bool:
    """Tell whether a word is a misspelt word of discharge, transfer, disposition or follow-up."""
    return any(
        word[0] == stem[0] and SequenceMatcher(None, word, stem).ratio() >= 0.85
        for word in name.split()
        if len(word) >= 6
        for stem in _STEMS
    )
