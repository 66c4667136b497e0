"""The record of a run, `run.json`, and whether the results beside it are those of the folder's configuration."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from picme.config.loading import read_yaml
from picme.engine.step import key_of

if TYPE_CHECKING:
    from pathlib import Path

# What belongs to one configuration; the record comes last, so that it is known until then whose the others are.
BELONGING = ("results", "report.html", "config.yaml", "run.json")


def read_record(folder: Path) -> dict[str, Any]:
    """Return what `run.json` holds; empty where there is none."""
    file = folder / "run.json"
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return record


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
    kept = folder / "earlier" / (read_record(folder).get("config") or "unknown")
    kept.mkdir(parents=True, exist_ok=True)
    for name in BELONGING:
        if (folder / name).exists():
            if (kept / name).is_dir():
                shutil.rmtree(kept / name)
            (folder / name).rename(kept / name)
