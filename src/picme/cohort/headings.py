"""Headings of clinical notes, by which a line opens a section; spelling, case and order may vary."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache

DISCHARGE_HEADINGS: dict[str, tuple[str, ...]] = {
    "header": (
        "attending",
        "admission date",
        "date of birth",
        "unit no",
        "discharge date",
        "date of discharge",
        "date of admission",
    ),
    "service": ("service",),
    "allergies": (
        "allergies",
        "allergy",
        "allergies adverse drug reactions",
        "allergies and adverse reactions",
        "drug allergies",
        "allergies adrs",
        "medication allergies",
        "allergies and reactions",
    ),
    "chief_complaint": (
        "chief complaint",
        "chief complaints",
        "presenting complaint",
        "reason for admission",
        "reason for hospitalization",
        "admission diagnosis",
        "admitting diagnosis",
        "admission diagnoses",
        "reason for icu admission",
        "reason for micu admission",
    ),
    "procedures": (
        "major surgical or invasive procedure",
        "major surgical and invasive procedures",
        "major surgical invasive procedures",
        "procedures",
        "procedure",
        "major surgical or invasive procedures",
        "surgical or invasive procedures",
        "major procedures",
    ),
    "history_of_present_illness": (
        "history of present illness",
        "history of the present illness",
        "present illness",
        "history of presenting illness",
        "brief history of present illness",
        "history present illness",
        "history of presenting complaint",
        "hpi on admission",
        "history of present illness on admission",
    ),
    "review_of_systems": ("review of systems", "review of symptoms"),
    "past_medical_history": (
        "past medical history",
        "prior medical history",
        "previous medical history",
        "medical history",
        "past medical and surgical history",
        "past medical surgical history",
        "past medical hx",
        "past medical history and past surgical history",
        "past medical history past surgical history",
        "past history",
        "prior medical problems",
        "pertinent past medical history",
    ),
    "past_surgical_history": (
        "past surgical history",
        "prior surgical history",
        "surgical history",
        "past surgical hx",
        "past surgical procedures",
    ),
    "social_history": (
        "social history",
        "social and occupational history",
        "social hx",
        "psychosocial history",
    ),
    "family_history": (
        "family history",
        "family medical history",
        "family hx",
        "family history of disease",
    ),
    "medications_on_admission": (
        "medications on admission",
        "medication on admission",
        "admission medications",
        "home medications",
        "medications at home",
        "medications prior to admission",
        "outpatient medications",
        "preadmission medications",
        "meds on admission",
        "admission meds",
        "home meds",
        "meds at home",
        "meds prior to admission",
        "preadmission meds",
        "pre admission medications",
        "pre admission meds",
        "outpatient meds",
        "home medication list",
        "medications upon admission",
        "medications at admission",
        "medications at the time of admission",
        "medications at time of admission",
        "medications on presentation",
        "medications on arrival",
        "medications preadmission",
        "current medications on admission",
        "home medications on admission",
        "medications prior to hospitalization",
        "medications from home",
    ),
    "physical_exam": (
        "physical exam",
        "physical examination",
        "admission exam",
        "admission physical exam",
        "admission physical examination",
        "admission physical",
        "physical exam on admission",
        "physical examination on admission",
        "exam on admission",
        "physical exam at admission",
        "admission pe",
        "admit exam",
        "admit physical exam",
        "pe on admission",
        "pe at admission",
        "physical exam upon admission",
        "physical examination upon admission",
        "physical examination at admission",
        "physical exam on presentation",
        "physical examination on presentation",
        "physical exam on arrival",
        "physical exam upon arrival",
        "exam at admission",
        "exam upon admission",
        "exam on presentation",
        "exam on arrival",
        "initial exam",
        "initial physical exam",
        "initial physical examination",
        "admission physical exam and vitals",
        "admission neurological exam",
        "admission neurologic exam",
        "admission neuro exam",
        "admission vitals and exam",
        "physical exam at presentation",
        "physical exam on admission to icu",
        "physical exam on admission to micu",
        "vitals and physical exam on admission",
    ),
    "discharge_exam": (
        "discharge exam",
        "discharge physical exam",
        "discharge physical examination",
        "discharge physical",
        "physical exam on discharge",
        "physical examination on discharge",
        "physical exam at discharge",
        "exam on discharge",
        "exam at discharge",
        "death exam",
    ),
    "pertinent_results": (
        "pertinent results",
        "pertinent labs",
        "pertinent laboratory results",
        "laboratory data",
        "admission labs",
        "labs on admission",
        "imaging",
        "microbiology",
    ),
    "hospital_course": (
        "brief hospital course",
        "hospital course",
        "hospital course by problem",
        "summary of hospital course",
        "brief summary of hospital course",
        "hospital course by system",
        "hospital course by systems",
        "micu course",
        "icu course",
        "floor course",
        "assessment and plan",
        "active issues",
        "acute issues",
        "transitional issues",
    ),
    "discharge_medications": ("discharge medications", "discharge medication", "medications on discharge"),
    "discharge_disposition": ("discharge disposition",),
    "discharge_diagnosis": ("discharge diagnosis", "discharge diagnoses", "final diagnosis", "final diagnoses"),
    "discharge_condition": ("discharge condition", "condition on discharge", "condition at discharge"),
    "discharge_instructions": ("discharge instructions",),
    "followup_instructions": ("followup instructions", "follow up instructions"),
}
"""Sections of a discharge summary → the headings that open it, in lower case, letters only."""

DISCHARGE_ABBREVIATIONS: dict[str, tuple[str, ...]] = {
    "chief_complaint": ("cc",),
    "history_of_present_illness": ("hpi",),
    "review_of_systems": ("ros",),
    "past_medical_history": ("pmh", "pmhx", "pmhx pshx", "pmh psh"),
    "past_surgical_history": ("psh", "pshx"),
    "social_history": ("sh", "shx", "soc hx"),
    "family_history": ("fh", "fhx", "fam hx"),
    "physical_exam": ("pe", "exam"),
}
"""Short forms, believed only before the hospital course: there `PE:` may well be a pulmonary embolism."""

LATE_SECTIONS = frozenset(
    {
        "hospital_course",
        "discharge_medications",
        "discharge_disposition",
        "discharge_diagnosis",
        "discharge_condition",
        "discharge_instructions",
        "followup_instructions",
    }
)
"""Sections after which a heading of the exam belongs to the discharge and a short form is no heading."""

RADIOLOGY_HEADINGS: dict[str, tuple[str, ...]] = {
    "examination": ("examination", "exam", "study", "type of examination"),
    "indication": (
        "indication",
        "indications",
        "clinical indication",
        "history",
        "clinical history",
        "clinical information",
        "reason for exam",
        "reason for examination",
        "reason for this examination",
    ),
    "technique": ("technique", "dose", "contrast", "procedure"),
    "comparison": ("comparison", "comparisons", "comparison exam"),
    "findings": ("findings", "finding", "report", "chest", "findings and impression"),
    "impression": ("impression", "impressions", "conclusion", "conclusions", "wet read", "impression and plan"),
    "notification": ("notification", "recommendation", "recommendations", "recommendation s", "notifications"),
    "addendum": ("addendum",),
}
"""Parts of a radiology report → the headings that open it."""

# A candidate stands at the start of a line: up to 60 characters that end in a colon or fill the line.
CANDIDATE = re.compile(r"^[ \t*#>=_-]*([A-Za-z][^\n:]{1,60})(:|$)", re.MULTILINE)
# In a discharge summary also after a bullet or a number (`mark`), and longer if it ends in a colon.
LINE = re.compile(
    r"^(?P<mark>(?:[ \t]*(?:[*#>=_•+~\[(<|–—-]|\d{1,2}[.)]|[ivxIVX]{1,4}[.)]|[a-hA-H][.)]))*)[ \t]*"
    r"(?P<words>[A-Za-z][^\n:：]{1,119}?)[\])*_ \t]*(?P<end>[:：]|$)",
    re.MULTILINE,
)
_NOT_LETTERS = re.compile(r"[^a-z]+")


class Headings:
    """A family of headings, in which a line of a note is looked up."""

    def __init__(self, full: dict[str, tuple[str, ...]], short: dict[str, tuple[str, ...]] | None = None) -> None:
        self.full = {heading: section for section, headings in full.items() for heading in headings}
        self.short = {heading: section for section, headings in (short or {}).items() for heading in headings}
        # The same lines come again and again; the cache is bounded, because a release has millions of different ones.
        self.find = lru_cache(maxsize=1 << 16)(self._find)

    def knows(self, words: str) -> bool:
        """Tell whether these words are a heading of the table, letter for letter."""
        name = _NOT_LETTERS.sub(" ", words.lower()).strip()
        return name in self.full or name in self.short

    def _find(self, words: str, colon: bool) -> tuple[str, bool] | None:
        """Find the section that these words open, and whether they are a short form of its heading.

        A line without a colon must be a heading letter for letter and of two words at least: `Allergies` alone in a
        list is no heading. One with a colon may be misspelt (similarity 0.88, first letter right).
        """
        name = _NOT_LETTERS.sub(" ", words.lower()).strip()
        if name in self.full and (colon or " " in name):
            return self.full[name], False
        if not colon:
            return None
        if name in self.short:
            return self.short[name], True
        if len(name) < 8:
            return None
        match = get_close_matches(name, [known for known in self.full if known[0] == name[0]], n=1, cutoff=0.88)
        return (self.full[match[0]], False) if match else None


DISCHARGE = Headings(DISCHARGE_HEADINGS, DISCHARGE_ABBREVIATIONS)
RADIOLOGY = Headings(RADIOLOGY_HEADINGS)
