"""Headline AUROC in subgroups of the test stays, singly and crossed, with counts, intervals and the gap to the best.

Groups with fewer stays than `min_group` are suppressed: neither counts nor metrics are written. The gap of a group is
the AUROC of the best group (by its point estimate) minus its own; its interval resamples both with the same subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.errors import ConfigError, near
from picme.evaluate.bootstrap import bootstrap_areas, interval
from picme.evaluate.metrics import areas, macro

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.predictions import CellPredictions, SplitStays

UNKNOWN = "unknown"
CROSS = " × "


@dataclass(frozen=True)
class Attribute:
    """Attribute by which stays are divided into groups: the groups' names, and each stay's group `code` (stay,)."""

    name: str
    groups: list[str]
    code: NDArray[np.int64]


def attributes(cohort: pl.DataFrame, stays: SplitStays, config: EvaluateConfig) -> list[Attribute]:
    """Return the attributes that a cohort has, singly and crossed; a missing value is the group `unknown`.

    Raises:
        ConfigError: if the cohort lacks a column that the configuration names explicitly.
    """
    wanted: list[tuple[str, ...]] = []
    fields = type(config).model_fields
    # The usual columns are for cohorts that have them. They are recognised by their value, because a resolved
    # configuration spells its defaults out.
    usual = [*((name,) for name in fields["attributes"].default), *fields["crossed"].default]
    for key, entries in (
        ("attributes", [(name,) for name in config.attributes]),
        ("groups", [(name,) for name in config.groups]),
        ("crossed", config.crossed),
    ):
        for columns in entries:
            missing = [column for column in columns if column not in cohort.columns]
            asked_for = key == "groups" or columns not in usual
            if missing and asked_for:
                hint = near(missing[0], cohort.columns)
                raise ConfigError(f"evaluate.{key} names {missing[0]!r}, which the cohort does not have{hint}")
            if not missing and columns not in wanted:
                wanted.append(columns)
    return [_attribute(stays.frame, columns) for columns in wanted]


def _attribute(frame: pl.DataFrame, columns: tuple[str, ...]) -> Attribute:
    parts = [pl.col(column).cast(pl.String).fill_null(UNKNOWN) for column in columns]
    values = frame.select(pl.concat_str(parts, separator=CROSS).alias("group"))["group"]
    groups, code = np.unique(values.to_numpy().astype(str), return_inverse=True)
    return Attribute(CROSS.join(columns), groups.tolist(), code.astype(np.int64))


def subgroup_rows(
    cell: CellPredictions,
    stays: SplitStays,
    found: list[Attribute],
    resamples: SubjectResamples,
    config: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Return rows of `subgroups` for the seed-averaged prediction of one cell on test."""
    y, p = cell.y["test"], cell.ensemble("test")
    judged = np.asarray(~np.isnan(y).all(axis=0))
    rows: list[dict[str, Any]] = []
    for attribute in found:
        rows += _attribute_rows(cell.key, attribute, y, p, judged, stays, resamples, config)
    return rows


def _attribute_rows(
    key: dict[str, str],
    attribute: Attribute,
    y: NDArray[np.float64],
    p: NDArray[np.float64],
    judged: NDArray[np.bool_],
    stays: SplitStays,
    resamples: SubjectResamples,
    config: EvaluateConfig,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    drawn: dict[int, NDArray[np.float64]] = {}
    for index, group in enumerate(attribute.groups):
        members = judged & (attribute.code == index)
        if not members.any():
            continue
        row: dict[str, Any] = {**key, "attribute": attribute.name, "group": group}
        row["suppressed"] = int(members.sum()) < config.min_group
        if not row["suppressed"]:
            row["n_stays"] = int(members.sum())
            row["n_subjects"] = len(np.unique(stays.subject[members]))
            row["positives"] = int((y[:, members] == 1).sum())
            row["auroc"] = float(macro(areas(y[:, members], p[:, members])[0]))
            if not np.isnan(row["auroc"]):
                resampled = bootstrap_areas(y[:, members], p[:, members], stays.subject[members], resamples)[0]
                drawn[len(rows)] = macro(resampled, axis=0)
                row["low"], row["high"] = interval(drawn[len(rows)], config.confidence)
        rows.append(row)
    if drawn:
        best = max(drawn, key=lambda place: rows[place]["auroc"])
        for place, values in drawn.items():
            rows[place]["gap"] = rows[best]["auroc"] - rows[place]["auroc"]
            low, high = interval(drawn[best] - values, config.confidence)
            rows[place]["gap_low"], rows[place]["gap_high"] = low, high
            rows[place]["best"] = place == best
    return rows
