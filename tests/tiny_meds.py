"""Writes MEDS data sets of a few events, in the codes of the public extractors."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2150, 1, 1, 8, 0, 0)
SCHEMA: dict[str, Any] = {
    "subject_id": pl.Int64,
    "time": pl.Datetime("us"),
    "code": pl.String,
    "numeric_value": pl.Float32,
    "text_value": pl.String,
}
HEART_RATE = "LAB//220045//bpm"


def at(hours: float) -> datetime:
    """The time so many hours after START."""
    return START + timedelta(seconds=round(hours * 3600))


def event(subject: int, hours: float | None, code: str, number: float | None = None, **others: Any) -> dict[str, Any]:
    time = None if hours is None else at(hours)
    return {"subject_id": subject, "time": time, "code": code, "numeric_value": number, **others}


def patient(subject: int, hours: float = 60.0, begin: float = 0.0, **changes: Any) -> list[dict[str, Any]]:
    """One ICU stay: admitted two hours before, discharged from hospital a day after; `died` ends it in death."""
    end = begin + hours
    died = changes.get("died", False)
    place = "DIED" if died else "HOME"
    unit = changes.get("unit", "MICU")
    rows = [
        event(subject, None, f"GENDER//{changes.get('gender', 'F')}"),
        {**event(subject, 0, "MEDS_BIRTH"), "time": datetime(changes.get("born", 2090), 1, 1)},
        event(subject, begin - 2, "HOSPITAL_ADMISSION//URGENT//EMERGENCY ROOM"),
        event(subject, begin, f"ICU_ADMISSION//{unit}"),
        event(subject, end, f"ICU_DISCHARGE//{unit}"),
        event(subject, end + (0 if died else 24), f"HOSPITAL_DISCHARGE//{place}"),
        event(subject, end + (0 if died else 24), "DIAGNOSIS//ICD//9//4019"),
    ]
    return [*rows, event(subject, end, "MEDS_DEATH")] if died else rows


def write_meds_files(
    folder: Path,
    *shards: list[dict[str, Any]],
    etl: str | None = "MIMIC_IV_MEDS",
    schema: dict[str, Any] | None = None,
    codes: bool = True,
    ordered: bool = True,
    splits: dict[int, str] | None = None,
) -> Path:
    """Write events, each list to a file of its own, sorted as the standard wants unless `ordered` is false."""
    kinds = {**SCHEMA, **(schema or {})}
    (folder / "data").mkdir(parents=True)
    (folder / "metadata").mkdir()
    every = []
    for number, rows in enumerate(shards):
        further = {name: pl.String for row in rows for name in row if name not in kinds}
        frame = pl.DataFrame(rows, schema={**kinds, **further}, orient="row")
        if ordered:
            frame = frame.sort("subject_id", "time", nulls_last=False, maintain_order=True)
        frame.write_parquet(folder / "data" / f"{number}.parquet")
        every.append(frame.select("code"))
    if codes:
        pl.concat(every).drop_nulls().unique().sort("code").write_parquet(folder / "metadata" / "codes.parquet")
    if etl is not None:
        about = {"dataset_name": "tiny", "etl_name": etl, "additional_value_modality_columns": ["image_path"]}
        (folder / "metadata" / "dataset.json").write_text(json.dumps(about), "utf-8")
    if splits is not None:
        table = pl.DataFrame({"subject_id": list(splits), "split": list(splits.values())})
        table.write_parquet(folder / "metadata" / "subject_splits.parquet")
    return folder
