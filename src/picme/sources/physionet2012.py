"""Reader of the PhysioNet/CinC Challenge 2012: 48 hours of ICU stays in five modalities, labelled by death in hospital.

Silva, Moody, Scott, Celi, Mark: Predicting in-hospital mortality of ICU patients, Computing in Cardiology 2012.
One stay per subject; RecordID is both. Every stay is kept; a table without any measurement is a missing modality.
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.errors import ConfigError, DataError, near
from picme.schema import Extraction, Rows, SeriesRows, TableRows, View
from picme.sources.hourly import hourly, series
from picme.sources.physionet2012_files import find_sets, outcome_file, read_outcomes, read_set
from picme.sources.physionet2012_variables import DEMOGRAPHICS, GENDERS, ICU_TYPES, REPAIRS, SERIES, TABLES
from picme.sources.rows import take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.sources import Physionet2012Source

GROUPS = ["gender", "age_group", "icu_type"]
LABELS = ["mortality"]
# Records end after 48 hours, so a longer window sees the same.
HOURS = 48
# Added before the logarithm is taken, because zero (no urine in an hour) is a value too.
LOG_OFFSET = 0.1
AGE_BREAKS = [25, 35, 45, 55, 65, 75, 85]
AGE_BANDS = ["under 25", "25–34", "35–44", "45–54", "55–64", "65–74", "75–84", "85 and over"]

# Parameters are known whatever the case of their letters.
SPELT = {name.lower(): name for name in (*SERIES, *DEMOGRAPHICS)}

Counts = Counter[tuple[str, str]]


def extract(
    source: Physionet2012Source,
    cohort_max_hours: int | None,
    modalities: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, Mapping[str, Any]],
    window_hours: float,
) -> Extraction:
    """Read the sets in `source.path`.

    Args:
        source: the section that says where the files are.
        cohort_max_hours: longest series kept; None for all of the window.
        modalities: name → `table`: vitals, labs, blood_gas, fluids (time series) or demographics (tabular).
        tasks: name → section; the only label is `mortality`, predicted from the first 48 hours.
        window_hours: hours that the view `pretrain` sees.

    Returns:
        A view for each task and `pretrain`; `stays` has the column `set` (a, b, c) besides the schema's.

    Raises:
        ConfigError: if a modality or task asks for what the challenge does not have.
        DataError: if the files are missing, damaged or have too many unreadable lines.
    """
    tables = _tables(modalities)
    for name, task in tasks.items():
        for label in task.get("labels") or LABELS:
            if label not in LABELS:
                raise ConfigError(f"tasks.{name}.labels: physionet2012 has no label {label!r}{near(label, LABELS)}")
    counts: Counts = Counter()
    stays, lines = _read(source, counts)
    position = {stay: index for index, stay in enumerate(stays["stay_id"].to_list())}
    lines = lines.with_columns(pl.col("stay_id").replace_strict(position, return_dtype=pl.Int64).alias("stay"))
    admission, measured = _split(lines)
    demographics = _demographics(admission, len(stays), counts)
    measured = _plausible(measured, {name: (v.low, v.high) for name, v in SERIES.items()}, counts)
    stays = stays.with_columns(
        demographics["gender"].fill_null("unknown"),
        demographics["age"].cut(AGE_BREAKS, labels=AGE_BANDS, left_closed=True).cast(pl.String).fill_null("unknown")
        .alias("age_group"),
        demographics["icu_type"].fill_null("unknown"),
    ).select("stay_id", "subject_id", "set", *GROUPS, *LABELS)  # fmt: skip
    if source.unlabelled:
        # No model is trained on them, so they are all to be judged.
        stays = stays.with_columns(split=pl.lit("test"))

    cache: dict[int, dict[str, Rows]] = {}

    def view(name: str, hours: float, kept: pl.Series) -> View:
        length = max(1, min(ceil(hours), HOURS, cohort_max_hours or HOURS))
        if length not in cache:
            cache[length] = {
                modality: (
                    TableRows(demographics, _any_value(demographics))
                    if table == "demographics"
                    else _series(measured, table, len(stays), length, source.time_since)
                )
                for modality, table in tables.items()
            }
        rows = cache[length] if kept.all() else {m: take(r, kept.to_numpy()) for m, r in cache[length].items()}
        return View(name, stays.filter(kept), LABELS, GROUPS, rows)

    everyone = pl.repeat(True, len(stays), dtype=pl.Boolean, eager=True)
    known = everyone if source.unlabelled else stays["mortality"].is_not_null()
    views = {name: view(name, float(task.get("window_hours") or HOURS), known) for name, task in tasks.items()}
    views["pretrain"] = view("pretrain", window_hours, everyone)
    flow = []
    for name, kept in [*((name, known) for name in tasks), ("pretrain", everyone)]:
        flow.append((name, "records in sets " + ", ".join(stays["set"].unique().sort()), len(stays)))
        flow += [(name, "with an outcome", int(kept.sum()))] if name != "pretrain" and not source.unlabelled else []
    return Extraction(
        views=views,
        flow=pl.DataFrame(
            [(task, step, count, count) for task, step, count in flow],
            schema={"task": pl.String, "step": pl.String, "stays": pl.Int64, "subjects": pl.Int64},
            orient="row",
        ),
        quarantine=pl.DataFrame(
            [(*key, count) for key, count in sorted(counts.items()) if count],
            schema={"modality": pl.String, "reason": pl.String, "count": pl.Int64},
            orient="row",
        ),
        notes=["The challenge has no subject ids: each stay counts as its own subject."],
    )


def _tables(modalities: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Map each modality to its table of the challenge."""
    tables = {}
    for name, entry in modalities.items():
        table = entry.get("table")
        if table not in TABLES:
            raise ConfigError(
                f"modalities.{name}.table: physionet2012 has no table {table!r}{near(str(table), TABLES)}"
            )
        kind = "tabular" if table == "demographics" else "timeseries"
        if entry.get("kind", kind) != kind:
            raise ConfigError(f"modalities.{name}.kind must be {kind!r} for table {table!r}, not {entry['kind']!r}")
        tables[name] = table
    return tables


