"""The MIMIC source and the rules by which its tables become a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from picme.config.base import File, FileSource, Section
from picme.config.bounds import Number
from picme.config.notes import DemographicsConfig, ImagesConfig, NotesConfig

GROUPS = ("gender", "ethnicity", "age_group")


class MimicSource(FileSource):
    """Folders of the MIMIC releases; only those that the configured modalities need must exist."""

    kind: Literal["mimic"] = "mimic"
    ehr: File
    """MIMIC-IV 1.0, 2.x or 3.x: the folder with `hosp/` and `icu/` (and `core/` in 1.0)."""
    notes: File | None = None
    """MIMIC-IV-Note: the folder with `note/discharge.csv.gz` and `note/radiology.csv.gz`."""
    cxr: File | None = None
    """MIMIC-CXR-JPG: the folder with `mimic-cxr-2.0.0-metadata.csv.gz` and `files/`."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """The columns of the stays that define subgroups."""
        return GROUPS


class CohortConfig(Section):
    """Rules that choose stays, measurements and labels."""

    min_age: Number = Field(18, ge=0)
    """Youngest age admitted, in years."""
    min_hours: Number = Field(48, ge=1)
    """Shortest ICU stay for the mortality task, and its prediction time, in hours after ICU admission."""
    max_hours: Number | None = Field(None, ge=1)
    """Most hours of a time series that are kept, from ICU admission on; all of them if not given."""
    channels: str | Path | None = None
    """Variables of the time series: `default`, `benchmark`, or the path of a YAML file in their format; the set that
    belongs to `extraction` if not given."""
    extraction: Literal["default", "benchmark"] = "default"
    """`benchmark` attaches and selects measurements exactly as the published extraction, faults included."""
    admit: Literal["prospective", "paper"] = "prospective"
    """`prospective`: nothing recorded after the task's prediction time is used. `paper`: notes and images of the whole
    admission are used."""
    phenotypes: str | Path = "ccs"
    """`ccs`: AHRQ's Clinical Classifications Software for ICD-9 and ICD-10. Or the path of a definitions file in the
    published benchmark's YAML format."""
    definitions: File | None = None
    """A definitions file to compare the labels with, for the table `label_agreement`."""
    max_bad_rows: float = Field(0.05, ge=0, le=1)
    """Largest share of unreadable rows of a table before the data are refused; fewer are counted."""
    notes: NotesConfig = NotesConfig()
    images: ImagesConfig = ImagesConfig()
    demographics: DemographicsConfig = DemographicsConfig()

    @model_validator(mode="after")
    def _consistent(self) -> CohortConfig:
        if self.max_hours is not None and self.max_hours < self.min_hours:
            raise ValueError(
                f"max_hours ({self.max_hours}) is below min_hours ({self.min_hours}), the mortality task's window"
            )
        return self

    @property
    def channel_set(self) -> str | Path:
        """Return the channel set in use."""
        return self.extraction if self.channels is None else self.channels
