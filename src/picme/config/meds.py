"""Configuration of the MEDS source: where the events of a hospital lie, and how their codes are read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from picme.config.base import File, FileSource
from picme.config.cohort import GROUPS


class MedsSource(FileSource):
    """A hospital's events in the Medical Event Data Standard (MEDS, version 0.4)."""

    kind: Literal["meds"] = "meds"
    path: File
    """Folder of the data set, with `data/` and `metadata/`."""
    layout: str | Path | None = None
    """Meaning of the codes: `mimic-iv`, `eicu`, or the path of a YAML file in their format. Where it is not given,
    `metadata/dataset.json` says which extractor wrote the data."""
    subject_splits: bool = False
    """True for the division in `metadata/subject_splits.parquet` (train, tuning, held_out become train, val, test);
    otherwise `splits` divides the subjects."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """The columns of the stays that define subgroups."""
        return GROUPS
