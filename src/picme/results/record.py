"""The record of a run, `run.json`, and whether the results beside it are those of the folder's configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.config.loading import read_yaml
from picme.engine.step import key_of
from picme.engine.store import inside
from picme.errors import ConfigError, DataError, near

if TYPE_CHECKING:
    import os

    import polars as pl

FORMAT = 1
"""Number of the record's form, raised when an earlier version of picme could not read it."""
KINDS: dict[str, type] = {
    "format": int, "config": str, "raw": list, "code": dict, "stages": dict, "packages": dict, "machine": dict,
    "seconds": dict, "failures": list,
}  # fmt: skip
# What belongs to one configuration; the record comes last, so that it is known until then whose the others are.
BELONGING = ("results", "report.html", "config.yaml", "run.json")


def read_record(folder: Path) -> dict[str, Any]:
    """Return what `run.json` holds; empty where there is none.

    Raises:
        DataError: if it is damaged, or a newer version of picme wrote it.
    """
    file = folder / "run.json"
    if not file.is_file():
        return {}
    again = f"`picme run {folder}/config.yaml --out {folder}` writes it again from what is finished"
    try:
        record = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise DataError(f"{file} is damaged: it is no JSON; {again}") from None
    wrong = not isinstance(record, dict) or [
        key for key, kind in KINDS.items() if not isinstance(record.get(key) or kind(), kind)
    ]
    if wrong:
        what = f"{wrong[0]!r} is not what a run writes" if isinstance(wrong, list) else "it holds no record"
        raise DataError(f"{file} is damaged: {what}; {again}")
    if record.get("format", FORMAT) > FORMAT:
        newer = f" ({record['picme']})" if isinstance(record.get("picme"), str) else ""
        raise DataError(f"{file} was written by a newer picme{newer}; this version cannot read it")
    return dict(record)


def known_record(folder: Path) -> dict[str, Any]:
    """Return what `run.json` holds; empty where there is none that can be read, since a run writes it again."""
    try:
        return read_record(folder)
    except DataError:
        return {}


def read_table(file: Path) -> pl.DataFrame:
    """Read a result table or a cohort from its file.

    Raises:
        DataError: if it is damaged.
    """
    import polars as pl

    try:
        return pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{file} is damaged: it cannot be read as Parquet ({type(error).__name__}); `picme run` with the same --out"
            " writes it again"
        ) from None


def run_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the whole path of a run folder.

    Raises:
        ConfigError: if it is none.
    """
    path = Path(folder).expanduser().resolve()
    if not (path / "config.yaml").is_file():
        raise ConfigError(f"{path} is not a run folder: it has no config.yaml")
    return path


def result_tables(folder: Path) -> list[str]:
    """List the result tables of a run folder; none of a study that is not finished."""
    return [] if unfinished(folder) else sorted(file.stem for file in (folder / "results").glob("*.parquet"))


def result_table(folder: Path, name: str) -> pl.DataFrame:
    """Return a result table of a run folder.

    Raises:
        DataError: if it is not there or damaged, or the study is not finished.
    """
    if said := unfinished(folder):
        raise DataError(said)
    file = folder / "results" / f"{name}.parquet"
    if not file.is_file():
        raise DataError(f"{folder} has no table {name!r}{near(name, result_tables(folder))}")
    return read_table(file)


def study_hash(tree: dict[str, Any]) -> str:
    """Return a hash of a resolved configuration, without where its steps run: results belong to it."""
    return key_of({name: value for name, value in tree.items() if name != "execution"})


def unfinished(folder: Path) -> str | None:
    """Return one sentence where a folder's results are not those of its configuration, or not whole; else None.

    A run removes `run.json` before it writes results and writes it after them, with the hash of its configuration.
    """
    record = read_record(folder)
    if record and record.get("config") in (None, study_hash(read_yaml(folder / "config.yaml"))):
        return None  # earlier versions recorded no hash
    return f"the study in {folder} is not finished; go on with `picme run {folder}/config.yaml --out {folder}`"


def put_away(folder: Path) -> None:
    """Move results, report, configuration and record into `earlier/HASH`, a folder for each configuration."""
    kept = inside(folder / "earlier", known_record(folder).get("config") or "unknown")
    kept.mkdir(parents=True, exist_ok=True)
    for name in BELONGING:
        if (folder / name).exists():
            if (kept / name).is_dir():
                shutil.rmtree(kept / name)
            (folder / name).rename(kept / name)
