"""MEDS data sets on disk: their files, checked against the standard's own schemas.

What the standard leaves open is read: any subfolder of `data/`, any string type. Integers, floats and times of another
width are converted, and a sentence says so. All else is refused in one sentence that names file and column.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from flexible_schema import SchemaValidationError
from meds import (
    DataSchema,
    DatasetMetadataSchema,
    LabelSchema,
    SubjectSplitSchema,
    code_metadata_filepath,
    data_subdirectory,
    dataset_metadata_filepath,
    held_out_split,
    subject_splits_filepath,
    train_split,
    tuning_split,
)

from picme.errors import ConfigError, DataError
from picme.sources.meds_layout import Layout, load, names, recognise
from picme.sources.tables import TIME, reading

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

SPLITS = {train_split: "train", tuning_split: "val", held_out_split: "test"}
"""The standard's names of the splits, and picme's."""


@dataclass(frozen=True)
class MedsFiles:
    """The files of a data set.

    Attributes:
        path: the data set's folder.
        alike: schema → files of events, those of one schema together; in the order in which they are scanned.
        columns: columns that at least one shard has, and their types.
        dataset: content of `dataset.json`; empty where it is absent.
        layout: the meaning of the codes.
        name: the layout's name, or the path of its file.
        notes: sentences about what was converted or is absent.
    """

    path: Path
    alike: tuple[tuple[frozenset[str], tuple[Path, ...]], ...]
    columns: dict[str, pa.DataType]
    dataset: dict[str, Any]
    layout: Layout
    name: str
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: Path, layout: str | Path | None = None) -> MedsFiles:
        """Find the files of a data set, and check their schemas.

        Args:
            path: the data set's folder.
            layout: name or path of the layout; `dataset.json` decides if not given.

        Raises:
            ConfigError: if no layout is named, and none can be told.
            DataError: if there are no events, or a schema does not fit; names the file and the column.
        """
        folder = path / data_subdirectory
        shards = sorted(item for item in folder.glob("**/*.parquet") if item.is_file())
        if not shards:
            raise DataError(f"{path} is no MEDS data set: expected events in {data_subdirectory}/**/*.parquet")
        notes: dict[str, None] = {}
        found: dict[str, pa.DataType] = {}
        alike: dict[pa.Schema, list[Path]] = {}
        for shard in shards:
            schema = events_schema(shard, notes)
            alike.setdefault(schema, []).append(shard)
            for column, kind in zip(schema.names, schema.types, strict=True):
                known = found.setdefault(column, kind)
                if family(known) != family(kind):
                    raise DataError(f"{shard}: column {column!r} is {kind}, in other files of the data set {known}")
        dataset, said = _dataset(path)
        notes |= dict.fromkeys(said)
        name = layout or recognise(dataset)
        if name is None:
            known = ", ".join(names())
            raise ConfigError(
                f"source.layout is needed: {path / dataset_metadata_filepath} "
                f"{'names no extractor that is known' if dataset else 'is absent'}; known layouts: {known}"
            )
        meaning = load(name)
        ids = ("subject_id", meaning.admission_id, meaning.stay_id, meaning.note_id, *meaning.columns.values())
        for schema, files in alike.items():
            for file in files:
                check_range(file, schema, ids)
        groups = tuple((frozenset(schema.names), tuple(files)) for schema, files in alike.items())
        return cls(path, groups, found, dataset, meaning, str(name), tuple(notes))

    @property
    def shards(self) -> list[Path]:
        """The files of events, in the order in which they are scanned."""
        return [shard for _, shards in self.alike for shard in shards]

    @cached_property
    def rows_of(self) -> list[int]:
        """The number of events of each shard."""
        return [pq.read_metadata(shard).num_rows for shard in self.shards]

    @property
    def rows(self) -> int:
        """The number of events."""
        return sum(self.rows_of)

    def column(self, name: str | None) -> str | None:
        """Return the name of a column if the data set has it."""
        return name if name in self.columns else None

    @property
    def image_path(self) -> str | None:
        """The column with the paths of images: the layout's, or the only further value column that is a text."""
        if self.layout.image_path is not None:
            return self.column(self.layout.image_path)
        listed = self.dataset.get("additional_value_modality_columns") or []
        texts = [one for one in listed if one in self.columns and family(self.columns[one]) == "text"]
        return texts[0] if len(texts) == 1 else None

    def scan(self, columns: list[str]) -> pl.LazyFrame:
        """Scan columns of all shards, one after the other, in the types of the standard; what a shard lacks is null."""
        kinds = {name: STANDARD.get(name) or TYPES.get(family(self.columns[name]), pl.String) for name in columns}
        parts = []
        for schema, shards in self.alike:
            frame = pl.scan_parquet(list(shards))
            parts.append(
                frame.select(
                    (pl.col(name).cast(kind) if name in schema else pl.lit(None, kind)).alias(name)
                    for name, kind in kinds.items()
                )
            )
        return pl.concat(parts) if len(parts) > 1 else parts[0]

    def collect(self, *frames: pl.LazyFrame) -> list[pl.DataFrame]:
        """Run plans over the events, which share one scan of the files.

        Raises:
            DataError: if a file is damaged; names it.
        """
        try:
            return pl.collect_all(frames, engine="streaming")
        except (pl.exceptions.PolarsError, OSError):
            for shard in self.shards:
                with reading(shard):
                    pl.scan_parquet(shard).select(pl.all().null_count()).collect(engine="streaming")
            raise

    def codes(self) -> pl.Series | None:
        """Read the codes that `codes.parquet` lists, each once; None where the file is absent.

        Raises:
            DataError: if the file is damaged or has no column `code`.
        """
        file = self.path / code_metadata_filepath
        if not file.is_file():
            return None
        with reading(file):
            frame = pl.scan_parquet(file)
            if "code" not in frame.collect_schema():
                raise DataError(f"{file} has no column 'code'")
            return frame.select(pl.col("code").cast(pl.String).drop_nulls().unique().sort()).collect().to_series()

    def subject_splits(self) -> pl.DataFrame:
        """Read subject_id and `split` (`train`, `val`, `test`; null for another one).

        Raises:
            DataError: if the file is absent or damaged, its schema does not fit, or a subject is in it twice.
        """
        file = self.path / subject_splits_filepath
        if not file.is_file():
            raise DataError(f"{file} does not exist: set source.subject_splits to false to divide by `splits`")
        frame = standard_table(file, SubjectSplitSchema, {"subject_id": pl.Int64, "split": pl.String})
        if frame["subject_id"].is_duplicated().any():
            raise DataError(f"{file}: column 'subject_id' has a subject twice")
        return frame.with_columns(
            pl.col("split").replace_strict(SPLITS, default=None, return_dtype=pl.String).alias("split")
        )


