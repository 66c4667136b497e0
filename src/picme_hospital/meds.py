"""The synthetic hospital as a data set in the Medical Event Data Standard (MEDS 0.4).

The codes are those that the public extractor of MIMIC-IV writes. What it leaves out is here, too: the time of storage,
notes, and the paths of chest films, in codes and columns that `metadata/dataset.json` names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

SUBJECTS = 2000
"""The number of subjects of a shard."""
TIME = pl.Datetime("us")
IDS = ("hadm_id", "icustay_id", "note_id")
OF_ADMISSION = ("race", "insurance", "language", "marital_status")
IMAGE = "image_path"
COLUMNS: dict[str, Any] = {
    "subject_id": pl.Int64,
    "time": TIME,
    "code": pl.String,
    "numeric_value": pl.Float32,
    "text_value": pl.String,
    "storetime": TIME,
    "hadm_id": pl.Int64,
    "icustay_id": pl.Int64,
    "note_id": pl.String,
    **dict.fromkeys(OF_ADMISSION, pl.String),
    IMAGE: pl.String,
}
SPLITS = {"train": 7, "tuning": 1, "held_out": 2}
"""The parts of the subjects, in tenths by the last digit of their number."""


def write(release: Path, folder: Path, images: bool) -> None:
    """Write the releases of a hospital once more, as a MEDS data set: no event more, and none less.

    Args:
        release: The folder that `write_hospital` wrote; its films and true risks are moved to `folder`.
        folder: The folder of the data set.
        images: Whether there are chest films.
    """
    parts = [*_stays(release / "ehr"), *_measurements(release / "ehr"), *_notes(release / "notes")]
    if images:
        parts.append(_films(release / "cxr"))
        (release / "cxr" / "files").rename(folder / "images")
    events = release / "events.parquet"
    pl.concat([_whole(part) for part in parts]).sink_parquet(events)
    _shards(events, folder / "data")
    _metadata(events, release / "ehr", folder / "metadata")
    (release / "truth.parquet").rename(folder / "truth.parquet")


def _table(file: Path) -> pl.LazyFrame:
    """Read a table of a release, all cells as text."""
    return pl.scan_csv(file, infer_schema=False)


def _whole(part: pl.LazyFrame) -> pl.LazyFrame:
    """Bring events to all columns in their types; cells are text until here."""
    there = part.collect_schema()
    return part.select(
        (_typed(name, kind, there[name]) if name in there else pl.lit(None, kind)).alias(name)
        for name, kind in COLUMNS.items()
    )


def _typed(name: str, kind: Any, found: Any) -> pl.Expr:
    value = pl.col(name)
    if kind == TIME and found == pl.String:
        return value.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us")
    return value.cast(kind)


def _code(*parts: str) -> pl.Expr:
    """Join words and columns (`$name`) to a code; an empty cell is UNK."""
    cells = [pl.col(part[1:]).fill_null("UNK") if part.startswith("$") else pl.lit(part) for part in parts]
    return pl.concat_str(cells, separator="//").alias("code")


def _stays(ehr: Path) -> list[pl.LazyFrame]:
    """Return the events of patients, admissions, ICU stays, transfers and diagnoses."""
    patients, admissions = _table(ehr / "hosp/patients.csv.gz"), _table(ehr / "hosp/admissions.csv.gz")
    icu, transfers = _table(ehr / "icu/icustays.csv.gz"), _table(ehr / "hosp/transfers.csv.gz")
    born = pl.col("anchor_year").cast(pl.Int32) - pl.col("anchor_age").cast(pl.Int32)
    deaths = admissions.group_by("subject_id").agg(pl.col("deathtime").drop_nulls().min())
    dead = patients.join(deaths, on="subject_id", how="left").with_columns(
        time=pl.coalesce("deathtime", pl.col("dod") + " 00:00:00")
    )
    diagnoses = _table(ehr / "hosp/diagnoses_icd.csv.gz").join(
        admissions.select("hadm_id", time="dischtime"), on="hadm_id", how="left"
    )
    unit = {"hadm_id": "hadm_id", "icustay_id": "stay_id"}
    return [
        patients.select("subject_id", _code("GENDER", "$gender")),
        patients.select("subject_id", _code("ANCHOR_YEAR_GROUP", "$anchor_year_group")),
        patients.select("subject_id", time=pl.datetime(born, 1, 1, time_unit="us"), code=pl.lit("MEDS_BIRTH")),
        dead.drop_nulls("time").select("subject_id", "time", code=pl.lit("MEDS_DEATH")),
        admissions.select(
            *("subject_id", "hadm_id", *OF_ADMISSION),
            _code("HOSPITAL_ADMISSION", "$admission_type", "$admission_location"),
            time="admittime",
        ),
        admissions.select(
            "subject_id", "hadm_id", _code("HOSPITAL_DISCHARGE", "$discharge_location"), time="dischtime"
        ),
        icu.select("subject_id", _code("ICU_ADMISSION", "$first_careunit"), time="intime", **unit),
        icu.select("subject_id", _code("ICU_DISCHARGE", "$last_careunit"), time="outtime", **unit),
        transfers.select("subject_id", "hadm_id", _code("TRANSFER_TO", "$eventtype", "$careunit"), time="intime"),
        diagnoses.select("subject_id", "hadm_id", "time", _code("DIAGNOSIS", "ICD", "$icd_version", "$icd_code")),
    ]


def _measurements(ehr: Path) -> list[pl.LazyFrame]:
    """Return the events of the charts and the laboratory, and the output of fluids."""
    shared = {"time": "charttime", "numeric_value": "valuenum", "text_value": "value"}
    charts, labs = _table(ehr / "icu/chartevents.csv.gz"), _table(ehr / "hosp/labevents.csv.gz")
    outputs = _table(ehr / "icu/outputevents.csv.gz")
    code = _code("LAB", "$itemid", "$valueuom")
    return [
        charts.select("subject_id", "storetime", "hadm_id", code, icustay_id="stay_id", **shared),
        labs.select("subject_id", "storetime", "hadm_id", code, **shared),
        outputs.select(
            *("subject_id", "storetime", "hadm_id", _code("SUBJECT_FLUID_OUTPUT", "$itemid", "$valueuom")),
            icustay_id="stay_id",
            time="charttime",
            numeric_value="value",
        ),
    ]


def _notes(notes: Path) -> list[pl.LazyFrame]:
    """Return the events of discharge summaries and radiology reports."""
    return [
        _table(notes / f"{table}.csv.gz").select(
            *("subject_id", "storetime", "hadm_id", "note_id", _code("NOTE", table.upper(), "$note_type")),
            time="charttime",
            text_value="text",
        )
        for table in ("discharge", "radiology")
    ]


def _films(cxr: Path) -> pl.LazyFrame:
    """Return the events of chest films, with their paths below the data set's folder."""
    clock = pl.col("StudyTime").str.split(".")
    number, fraction = clock.list.get(0).str.zfill(6), clock.list.get(1)
    moment = pl.concat_str(pl.col("StudyDate"), pl.lit(" "), number, pl.lit("."), fraction)
    subject = pl.col("subject_id")
    path = pl.format("images/p{}/p{}/s{}/{}.jpg", subject.str.slice(0, 2), subject, "study_id", "dicom_id")
    return _table(cxr / "mimic-cxr-2.0.0-metadata.csv.gz").select(
        "subject_id",
        _code("IMAGE", "CHEST", "$ViewPosition"),
        path.alias(IMAGE),
        time=moment.str.to_datetime("%Y%m%d %H%M%S%.f", time_unit="us"),
    )


