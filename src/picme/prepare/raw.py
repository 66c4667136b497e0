"""List of the raw files that a study reads, for fingerprints; but for own tables that name files none is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from picme.errors import DataError
from picme.sources import EHR_TABLES, ENDINGS
from picme.tasks import build

if TYPE_CHECKING:
    from collections.abc import Collection

    from picme.config.study import Config


def raw_files(config: Config) -> list[Path]:
    """List the files whose change must change every result.

    Of MIMIC's image folders only the tables that list them count: hundreds of thousands of images would take minutes
    to stat. The images and texts that own tables name are in `listed_files`.

    Raises:
        DataError: if a configured path does not exist.
        ConfigError: if a task of another package cannot be loaded.
    """
    source = config.source
    files: list[Path] = []
    tables = {*EHR_TABLES, *(table for name, task in config.tasks.items() for table in build(name, task).tables)}
    for key in ("ehr", "notes", "cxr", "path"):
        value = getattr(source, key, None)
        if value is None:
            continue
        path = Path(value)
        if not path.exists():
            raise DataError(f"source.{key}: {path} does not exist; --set source.{key}=PATH says where it is")
        if source.kind == "meds":
            files += [*path.glob("data/**/*.parquet"), *path.glob("metadata/*")]
        else:
            files += [path] if path.is_file() else _tables(path, only=tables if key == "ehr" else None)
    for name, modality in config.modalities.items():
        own = getattr(modality, "path", None)
        if own is not None:
            if not Path(own).is_file():
                raise DataError(f"modalities.{name}.path: {own} does not exist")
            files.append(Path(own))
    for name, task in config.tasks.items():
        if task.file is not None:
            if not task.file.exists():
                raise DataError(f"tasks.{name}.file: {task.file} does not exist")
            files += [task.file] if task.file.is_file() else task.file.glob("**/*.parquet")
    # What says how codes and items are read; a name is that of a file which picme ships.
    rules = [
        getattr(source, "layout", None),
        config.cohort.channels,
        *(one.channels for one in config.modalities.values()),
    ]
    files += [Path(rule).absolute() for rule in rules if rule is not None and Path(rule).is_file()]
    splits = config.splits
    for key, listed in (("test_list", splits.test_list), ("val_list", splits.val_list)):
        if listed is not None:
            if not listed.is_file():
                raise DataError(f"splits.{key}: {listed} does not exist")
            files.append(listed)
    return sorted(set(files))


def listed_files(config: Config) -> dict[Path, list[Path]]:
    """List the images and text files that own tables name, by the folder in which their paths start.

    Raises:
        DataError: if a table cannot be read.
    """
    if config.source.kind != "table":
        return {}
    from picme.sources.table_kinds import named_files

    return named_files(config.source, {name: dict(section) for name, section in config.modalities.items()})


def _tables(folder: Path, only: Collection[str] | None) -> list[Path]:
    """List the tables and archives in a folder and one level below; only those of these names, if any are given."""
    endings = (*ENDINGS, ".zip", ".tar.gz", ".tgz", ".txt")
    found = [
        item
        for pattern in ("*", "*/*")
        for item in folder.glob(pattern)
        if item.is_file() and item.name.lower().endswith(endings)
    ]
    if only is not None:
        found = [item for item in found if item.name.split(".")[0] in only]
    return found
