"""Stays from a file with one JSON object a line, as a data warehouse may export them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from picme.config.base import Section
from picme.errors import DataError
from picme.schema import Extraction, SeriesRows, TableRows, View


class JSONLines:
    """Each line: `stay`, `patient`, the labels, a table of scalars and series as lists of hourly rows.

    A modality's `table` names the entry that holds it: an object for a table, a list with one row of numbers an hour
    for a series, of which hours after a task's prediction time are left out.
    """

    class Config(Section):
        kind: Literal["jsonl"] = "jsonl"
        path: Path
        """File with one stay a line."""

    @staticmethod
    def extract(config: Any, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, _: Any) -> Extraction:
        """A view for each task, and `pretrain` cut at its window."""
        lines = config.source.path.read_text(encoding="utf-8").splitlines()
        stays = sorted((json.loads(line) for line in lines), key=lambda stay: stay["stay"])
        hours = {name: task["hours"] for name, task in tasks.items()} | {"pretrain": config.pretrain.window}
        labels = {name: list(task["labels"]) for name, task in tasks.items()} | {"pretrain": []}
        views = {}
        for name, until in hours.items():
            columns = {"stay_id": "stay", "subject_id": "patient", **{label: label for label in labels[name]}}
            frame = pl.DataFrame({column: [stay.get(key) for stay in stays] for column, key in columns.items()})
            rows = {
                modality: _rows([stay.get(section["table"]) for stay in stays], section["kind"], until)
                for modality, section in modalities.items()
            }
            views[name] = View(name, frame, labels[name], [], rows)
        flow = [{"task": name, "step": "in the file", "stays": len(stays),
                 "subjects": len({stay["patient"] for stay in stays})} for name in views]  # fmt: skip
        return Extraction(views, pl.DataFrame(flow))


def _rows(entries: list[Any], kind: str, until: float | None) -> SeriesRows | TableRows:
    if kind == "tabular":
        present = np.array([entry is not None for entry in entries])
        return TableRows(pl.DataFrame([entry or {} for entry in entries]), present)
    if kind != "timeseries":
        raise DataError(f"a JSON-lines source has no modality of kind {kind!r}")
    series = [np.asarray(entry or [], dtype=np.float32)[: int(until) if until else None] for entry in entries]
    width = max(one.shape[1] for one in series if one.ndim == 2)
    values = np.concatenate([one.reshape(-1, width) for one in series])
    lengths = np.array([len(one) for one in series])
    return SeriesRows(values, lengths, [f"value {i}" for i in range(width)], [True] * width)