def _read(source: Physionet2012Source, counts: Counts) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read all sets: the stays (stay_id, subject_id, set, mortality) sorted by stay_id, and their lines."""
    seen: set[int] = set()
    stays, outcomes, lines = [], [], []
    for name, path in find_sets(source.path, source.unlabelled).items():
        records, frame = read_set(path, seen, counts)
        stays.append(pl.DataFrame({"stay_id": records}).with_columns(subject_id=pl.col("stay_id"), set=pl.lit(name)))
        if (given := outcome_file(source.path, name)) is not None:
            outcomes.append(read_outcomes(given).with_columns(file=pl.lit(given.name)))
        lines.append(frame)
    columns = {"stay_id": pl.Int64, "mortality": pl.Int8, "file": pl.String}
    outcome = pl.concat([pl.DataFrame(schema=columns), *outcomes])
    opposite = outcome.filter(pl.col("mortality").n_unique().over("stay_id") > 1)
    if len(opposite):
        files = " and ".join(str(source.path / name) for name in opposite["file"].unique(maintain_order=True))
        raise DataError(
            f"{files}: records with two outcomes that contradict each other: {opposite['stay_id'].n_unique()}; "
            "which one is true cannot be told, so leave one row for each"
        )
    outcome = outcome.drop("file")
    once = outcome.unique("stay_id", keep="first", maintain_order=True)
    table = pl.concat(stays).join(once, on="stay_id", how="left").sort("stay_id")
    counts["labels", "outcome given twice"] += len(outcome) - len(once)
    counts["labels", "outcome without a record"] += len(once.join(table, on="stay_id", how="anti"))
    counts["labels", "record without an outcome"] += table["mortality"].null_count()

    time = pl.col("time").str.strip_chars()
    clock = time.str.split_exact(":", 1)
    whole, minutes = (clock.struct.field(f"field_{part}").cast(pl.Float64, strict=False) for part in (0, 1))
    # The sign is asked for itself, because -00:05 has the number 0 for its hours.
    is_clock = ~time.str.starts_with("-") & minutes.is_between(0, 60, closed="left")
    parsed = pl.concat(lines).select(
        "stay_id",
        "foreign",
        pl.col("parameter").str.strip_chars().str.to_lowercase().replace_strict(SPELT, default=None).alias("parameter"),
        pl.when(is_clock).then(whole + minutes / 60).alias("hours"),
        pl.col("value").str.strip_chars().cast(pl.Float64, strict=False),
    )
    readable = parsed["hours"].is_not_null() & parsed["value"].is_finite().fill_null(False) & ~parsed["foreign"]
    unknown = readable & parsed["parameter"].is_null()
    expected = "expected lines such as 00:07,HR,73"
    for reason, rows, said in (
        ("line below the RecordID of another record", parsed["foreign"], "stand below the RecordID of another record"),
        (
            "line without a time or a number",
            ~readable & ~parsed["foreign"],
            f"lack a time hh:mm or a number; {expected}",
        ),
        ("unknown parameter", unknown, f"have a parameter that the challenge does not have; {expected}"),
    ):
        bad = int(rows.sum())
        counts["all", reason] += bad
        if bad > source.max_bad_rows * max(len(parsed), 1):
            raise DataError(
                f"{source.path}: {bad} of {len(parsed)} lines {said} (source.max_bad_rows is {source.max_bad_rows})"
            )
    readable &= ~unknown
    late = readable & (parsed["hours"] > HOURS)
    counts["all", f"line later than {HOURS} hours"] += int(late.sum())
    return table, parsed.filter(readable & ~late).drop("foreign")


def _split(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Separate the general descriptors at admission from the measurements; -1 is the challenge's word for unknown.

    A record's first Weight at 00:00 is a descriptor, every other one a measurement.
    """
    start = pl.col("hours") == 0
    nth = pl.int_range(pl.len()).over("stay", "parameter")
    descriptor = pl.col("parameter").is_in([name for name in DEMOGRAPHICS if name not in SERIES])
    lines = lines.with_columns(
        (descriptor | ((pl.col("parameter") == "Weight") & start & (nth == 0))).alias("admission")
    )
    lines = lines.filter(pl.col("value") != -1)
    return lines.filter("admission"), lines.filter(~pl.col("admission")).sort("stay", "hours", maintain_order=True)


