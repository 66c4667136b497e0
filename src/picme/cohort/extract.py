"""Extraction of views from the configured source; each kind of source is matched with its reader here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.errors import ConfigError
from picme.registry import Registry
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.schema import Extraction

# Each reader takes (config, modalities, tasks, scratch folder, synthetic hospital). A source of another package is a
# class with `Config`, its section, and such a function `extract`.
SOURCES = Registry(
    "sources",
    {
        "mimic": "picme.cohort.extract:from_mimic",
        "synthetic": "picme.cohort.extract:from_synthetic",
        "physionet2012": "picme.cohort.extract:from_physionet2012",
        "table": "picme.cohort.extract:from_table",
        "meds": "picme.cohort.extract:from_meds",
    },
)
LABELLED_BY_FILE = ("mimic", "meds")
"""Sources whose subjects and times are those of a MEDS data set, so that labels made from one fit."""


def extract(config: Any, scratch: Path, hospital: Path | None) -> Extraction:
    """Extract the views of all tasks and of pretraining; absent modalities are marked and every exclusion is counted.

    Args:
        config: the study, as its configuration or as the step `Prepare`; both have `source`, `cohort`, `modalities`,
            `tasks`, `splits` and `pretrain.window`.
        scratch: folder for intermediate files.
        hospital: folder in which a synthetic source has been written.

    Raises:
        ConfigError, DataError: if the data do not fit the configuration.
    """
    modalities = {
        name: {key: value for key, value in dict(section).items() if key != "encoder"}
        for name, section in config.modalities.items()
    }
    tasks = {
        name: {**section.model_dump(), "window_hours": build_task(name, section).hours}
        for name, section in config.tasks.items()
    }
    for name, section in config.tasks.items():
        if section.file is not None and config.source.kind not in LABELLED_BY_FILE:
            raise ConfigError(
                f"tasks.{name}.file is for sources {' and '.join(LABELLED_BY_FILE)}, not {config.source.kind}"
            )
    reader = SOURCES.load(config.source.kind)
    found: Extraction = getattr(reader, "extract", reader)(config, modalities, tasks, scratch, hospital)
    return found


def from_mimic(
    config: Any, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """Read the MIMIC releases."""
    from picme.cohort.by_column import column_of
    from picme.cohort.mimic import extract as read

    divider = column_of(config.splits, usual="anchor_year_group")
    own, labels = by_file(config.tasks)
    return read(config.source, config.cohort, modalities, own, config.pretrain.window, scratch, divider, labels)


def by_file(tasks: Any) -> tuple[list[str], dict[str, Path]]:
    """Tell tasks that make their labels from those whose labels are in a file: their names, and name → file."""
    labels = {name: section.file for name, section in tasks.items() if section.file is not None}
    return [name for name in tasks if name not in labels], labels


def from_meds(
    config: Any, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """Read a MEDS data set."""
    from picme.cohort.meds import divider_of
    from picme.cohort.meds import extract as read

    divider = divider_of(config.source, config.splits)
    own, labels = by_file(config.tasks)
    return read(config.source, config.cohort, modalities, own, config.pretrain.window, scratch, divider, labels)


def from_synthetic(
    config: Any, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """Read a synthetic hospital, in the same way as the MIMIC releases."""
    from picme.cohort.mimic import extract as read
    from picme.config.cohort import MimicSource

    if hospital is None:
        raise ConfigError("a synthetic source has to be written before it is read")
    cxr = hospital / "cxr"
    source = MimicSource(ehr=hospital / "ehr", notes=hospital / "notes", cxr=cxr if cxr.is_dir() else None)
    from picme.cohort.by_column import column_of

    divider = column_of(config.splits, usual="anchor_year_group")
    return read(source, config.cohort, modalities, list(tasks), config.pretrain.window, scratch, divider)


def from_physionet2012(
    config: Any, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """Read the PhysioNet 2012 challenge."""
    from picme.sources.physionet2012 import extract as read

    return read(config.source, config.cohort.max_hours, modalities, tasks, config.pretrain.window)


def from_table(
    config: Any, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """Read the user's own files."""
    from picme.sources.table import extract as read
    from picme.tasks import build

    # The labels and the prediction time of a registered task are in its declaration.
    known = {name: build(name, section) for name, section in config.tasks.items()}
    tasks = {
        name: {**section, "labels": known[name].labels, "window_hours": known[name].hours}
        for name, section in tasks.items()
    }
    from picme.cohort.by_column import column_of

    divider = None if config.source.unlabelled else column_of(config.splits)
    if (divider is not None or config.splits.folds) and config.source.split is not None:
        raise ConfigError(
            f"source.split gives the division with the data, so splits.kind cannot be {config.splits.kind!r}"
        )
    return read(config.source, modalities, tasks, config.cohort.max_hours, config.pretrain.window, divider)
