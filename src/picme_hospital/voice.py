"""The choice of words for one note: phrases by level, headings, and the pronouns of the patient."""

from __future__ import annotations

import textwrap

import numpy as np

from picme_hospital.phrases import LEVELS

# Rarer spellings of a heading, by its usual spelling.
HEADINGS: dict[str, tuple[str, ...]] = {
    "Chief Complaint:": ("CHIEF COMPLAINT:", "Chief complaint:"),
    "History of Present Illness:": ("HPI:", "HISTORY OF PRESENT ILLNESS:", "History of Present Ilness:"),
    "Past Medical History:": ("PMH:", "PAST MEDICAL HISTORY:", "Past medical history:"),
    "Social History:": ("SOCIAL HISTORY:",),
    "Family History:": ("FAMILY HISTORY:", "Family history:"),
    "Physical Exam:": ("PHYSICAL EXAM:", "Physical exam:"),
    "Brief Hospital Course:": ("BRIEF HOSPITAL COURSE:", "Breif Hospital Course:"),
    "Medications on Admission:": ("MEDICATIONS ON ADMISSION:", "Medications on admission:"),
}
UNUSUAL = 0.05  # the share of headings in a rarer spelling


class Voice:
    """The source of words for one note.

    Args:
        rng: The source of randomness.
        female: Whether the patient is female.
    """

    def __init__(self, rng: np.random.Generator, female: bool) -> None:
        self.rng = rng
        words = ("she", "She", "her", "woman", "Ms.") if female else ("he", "He", "his", "man", "Mr.")
        self.words = dict(zip(("she", "She", "her", "woman", "Ms"), words, strict=True))

    def one(self, variants: tuple[str, ...]) -> str:
        """Draw one of several variants."""
        return variants[int(self.rng.integers(len(variants)))]

    def level(self, view: float) -> int:
        """Return the level (0 well … 3 gravely ill) of a latent's view."""
        return int(np.digitize(view, LEVELS))

    def at(self, levels: tuple[tuple[str, ...], ...], view: float) -> str:
        """Draw a variant of the phrase whose level belongs to a latent's view."""
        return self.one(levels[self.level(view)])

    def heading(self, usual: str) -> str:
        """Return a heading, now and then in a rarer spelling."""
        odd = HEADINGS.get(usual)
        return self.one(odd) if odd and self.rng.random() < UNUSUAL else usual

    def fill(self, text: str) -> str:
        """Replace the placeholders of a phrase by the words that fit the patient's sex."""
        return text.format(**self.words)


def wrap(text: str) -> str:
    """Break a text into lines of at most 76 characters."""
    return "\n".join(textwrap.wrap(text, 76, break_long_words=False))