def _shards(events: Path, folder: Path) -> None:
    """Write the events as the standard wants them: a subject's in one file, one after the other, in order of time."""
    import pyarrow.parquet as pq

    folder.mkdir()
    subjects = pl.scan_parquet(events).select("subject_id").unique().sort("subject_id").collect()["subject_id"]
    for number, start in enumerate(range(0, len(subjects), SUBJECTS)):
        part = subjects[start : start + SUBJECTS]
        mine = pl.scan_parquet(events).filter(pl.col("subject_id").is_between(part[0], part[-1]))
        ordered = mine.collect().sort("subject_id", "time", nulls_last=False, maintain_order=True)
        pq.write_table(ordered.to_arrow().cast(_schema()), folder / f"{number}.parquet", row_group_size=250_000)


def _schema() -> pa.Schema:
    """Return the columns in the types of the standard, which has strings of two sizes."""
    import pyarrow as pa

    kinds = {pl.Int64: pa.int64(), pl.Float32: pa.float32(), pl.String: pa.string(), TIME: pa.timestamp("us")}
    fields = [pa.field(name, kinds[kind]) for name, kind in COLUMNS.items()]
    return pa.schema([pa.field("text_value", pa.large_string()) if one.name == "text_value" else one for one in fields])


def _metadata(events: Path, ehr: Path, folder: Path) -> None:
    """Write `codes.parquet`, `subject_splits.parquet` and `dataset.json`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    found = pl.scan_parquet(events).select("subject_id", "code")
    codes = found.select(pl.col("code").unique().sort()).collect()
    labels = [_table(ehr / f"{table}.csv.gz").select("itemid", "label") for table in ("icu/d_items", "hosp/d_labitems")]
    titles = _table(ehr / "hosp/d_icd_diagnoses.csv.gz").select(
        _code("DIAGNOSIS", "ICD", "$icd_version", "$icd_code"), title="long_title"
    )
    described = (
        codes.with_columns(itemid=pl.col("code").str.extract(r"^(?:LAB|SUBJECT_FLUID_OUTPUT)//(\d+)//"))
        .join(pl.concat(labels).unique("itemid").collect(), on="itemid", how="left", maintain_order="left")
        .join(titles.unique("code").collect(), on="code", how="left", maintain_order="left")
        .select("code", description=pl.coalesce("label", "title"), parent_codes=pl.lit(None, pl.List(pl.String)))
    )
    text = pa.string()
    schema = pa.schema([("code", text), ("description", text), ("parent_codes", pa.list_(text))])
    pq.write_table(described.to_arrow().cast(schema), folder / "codes.parquet")
    tenth = pl.col("subject_id") % 10
    parts = [name for name, tenths in SPLITS.items() for _ in range(tenths)]
    splits = found.select(pl.col("subject_id").unique().sort()).collect()
    splits = splits.with_columns(split=tenth.replace_strict(dict(enumerate(parts)), return_dtype=pl.String))
    schema = pa.schema([("subject_id", pa.int64()), ("split", text)])
    pq.write_table(splits.to_arrow().cast(schema), folder / "subject_splits.parquet")
    about = {
        "dataset_name": "synthetic hospital",
        "dataset_version": "1",
        "etl_name": "picme_hospital, in the codes of MIMIC_IV_MEDS",
        "meds_version": "0.4.1",
        "raw_source_id_columns": list(IDS),
        "additional_value_modality_columns": [IMAGE],
        "other_extension_columns": ["storetime", *OF_ADMISSION],
    }
    (folder / "dataset.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