def _plausible(lines: pl.DataFrame, ranges: Mapping[str, tuple[float, float]], counts: Counts) -> pl.DataFrame:
    """Repair known mistakes of unit and keep the values in their plausible range; the others are counted."""
    value = pl.col("value")
    for name, rules in REPAIRS.items():
        for low, high, subtract, factor in rules if name in ranges else ():
            here = (pl.col("parameter") == name) & value.is_between(low, high)
            counts[SERIES[name].table if name in SERIES else "demographics", f"{name}: unit repaired"] += len(
                lines.filter(here)
            )
            lines = lines.with_columns(pl.when(here).then((value - subtract) * factor).otherwise(value).alias("value"))
    bounds = pl.DataFrame(
        [(name, float(low), float(high)) for name, (low, high) in ranges.items()],
        schema=["parameter", "low", "high"],
        orient="row",
    )
    lines = lines.join(bounds, on="parameter", how="left", maintain_order="left")
    fits = value.is_between(pl.col("low"), pl.col("high"))
    for name, count in lines.filter(~fits)["parameter"].value_counts().iter_rows():
        table = SERIES[name].table if ranges.keys() != DEMOGRAPHICS.keys() else "demographics"
        counts[table, f"{name}: implausible value"] += count
    return lines.filter(fits).drop("low", "high")


def _demographics(admission: pl.DataFrame, n_stays: int, counts: Counts) -> pl.DataFrame:
    """Make one row per stay: age (years), gender, height (cm), weight (kg), icu_type; null where unknown."""
    admission = _plausible(admission, DEMOGRAPHICS, counts)
    wide: dict[str, np.ndarray] = {}
    for name in DEMOGRAPHICS:
        column = np.full(n_stays, np.nan)
        rows = admission.filter(pl.col("parameter") == name).unique("stay", keep="first", maintain_order=True)
        column[rows["stay"].to_numpy()] = rows["value"].to_numpy()
        wide[name] = column
    frame = pl.DataFrame(wide).with_columns(pl.all().fill_nan(None))
    words = {"Gender": GENDERS, "ICUType": ICU_TYPES}
    return frame.select(
        pl.col("Age").alias("age"),
        pl.col("Gender").replace_strict(words["Gender"], default=None, return_dtype=pl.String).alias("gender"),
        pl.col("Height").alias("height"),
        pl.col("Weight").alias("weight"),
        pl.col("ICUType").replace_strict(words["ICUType"], default=None, return_dtype=pl.String).alias("icu_type"),
    )


def _any_value(frame: pl.DataFrame) -> np.ndarray:
    """Tell for each row whether anything in it is known, (row,) bool."""
    return frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_numpy()


def _series(measured: pl.DataFrame, table: str, n_stays: int, length: int, since: bool) -> SeriesRows:
    """Make one table of the challenge an hourly series; length 0 for stays without a measurement in the window."""
    names = [name for name, variable in SERIES.items() if variable.table == table]
    rows = measured.filter(pl.col("parameter").is_in(names) & (pl.col("hours") <= length))
    stay = rows["stay"].to_numpy()
    lengths = np.zeros(n_stays, np.int64)
    lengths[np.unique(stay)] = length
    variable = rows["parameter"].replace_strict({n: i for i, n in enumerate(names)}, return_dtype=pl.Int64).to_numpy()
    kinds = [SERIES[name] for name in names]
    grid = hourly(
        stay, rows["hours"].to_numpy(), variable, rows["value"].to_numpy(), lengths, [k.reduce for k in kinds]
    )
    for column, kind in enumerate(kinds):
        if kind.log:
            grid[:, column] = np.log(grid[:, column] + LOG_OFFSET)
    titles = [f"log {name}" if kind.log else name for name, kind in zip(names, kinds, strict=True)]
    return series(grid, lengths, titles, np.array([kind.start for kind in kinds]), since)
