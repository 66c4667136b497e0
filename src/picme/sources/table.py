"""Reader of the user's own data: tables of samples, labels and modalities, as the configuration describes them."""

from __future__ import annotations

import fnmatch
from collections import Counter
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.errors import ConfigError, DataError
from picme.schema import LATEST, Extraction, View
from picme.sources.cells import are_numbers, ids, in_order, numbers, words
from picme.sources.matching import match_ids
from picme.sources.rows import take
from picme.sources.table_files import File, binary, column_of, first, splits
from picme.sources.table_kinds import UNKNOWN, Read, Request, many_rows, read_modality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.sources import TableSource

RESERVED = ("stay_id", "subject_id", "split")
# A century: whatever is known earlier or later is as early or late as this, and a duration of more may not fit.
MOST_HOURS = 1_000_000


def extract(
    source: TableSource,
    modalities: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, Mapping[str, Any]],
    cohort_max_hours: int | None = None,
    window_hours: float | None = None,
    divider: str | None = None,
) -> Extraction:
    """Read the user's files.

    Args:
        source: the file of samples and its columns.
        modalities: name → `kind` and, depending on it, `column`, `columns`, `folder`, `path`, `id`, `hours`,
            `variable`, `value`.
        tasks: name → `labels`, columns of 0/1, true/false, yes/no, y/n or nothing, or `column=value` for one value of a
            column; the task's own name if empty.
        cohort_max_hours: longest time series kept; None for all.
        window_hours: hours of time series that the view `pretrain` sees; None for all.
        divider: the column that the splits go by, which the views' stays then have.

    Returns:
        A view for each task, of the samples with at least one of its labels (all, if the source is unlabelled), and
        `pretrain` with every sample.

    Raises:
        ConfigError: if the configuration lacks a key.
        DataError: if a file, column or folder is missing, ids repeat, or a label is not binary.
    """
    counts: Counter[tuple[str, str]] = Counter()
    notes: list[str] = []
    labels = {name: list(task.get("labels") or [name]) for name, task in tasks.items()}
    files, one_row = _open(source, modalities, {divider, *(column_of(x, ())[0] for x in chain(*labels.values()))})
    there = {column for file in one_row for column in file.frame.columns}
    columns_of = {name: [column_of(label, there)[0] for label in each] for name, each in labels.items()}
    each = list(dict.fromkeys([*one_row, *files.values()]))
    notes += [f"{file.path.name} is {', '.join(file.oddities)}" for file in each if file.oddities]
    match_ids(each, source.max_unmatched)
    stays = _stays(source, one_row, _samples(files, one_row), labels, divider)
    readers = _readers(source, modalities, files, stays["stay_id"], columns_of, counts, notes, divider)

    windows = {name: _window(task.get("window_hours"), cohort_max_hours) for name, task in tasks.items()}
    windows["pretrain"] = _window(window_hours, cohort_max_hours)
    every = list(dict.fromkeys(label for each in labels.values() for label in each))
    fixed = ["split"] if source.split or source.unlabelled else []
    fixed += [divider] if divider is not None and divider not in source.groups else []
    known = _known_at(modalities, files, stays["stay_id"], source.max_bad_rows, counts)
    views = {}
    flow: list[tuple[str, str, int, int]] = []
    for name, hours in windows.items():
        columns = labels.get(name, every)
        kept = pl.repeat(True, len(stays), dtype=pl.Boolean, eager=True)
        flow.append((name, "samples", len(stays), stays["subject_id"].n_unique()))
        if name in tasks and not source.unlabelled:
            kept = stays.select(pl.any_horizontal(pl.col(columns).is_not_null())).to_series()
            if not kept.any():
                raise DataError(f"tasks.{name}: no sample has a label in {', '.join(map(repr, columns))}")
            flow.append((name, "with a label", int(kept.sum()), stays.filter(kept)["subject_id"].n_unique()))
        chosen = stays.filter(kept).select("stay_id", "subject_id", *fixed, *source.groups, *columns)
        if known:
            limit = tasks[name].get("window_hours") if name in tasks else window_hours
            if limit is None and name in tasks:
                raise ConfigError(f"tasks.{name}.hours is missing: {known[0].name.removeprefix(LATEST)} has a time")
            cutoff = pl.duration(seconds=None if limit is None else round(limit * 3600)).alias("cutoff")
            chosen = chosen.hstack(pl.DataFrame(known).filter(kept)).with_columns(cutoff)
        rows = {modality: take(read(hours), kept.to_numpy()) for modality, read in readers.items()}
        views[name] = View(name, chosen, columns, list(source.groups), rows)
    return Extraction(
        views=views,
        flow=pl.DataFrame(
            flow,
            schema={"task": pl.String, "step": pl.String, "stays": pl.Int64, "subjects": pl.Int64},
            orient="row",
        ),
        quarantine=pl.DataFrame(
            [(*key, count) for key, count in sorted(counts.items()) if count],
            schema={"modality": pl.String, "reason": pl.String, "count": pl.Int64},
            orient="row",
        ),
        notes=notes,
    )


