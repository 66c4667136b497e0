"""Sources other than MIMIC: the open PhysioNet 2012 challenge, and the user's own tables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from picme.config.base import File, FileSource
from picme.config.names import Column


class Physionet2012Source(FileSource):
    """The PhysioNet/Computing in Cardiology Challenge 2012: 48 hours of 4,000 ICU stays in each of its sets."""

    kind: Literal["physionet2012"] = "physionet2012"
    path: File
    """Folder with `set-a`, `set-b`, `set-c` (`.zip`, `.tar.gz` or folder) and their `Outcomes-a.txt`, …; any subset."""
    time_since: bool = False
    """Also give each series the days since every variable's last measurement; an encoder with `time_since` computes
    them from the masks itself."""
    unlabelled: bool = False
    """New stays for `picme predict`: outcomes may be missing, and nothing is divided into splits."""
    max_bad_rows: float = Field(0.05, ge=0, le=1)
    """Largest share of lines with one fault (no time or number, an unknown parameter, the RecordID of another record
    above) before the data are refused; fewer are counted."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """The columns of the stays that define subgroups."""
        return ("gender", "age_group", "icu_type", "set")


class TableSource(FileSource):
    """The user's own data: one Parquet or CSV file with one row per sample, or one file per modality.

    A modality's `folder`, and image paths where it has none, are relative to the folder of the file that holds the
    column.
    """

    kind: Literal["table"] = "table"
    path: File | None = None
    """File with one row per sample. Without it every modality has its own `path`, and `id` is needed."""
    id: str | None = None
    """Column of the sample id, one row each. Without it the row number (1, 2, …) is the id. Ids are text: blanks around
    them and the `.0` of a whole number do not count, all else does, leading zeros and capitals too."""
    subject: str | None = None
    """Column of the subject, who may have several samples and is never split. Without it each sample is a subject."""
    groups: tuple[Column, ...] = ()
    """Columns for subgroup results; empty cells become the group `unknown`."""
    split: str | None = None
    """Column holding `train`, `val` or `test`, where the division is given with the data."""
    unlabelled: bool = False
    """New samples for `picme predict`: label columns may be missing, and nothing is divided into splits."""
    max_bad_rows: float = Field(0.05, ge=0, le=1)
    """Largest share of unreadable rows of a long time-series file before the data are refused; fewer are counted."""
    outside: bool = False
    """Also read images and texts that lie outside the folder in which their paths start: by an absolute path, `..` or a
    link. Otherwise they are an error, since a table from elsewhere could name any file of this machine."""
    max_unmatched: float = Field(0.2, ge=0, le=1)
    """Largest share of a file's rows whose sample id is in no other file (in the source's own, where there is one)
    before the data are refused; fewer are counted."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """The columns of the stays that define subgroups."""
        return self.groups
