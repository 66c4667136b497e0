"""Recognition of a folder by the tables in it: which data set it holds, for messages and for `picme check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.errors import DataError
from picme.sources import ENDINGS
from picme.sources.tables import columns

if TYPE_CHECKING:
    from pathlib import Path

# Data set → names of tables that it alone has, in lower case, and how many of them must be there.
_SIGNS: tuple[tuple[str, frozenset[str], int], ...] = (
    ("MIMIC-III", frozenset(("noteevents", "inputevents_mv", "inputevents_cv", "procedureevents_mv", "callout")), 2),
    ("eICU", frozenset(("patient", "vitalperiodic", "vitalaperiodic", "apachepatientresult", "admissiondx")), 2),
    ("MIMIC-IV-Note", frozenset(("discharge", "discharge_detail", "radiology", "radiology_detail")), 1),
    ("MIMIC-IV", frozenset(("icustays", "admissions", "chartevents")), 1),
)
# Tables whose columns tell MIMIC-III where it has been renamed and reduced to what MIMIC-IV has, too.
_TELLING = {"icustays": "icustay_id", "admissions": "has_chartevents_data", "patients": "dob"}
OTHERS = ("MIMIC-III", "eICU")
"""Data sets that look like MIMIC-IV and are not read."""


def recognise(folder: Path) -> str | None:
    """Name the data set whose tables are in a folder or one level below; None if none is recognised."""
    files = [item for pattern in ("*", "*/*") for item in folder.glob(pattern) if item.name.endswith(ENDINGS)]
    names = {item.name.split(".")[0].lower(): item for item in reversed(files)}
    if any("metadata" in item.name and "cxr" in item.name for item in files):
        return "MIMIC-CXR-JPG"
    for title, signs, needed in _SIGNS[:2]:
        if len(signs & names.keys()) >= needed:
            return title
    for name, column in _TELLING.items():
        if name in names and column in {found.lower() for found in _columns(names[name])}:
            return "MIMIC-III"
    return next((title for title, signs, _ in _SIGNS[2:] if signs & names.keys()), None)


def _columns(path: Path) -> list[str]:
    try:
        return columns(path)
    except DataError:
        return []


def it_holds(folder: Path, expected: str) -> str:
    """Say what a folder holds instead of what was expected, as the end of a message; empty if that is not known."""
    found = recognise(folder) if folder.is_dir() else None
    if found is None or found == expected:
        return ""
    if found in OTHERS:
        return f". {other(found)}"
    return f". It holds {found}: are two folders of the source swapped?"


def other(name: str) -> str:
    """Say what can be done with a data set that is not read."""
    return (
        f"It holds {name}, whose tables and items are others than those of MIMIC-IV and are not read; take MIMIC-IV, "
        f"or bring the data of {name} into tables of your own (source.kind: table)"
    )