def _known_at(
    modalities: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, File],
    samples: pl.Series,
    max_bad_rows: float,
    counts: Counter[tuple[str, str]],
) -> list[pl.Series]:
    """Read when each sample's row became known, a duration after the start, for modalities that name a column of it.

    A cell that is no number of hours is counted, since its row's time is then unknown to the leakage audit.

    Raises:
        DataError: if more than `max_bad_rows` of the cells are no number.
    """
    known = []
    for name, entry in modalities.items():
        if entry.get("hours") and not many_rows(entry.get("kind")):
            file, column = files[name], entry["hours"]
            found = numbers(file.column(column, f"modalities.{name}.hours"))
            bad = int(found.odd.sum())
            if bad > max_bad_rows * len(found.odd):
                raise DataError(
                    f"{file.path}: {bad} of {len(found.odd)} cells of column {column!r} (modalities.{name}.hours) are "
                    f"no number of hours, the first is in row {first(found.odd)} "
                    f"(source.max_bad_rows is {max_bad_rows})"
                )
            counts[name, f"{column!r}: no number of hours"] += bad
            hours = file.align(found.values, samples).clip(-MOST_HOURS, MOST_HOURS)
            known.append((hours * 3_600_000).cast(pl.Duration("ms")).alias(f"{LATEST}{name}"))
    return known


def _window(task: float | None, longest: int | None) -> float | None:
    """Return the shorter of the task's window and the cohort's longest series."""
    known = [float(hours) for hours in (task, longest) if hours is not None]
    return min(known) if known else None


def _open(
    source: TableSource, modalities: Mapping[str, Mapping[str, Any]], others: set[str | None]
) -> tuple[dict[str, File], list[File]]:
    """Open the file of each modality; list the files with one row per sample, the source's own first.

    Each is told all columns that the configuration names, for its messages.
    """
    named = {source.id, source.subject, source.split, *source.groups, *others}
    for entry in modalities.values():
        named |= {entry.get(key) for key in ("id", "column", "hours", "variable", "value")}
        # The `columns` of a long file are words in its cells, which tell nothing of its header.
        named |= set() if many_rows(entry.get("kind")) else set(entry.get("columns") or ())
    expected = {name for name in named if name is not None}
    shared = File(source.path, "source.path", source.id, expected=expected) if source.path is not None else None
    files: dict[str, File] = {}
    one_row = [shared] if shared is not None else []
    for name, entry in modalities.items():
        if entry.get("path") is None:
            if many_rows(entry.get("kind")) or shared is None:
                raise ConfigError(f"modalities.{name}.path is missing: its data are not in the file of samples")
            files[name] = shared
            continue
        column = entry.get("id") or source.id
        if column is None:
            raise ConfigError(f"modalities.{name}.path needs `id` or source.id, the column of the sample id")
        long = many_rows(entry.get("kind"))
        files[name] = File(Path(entry["path"]), f"modalities.{name}.path", column, not long, expected)
        one_row += [] if long else [files[name]]
    return files, one_row


def _samples(files: Mapping[str, File], one_row: list[File]) -> pl.Series:
    """List the ids of all samples, sorted: those of the source's file, or of all files together where it has none."""
    found = [one_row[0].ids] if one_row and one_row[0].key == "source.path" else [file.ids for file in files.values()]
    return in_order(pl.concat([each.alias("id") for each in found])).alias("stay_id")


