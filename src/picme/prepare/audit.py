"""The leakage audit of a study: what its rows, notes and columns let through, judged against its own declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.cohort.leakage import (
    cutoff_rows,
    discharge_fields,
    leakage_table,
    measured_leaks,
    outcome_words,
    subjects_across_splits,
)
from picme.schema import LATEST, TableRows, TextRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.schema import Extraction, Rows


def leakage(mode: str, extraction: Extraction) -> pl.DataFrame:
    """Return the table `leakage` of views that are already divided into splits.

    Args:
        mode: `cohort.notes.mode`, which of a note's sections are read.
        extraction: what the source handed over.
    """
    cohorts = {name: view.stays.select("subject_id", "split") for name, view in extraction.views.items()}
    parts: list[pl.DataFrame | None] = [subjects_across_splits(cohorts), extraction.audit]
    if extraction.audit is None:
        parts += cutoffs({name: view.stays for name, view in extraction.views.items()})
    # Modalities that are written later but declare to hold only what was known at admission.
    audit = extraction.audit if mode == "prospective" else None
    strict = set() if audit is None else set(audit.filter(pl.col("check") == "written_later")["modality"].to_list())
    for name, view in extraction.views.items():
        texts = _texts(view.modalities)
        split = view.stays.get_column("split").to_list()
        parts.append(_in_view(name, outcome_words(texts, split, strict)))
        if view.labels and texts:
            labels = view.stays.select(view.labels)
            preset = mode if view.alternatives else "as configured"
            parts.append(measured_leaks(texts, labels, split, preset))
            parts += [measured_leaks(_texts(rows), labels, split, other) for other, rows in view.alternatives.items()]
    first = next(iter(extraction.views.values()))
    parts += [
        discharge_fields(modality, rows.frame.columns)
        for modality, rows in first.modalities.items()
        if isinstance(rows, TableRows)
    ]
    return leakage_table(*parts)


def cutoffs(cohorts: Mapping[str, pl.DataFrame], declared: str | None = None) -> list[pl.DataFrame]:
    """Compare again, in each view and split, when the newest thing used became known with the cut-off.

    Args:
        cohorts: view → its stays, with `cutoff` and `latest_<modality>` where the source has times.
        declared: the declaration of a preset that goes beyond the cut-off; with it nothing is a violation.
    """
    return [
        _in_view(
            name, cutoff_rows(column.removeprefix(LATEST), stays[column], stays["cutoff"], stays["split"], declared)
        )
        for name, stays in cohorts.items()
        for column in stays.columns
        if column.startswith(LATEST)
    ]


def _texts(modalities: Mapping[str, Rows]) -> dict[str, list[str | None]]:
    return {name: rows.texts for name, rows in modalities.items() if isinstance(rows, TextRows)}


def _in_view(name: str, table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns((pl.lit(f"{name}: ") + pl.col("detail")).alias("detail"))
