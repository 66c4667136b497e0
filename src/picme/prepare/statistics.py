"""Statistics of training stays in the view of pretraining, by which every view is normalised; computed and checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.cohort.leakage import finding, found_table
from picme.modalities import open_modality

if TYPE_CHECKING:
    from pathlib import Path

    from picme.prepare.step import Prepare

FILE = "statistics.json"


def statistics(step: Prepare, folder: Path, split: str | None, arrays: Path | None = None) -> dict[str, Any]:
    """Compute what each kind learns of the stays of one split, or of all splits, in the view of pretraining.

    Args:
        step: has the modalities.
        folder: where the cohort is.
        split: None for all.
        arrays: where the modalities are, if not beside the cohort.
    """
    arrays = arrays or folder
    cohort = pl.read_parquet(folder / "views" / "pretrain" / "cohort.parquet")
    chosen = cohort["split"].is_not_null() if split is None else cohort["split"] == split
    rows = np.flatnonzero(chosen.fill_null(False).to_numpy())
    found = {}
    for modality in step.modalities:
        opened = open_modality(
            step.kind_of(modality)[0], arrays / "views" / "pretrain" / modality, arrays / "pool" / modality
        )
        found[modality] = opened.fit(rows[np.asarray(opened.present)[rows]])
    return found


def learnt_from(step: Prepare) -> str | None:
    """Return the split whose stays are learnt from; None for all.

    New stays for a finished study are not normalised with their own: these only show whether units fit, so all count.
    """
    return None if getattr(step.source, "unlabelled", False) else "train"


def judge_statistics(step: Prepare, folder: Path, arrays: Path | None = None) -> pl.DataFrame:
    """Compare the stored statistics with those of the training stays, computed again; rows of the table `leakage`.

    Args:
        step, folder, arrays: as for `statistics`.
    """
    stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
    split = learnt_from(step)
    again, of_all = (statistics(step, folder, part, arrays) for part in (split, None))
    rows = []
    for modality in step.modalities:
        if not again[modality]:  # a kind that learns nothing
            continue
        differing = _differing(stored.get(modality), again[modality])
        detail = f"of {_count(again[modality])} stored values differ from those of the {split or 'present'} stays"
        if differing and not _differing(stored.get(modality), of_all[modality]):
            detail += "; they are those of all splits"
        rows.append(finding("training_statistics", modality, split, differing, detail, differing > 0))
    return found_table(rows)


def _differing(stored: Any, again: Any) -> int:
    """Count the numbers and words of a nested value that differ, numbers by more than rounding."""
    if isinstance(again, dict):
        return sum(_differing(stored.get(key) if isinstance(stored, dict) else None, again[key]) for key in again)
    if isinstance(again, list) and isinstance(stored, list) and len(stored) == len(again):
        return sum(_differing(one, other) for one, other in zip(stored, again, strict=True))
    if isinstance(again, float) and isinstance(stored, (int, float)):
        return int(not np.isclose(stored, again, rtol=1e-6, atol=1e-9))
    return int(stored != again)


def _count(value: Any) -> int:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if values is None else sum(_count(one) for one in values)