def _stays(
    source: TableSource,
    files: list[File],
    samples: pl.Series,
    labels: Mapping[str, list[str]],
    divider: str | None,
) -> pl.DataFrame:
    """Collect ids, split, groups, the splits' column and labels of all samples, each from the first file with it."""

    def find(column: str, role: str) -> tuple[File, pl.Series]:
        file = next((file for file in files if column in file.frame.columns), None)
        if file is None and not files:
            raise DataError(f"no file with one row per sample holds column {column!r} ({role})")
        file = file or files[0]
        return file, file.column(column, role)

    columns = [samples]
    if source.subject is None:
        columns.append(samples.alias("subject_id"))
    else:
        file, cells = find(source.subject, "source.subject")
        cells = ids(cells)
        if cells.null_count():
            raise DataError(f"{file.path}, row {first(cells.is_null())}: no subject in column {source.subject!r}")
        subjects = file.align(cells, samples).alias("subject_id")
        if subjects.null_count():
            raise DataError(
                f"{file.path} names the subject of {len(samples) - subjects.null_count()} of {len(samples)} samples"
            )
        columns.append(subjects)
    if source.unlabelled:
        # No model is trained on them, so they are all to be judged.
        columns.append(pl.repeat("test", len(samples), eager=True).alias("split"))
    elif source.split is not None:
        file, cells = find(source.split, "source.split")
        columns.append(file.align(splits(cells, file.path), samples).alias("split"))
    for name in source.groups:
        file, cells = find(name, "source.groups")
        columns.append(file.align(words(cells), samples).fill_null("unknown").alias(name))
    if divider is not None and divider not in source.groups:
        file, cells = find(divider, "splits.column")
        if divider in (*RESERVED, *(label for each in labels.values() for label in each)):
            raise ConfigError(f"splits.column: {divider!r} is already an id or split column or a label")
        columns.append(file.align(_ordered(cells), samples).alias(divider))
    there = {column for file in files for column in file.frame.columns}
    for task, names in labels.items():
        for name in names:
            column, value = column_of(name, there)
            if source.unlabelled and column not in there:
                if name not in [column.name for column in columns]:
                    columns.append(pl.repeat(None, len(samples), dtype=pl.Int8, eager=True).alias(name))
                continue
            file, cells = find(column, f"tasks.{task}.labels")
            if name in (*RESERVED, *source.groups):
                raise ConfigError(f"tasks.{task}.labels: {name!r} is already an id, split or group column; rename it")
            if name not in [column.name for column in columns]:
                columns.append(file.align(binary(cells, file.path, value), samples).alias(name))
    return pl.DataFrame(columns)


def _ordered(cells: pl.Series) -> pl.Series:
    """Return the column of the splits with the numbers of a column of numbers, by which it has an order."""
    found = numbers(cells)
    if cells.dtype != pl.String or not are_numbers(cells, found) or found.odd.any():
        return cells
    whole = bool((found.values.drop_nulls() % 1 == 0).all())
    return found.values.cast(pl.Int64) if whole else found.values


def _no_label(modality: str, columns: list[str | None], labels: Mapping[str, list[str]]) -> None:
    """Refuse a modality that holds what is to be predicted."""
    for task, names in labels.items():
        for name in names:
            if name in columns:
                raise ConfigError(
                    f"modalities.{modality}: column {name!r} is the label of tasks.{task}; leave it out of the modality"
                )


def _readers(
    source: TableSource,
    modalities: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, File],
    samples: pl.Series,
    labels: Mapping[str, list[str]],
    counts: Counter[tuple[str, str]],
    notes: list[str],
    divider: str | None,
) -> dict[str, Read]:
    """Make the reader of each modality; a column of one is no feature of another unless both name it."""
    parts = [
        source.id,
        source.subject,
        source.split,
        divider,
        *source.groups,
        *(x for each in labels.values() for x in each),
    ]
    parts += [entry.get(key) for entry in modalities.values() for key in ("id", "column", "hours")]
    readers: dict[str, Read] = {}
    for name, entry in modalities.items():
        file = files[name]
        if not many_rows(entry.get("kind")):
            _no_label(name, [entry.get("column"), *(entry.get("columns") or ())], labels)
        counts[name, UNKNOWN] += int((~file.ids.is_in(samples.implode())).sum())
        taken = {column for column in parts if column is not None}
        for other in modalities.keys() - {name}:
            for pattern in modalities[other].get("columns") or ():
                long = many_rows(modalities[other].get("kind"))
                taken |= {pattern} if long else {pattern, *fnmatch.filter(files[other].frame.columns, pattern)}
        request = Request(name, entry, file, samples, taken, source.max_bad_rows, source.outside, counts, notes)
        readers[name] = cache(read_modality(request))
    return readers
