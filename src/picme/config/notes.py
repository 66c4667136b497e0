"""Configuration of notes, chest X-rays and demographics: what is read, and what is known at prediction time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from picme.config.base import Section
from picme.config.bounds import Number
from picme.errors import near

Share = Annotated[float, Field(ge=0.0, le=1.0)]

DISCHARGE_SECTIONS: tuple[str, ...] = (
    "header",
    "service",
    "allergies",
    "chief_complaint",
    "procedures",
    "history_of_present_illness",
    "review_of_systems",
    "past_medical_history",
    "past_surgical_history",
    "social_history",
    "family_history",
    "medications_on_admission",
    "physical_exam",
    "discharge_exam",
    "pertinent_results",
    "hospital_course",
    "discharge_medications",
    "discharge_disposition",
    "discharge_diagnosis",
    "discharge_condition",
    "discharge_instructions",
    "followup_instructions",
)
"""Sections of a MIMIC discharge summary, in their usual order; `header` is what stands before the first heading."""

KNOWN_AT_ADMISSION: tuple[str, ...] = (
    "chief_complaint",
    "history_of_present_illness",
    "past_medical_history",
    "past_surgical_history",
    "medications_on_admission",
    "physical_exam",
    "social_history",
    "family_history",
    "allergies",
    "review_of_systems",
)
"""Sections that restate what the admitting team knew, the most telling first because encoders cut long texts; of the
physical exam only the admission's part is used."""

RADIOLOGY_PARTS: tuple[str, ...] = (
    "header",
    "examination",
    "indication",
    "technique",
    "comparison",
    "findings",
    "impression",
    "notification",
    "addendum",
)
"""Parts of a radiology report; `header` is what stands before the first heading."""

ADMISSION_COLUMNS: tuple[str, ...] = (
    "age",
    "gender",
    "ethnicity",
    "marital_status",
    "insurance",
    "language",
    "admission_type",
    "admission_location",
    "anchor_year_group",
    "first_careunit",
)
"""Demographic columns recorded by the time of ICU admission (`race` of MIMIC-IV 2 and later is `ethnicity` here)."""

DISCHARGE_COLUMNS: frozenset[str] = frozenset(
    {
        "deathtime",
        "dischtime",
        "discharge_location",
        "dod",
        "drg_code",
        "edouttime",
        "hospital_expire_flag",
        "icd_code",
        "last_careunit",
        "los",
        "outtime",
    }
)
"""Columns that tell how a stay ended; never an input."""


def _known(names: tuple[str, ...], known: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return `names` unchanged if each is known and none is repeated.

    Raises:
        ValueError: if one is unknown or repeated, or there are none.
    """
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}{near(name, known)}")
    if len(set(names)) < len(names):
        raise ValueError(f"a {what} is named twice: {', '.join(names)}")
    if not names:
        raise ValueError(f"at least one {what} must be named")
    return names


class NotesConfig(Section):
    """Choice of the text of discharge summaries and radiology reports that becomes input."""

    mode: Literal["prospective", "paper"] = "prospective"
    """`prospective`: only what was known at the prediction time. `paper`: the discharge summary up to the discharge
    diagnosis and every radiology report of the admission, as in the published study (it lets the outcome through)."""
    discharge_sections: tuple[str, ...] = KNOWN_AT_ADMISSION
    """Sections of the discharge summary that count as known at admission, in the order in which they are joined. The
    summary is written at discharge; these sections restate what the admitting team knew."""
    undated_exam: Literal["keep", "drop"] = "keep"
    """Treatment of a physical exam that names neither admission nor discharge. By custom it is the admission's: `keep`
    uses and counts it, `drop` leaves it out."""
    outcome_statements: Literal["report", "remove"] = "report"
    """Treatment of a sentence in an admission section that states the outcome ("patient expired"): `report` keeps it
    and makes the leakage audit fail; `remove` takes the sentence out and counts it."""
    radiology_parts: tuple[str, ...] = ("examination", "indication", "findings", "impression")
    """Parts of a radiology report that are used; a report without any recognised heading is used whole."""
    max_characters: Number = Field(default=200_000, ge=100)
    """A note longer than this is a broken row: it is left out and counted."""

    @field_validator("discharge_sections")
    @classmethod
    def _sections(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, DISCHARGE_SECTIONS, "discharge section")

    @field_validator("radiology_parts")
    @classmethod
    def _parts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, RADIOLOGY_PARTS, "radiology part")


class ImagesConfig(Section):
    """Choice of the chest X-ray that stands for a stay, and its stored size."""

    views: tuple[str, ...] = ("AP",)
    """Values of `ViewPosition` that count (`AP`, `PA`, `LATERAL`, `LL`, …)."""
    which: Literal["last", "first"] = "last"
    """Study that is used of those between hospital admission and cut-off."""
    size: int = Field(default=224, ge=8, le=4096)
    """Side of the stored square in pixels."""
    max_damaged_share: Share = 0.1
    """Largest share of damaged images that are left out and counted; a larger share is an error."""

    @field_validator("views")
    @classmethod
    def _views(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one view must be named")
        return tuple(view.strip().upper() for view in value)


class DemographicsConfig(Section):
    """Columns of patients and admissions that become the tabular input."""

    columns: tuple[str, ...] = ADMISSION_COLUMNS[:-1]
    """Columns used; `age` is a number, the others are categories. Nothing recorded at discharge is accepted."""
    rare_share: Share = 0.01
    """A category with a smaller share of the training stays is pooled with the other rare ones."""

    @field_validator("columns")
    @classmethod
    def _columns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name in DISCHARGE_COLUMNS:
                raise ValueError(f"column {name!r} is recorded at discharge or after and cannot be an input")
        return _known(tuple("ethnicity" if name == "race" else name for name in value), ADMISSION_COLUMNS, "column")