STANDARD: dict[str, Any] = {
    "subject_id": pl.Int64,
    "time": TIME,
    "code": pl.String,
    "numeric_value": pl.Float32,
    "text_value": pl.String,
}
"""Columns of the standard, in its types."""
TYPES: dict[str, Any] = {"whole number": pl.Int64, "number": pl.Float64, "time": TIME, "text": pl.String}


def family(kind: pa.DataType) -> str:
    """Name the family of types that can be read alike."""
    if pa.types.is_dictionary(kind):
        return family(kind.value_type)
    if pa.types.is_integer(kind):
        return "whole number"
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_timestamp(kind):
        return "time with a zone" if kind.tz is not None else "time"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return str(kind)


def events_schema(shard: Path, notes: dict[str, None]) -> pa.Schema:
    """Read the schema of a shard, and check it against the standard's; conversions are told in `notes`.

    Raises:
        DataError: if the file is no Parquet file, a column is missing, or its type cannot be converted.
    """
    with reading(shard):
        try:
            schema = pq.read_schema(shard)
        except pa.ArrowInvalid:
            raise DataError(f"{shard} cannot be read; a Parquet file was expected") from None
    check_schema(shard, schema, DataSchema, notes)
    return schema.remove_metadata()


def check_schema(
    file: Path, schema: pa.Schema, standard: Any, notes: dict[str, None], only: Collection[str] | None = None
) -> None:
    """Check a schema against one of the standard; with `only`, the types of these columns alone.

    Raises:
        DataError: if a column is missing or surplus, or its type cannot be converted; names the column.
    """
    try:
        standard.validate(schema)
    except SchemaValidationError as error:
        if error.missing_req_cols:
            named = ", ".join(repr(name) for name in error.missing_req_cols)
            raise DataError(f"{file} has no column {named}, which MEDS data have") from None
        for name, wanted, found in error.mistyped_cols:
            if only is not None and name not in only:
                continue
            if family(found) == "time with a zone":
                raise DataError(
                    f"{file}: column {name!r} has times with the zone {found.tz}, MEDS has times without one; "
                    "take the zone off before writing"
                ) from None
            same = family(wanted) == family(found)
            if not same and not (family(wanted) == "number" and family(found) == "whole number"):
                raise DataError(f"{file}: column {name!r} is {found}, MEDS has {wanted}") from None
            if family(found) != "text":
                notes[f"Column {name!r} of {file.parent.name}/ is {found}, MEDS has {wanted}: it was converted."] = None


