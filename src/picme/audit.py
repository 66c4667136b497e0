"""The leakage audit of a study: what its rows, notes and columns let through, judged against its own declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.cohort.leakage import (
    discharge_fields,
    leakage_table,
    measured_leaks,
    outcome_words,
    subjects_across_splits,
)
from picme.schema import TableRows, TextRows

if TYPE_CHECKING:
    from picme.config.study import Config
    from picme.schema import Extraction, View


def leakage(study: Config, extraction: Extraction) -> pl.DataFrame:
    """The table `leakage`, from views that are already divided into splits."""
    cohorts = {name: view.stays.select("subject_id", "split") for name, view in extraction.views.items()}
    parts: list[pl.DataFrame | None] = [subjects_across_splits(cohorts), extraction.audit]
    notes = study.cohort.notes.mode
    for name, view in extraction.views.items():
        texts = _texts(view)
        split = view.stays.get_column("split").to_list()
        # The paper's way declares that it reads on; what it lets through is measured, not forbidden.
        strict = list(texts) if notes == "prospective" else []
        parts.append(_in_view(name, outcome_words(texts, split, strict)))
        if view.labels and texts:
            preset = study.cohort.admit
            parts.append(measured_leaks(texts, view.stays.select(view.labels), split, preset))
            for other, alternative in extraction.other_texts.get(name, {}).items():
                parts.append(measured_leaks(alternative, view.stays.select(view.labels), split, other))
    first = next(iter(extraction.views.values()))
    parts += [
        discharge_fields(modality, rows.frame.columns)
        for modality, rows in first.modalities.items()
        if isinstance(rows, TableRows)
    ]
    return leakage_table(*parts)


def _texts(view: View) -> dict[str, list[str | None]]:
    return {name: rows.texts for name, rows in view.modalities.items() if isinstance(rows, TextRows)}


def _in_view(name: str, table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns((pl.lit(f"{name}: ") + pl.col("detail")).alias("detail"))
