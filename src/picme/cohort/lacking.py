"""Check of the MIMIC releases for all that a study needs, from their folders alone: of tables only headers are read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from picme.cohort.check import MODALITIES, STAYS
from picme.cohort.hospital import EVENTS, IMAGES, NOTES, check_input
from picme.errors import DataError
from picme.sources.mimic_cxr import IMAGE_ENDINGS, find_metadata
from picme.sources.mimic_ehr import Release
from picme.sources.mimic_notes import find_notes
from picme.tasks import build

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config

# A table of a modality → its row in the result of `cohort.check`, where the two differ.
ROWS = {EVENTS: "timeseries", IMAGES: "image"}


def lacking(config: Config) -> dict[str, str]:
    """Return a sentence for each task and modality of a study on MIMIC that cannot be made, by its name.

    Where `source.ehr` is no release of MIMIC-IV, that is the one sentence.

    Raises:
        ConfigError: for a modality of an unknown table.
    """
    source, found = config.source, {}
    try:
        release = Release.open(source.ehr)
    except DataError as error:
        return {"source": str(error)}
    for name, section in config.tasks.items():
        without = [table for table in (*STAYS, *build(name, section).tables) if table not in release.files]
        if without:
            found[name] = f"task {name!r} cannot be made: {source.ehr} has no table {', '.join(without)}"
    for name, modality in config.modalities.items():
        try:
            check_input(name, modality.table, source)
        except DataError as error:
            found[name] = str(error)
            continue
        try:
            _look(modality.table, source, release)
        except DataError as error:
            found[name] = f"modality {name!r} cannot be made: {error}"
    return found


def _look(table: str | None, source: Any, release: Release) -> None:
    """Look for the files of a modality's table.

    Raises:
        DataError: if they are not there.
    """
    for needed in MODALITIES.get(ROWS.get(str(table), str(table)), ((), ()))[0]:
        if needed not in (*NOTES, "metadata", "images"):
            release.file(needed)
    if table in NOTES:
        find_notes(source.notes, table)
    if table == IMAGES:
        find_metadata(source.cxr)
        if not _any_image(source.cxr):
            raise DataError(
                f"{source.cxr} holds no image ({', '.join(IMAGE_ENDINGS)}); copy the release's `files` there"
            )


def _any_image(folder: Path) -> bool:
    """Return whether there is an image in or below a folder; the walk ends at the first."""
    files = (name for _, _, names in os.walk(folder, followlinks=True) for name in names)
    return any(name.lower().endswith(IMAGE_ENDINGS) for name in files)