def check_range(file: Path, schema: pa.Schema, columns: Collection[str | None]) -> None:
    """Check that the whole numbers of columns fit int64, the standard's type; only those of uint64 are read.

    Raises:
        DataError: if one is too large; names the column.
    """
    wide = [name for name in schema.names if name in columns and pa.types.is_uint64(schema.field(name).type)]
    if not wide:
        return
    with reading(file):
        largest = pl.scan_parquet(file).select(pl.col(wide).max()).collect(engine="streaming").row(0, named=True)
    limit = np.iinfo(np.int64).max
    for name, value in largest.items():
        if value is not None and value > limit:
            raise DataError(f"{file}: column {name!r} has numbers above {limit}, which MEDS' type int64 cannot hold")


def standard_table(file: Path, standard: Any, types: dict[str, Any]) -> pl.DataFrame:
    """Read a small file of the standard: the columns of `types`, without nulls.

    Raises:
        DataError: if it is damaged, or a column is missing, of another type, has nulls, or too large numbers.
    """
    with reading(file):
        try:
            schema = pq.read_schema(file)
        except pa.ArrowInvalid:
            raise DataError(f"{file} cannot be read; a Parquet file was expected") from None
        check_schema(file, schema, standard, {}, types)
        missing = [name for name in types if name not in schema.names]
        if missing:
            raise DataError(f"{file} has no column {missing[0]!r}, which is needed")
        check_range(file, schema, types)
        frame = pl.read_parquet(file, columns=list(types)).select(
            pl.col(name).cast(kind) for name, kind in types.items()
        )
    for name in types:
        nulls = frame[name].null_count()
        if nulls:
            raise DataError(f"{file}: column {name!r} is empty in {nulls} of {frame.height} rows")
    return frame


def read_labels(path: Path) -> pl.DataFrame:
    """Read labels in the MEDS label schema, from a file or a folder of them: subject_id, prediction_time, label.

    Raises:
        DataError: if there is no such file, or a file does not fit the schema.
    """
    files = [path] if path.is_file() else sorted(path.glob("**/*.parquet"))
    if not files:
        raise DataError(
            f"{path} is neither a Parquet file nor a folder of them; labels in the MEDS label schema expected"
        )
    types = {"subject_id": pl.Int64, "prediction_time": TIME, "boolean_value": pl.Boolean}
    parts = [standard_table(file, LabelSchema, types) for file in files]
    return pl.concat(parts).rename({"boolean_value": "label"})


def stays_listed(path: Path) -> int:
    """Return the number of subjects that `subject_splits.parquet` lists, for an estimate of time; 0 if it is absent."""
    file = path / subject_splits_filepath
    return int(pl.scan_parquet(file).select(pl.len()).collect().item()) if file.is_file() else 0


def _dataset(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Read `dataset.json`, and say if it is absent.

    Raises:
        DataError: if it is not what the standard says.
    """
    file = path / dataset_metadata_filepath
    if not file.is_file():
        return {}, [f"{file} is absent: which extractor wrote the data is not known."]
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{file} is not JSON") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected keys such as dataset_name and etl_name")
    try:
        DatasetMetadataSchema.validate(content)
    except Exception:  # flexible_schema has no common error for a document that does not fit
        return content, [f"{file} does not fit the standard's schema."]
    return content, []
