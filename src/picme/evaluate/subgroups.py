"""Headline AUROC in subgroups of the test stays, singly and crossed, with counts, intervals and the gap to the rest.

Groups with fewer stays than `min_group` are suppressed: neither counts nor metrics are written. The gap of a group is
the AUROC of all other stays minus its own, over the labels that both sides can judge, so nothing is chosen by its
result. The intervals of all gaps of a prediction hold together: they share one critical value, the quantile of the
greatest standardised error over the groups of all attributes, in the same resamples of subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.special import ndtr, stdtrit

from picme.errors import ConfigError, near
from picme.evaluate.bootstrap import (
    FEWEST,
    Judged,
    bootstrap_areas,
    class_sizes,
    effective_size,
    interval,
    placements,
)
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
    usual = type(config).model_fields["crossed"].default
    for key, entries in (
        ("attributes", [(name,) for name in config.attributes]),
        ("groups", [(name,) for name in config.groups]),
        ("crossed", config.crossed),
    ):
        for columns in entries:
            missing = [column for column in columns if column not in cohort.columns]
            # The usual crossings are for cohorts that have their columns. They are recognised by their value, because a
            # resolved configuration spells its defaults out.
            asked_for = key == "groups" or (key == "crossed" and columns not in usual)
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
    gaps: dict[int, Gap] = {}
    for attribute in found:
        first = len(rows)
        for index, group in enumerate(attribute.groups):
            members = judged & (attribute.code == index)
            if not members.any():
                continue
            row: dict[str, Any] = {**cell.key, "attribute": attribute.name, "group": group}
            row["suppressed"] = int(members.sum()) < config.min_group
            if not row["suppressed"]:
                row |= _group_columns(y, p, members, stays, resamples, config.confidence)
                others = judged & ~members
                # A reference that small would tell the score of a group that is suppressed.
                if int(others.sum()) >= config.min_group:
                    gap = gap_to_the_rest(y, p, members, others, stays.subject, stays.n_subjects)
                    if gap is not None:
                        gaps[len(rows)] = gap
            rows.append(row)
        scored = [row for row in rows[first:] if not np.isnan(row.get("auroc", np.nan))]
        for row in scored:
            row["best"] = row is max(scored, key=lambda other: other["auroc"])
    ends = simultaneous(list(gaps.values()), resamples, config.confidence)
    for (place, gap), (low, high) in zip(gaps.items(), ends, strict=True):
        rows[place] |= {"gap": gap.value, "gap_low": low, "gap_high": high}
    return rows


def _group_columns(
    y: NDArray[np.float64],
    p: NDArray[np.float64],
    members: NDArray[np.bool_],
    stays: SplitStays,
    resamples: SubjectResamples,
    confidence: float,
) -> dict[str, Any]:
    """Return the counts of a group, and its AUROC with its interval."""
    y, p, subject = y[:, members], p[:, members], stays.subject[members]
    row: dict[str, Any] = {
        "n_stays": int(members.sum()),
        "n_subjects": len(np.unique(subject)),
        "positives": int((y == 1).sum()),
        "auroc": float(macro(areas(y, p)[0])),
    }
    size = effective_size(class_sizes(y, subject))
    if size >= FEWEST["auroc"]:
        resampled = macro(bootstrap_areas(y, p, subject, resamples)[0], axis=0)
        row["low"], row["high"] = interval(resampled, confidence, Judged("auroc", row["auroc"], size))
    return row


@dataclass(frozen=True)
class Gap:
    """Gap between all other stays and a group.

    Attributes:
        value: AUROC of the others minus that of the group, the mean over the labels that both can judge.
        parts: each subject's part in its error (subject,); the squares add up to the variance.
        size: number of subjects in the smallest class on either side.
    """

    value: float
    parts: NDArray[np.float64]
    size: float


def gap_to_the_rest(
    y: NDArray[np.float64],
    p: NDArray[np.float64],
    members: NDArray[np.bool_],
    others: NDArray[np.bool_],
    subject: NDArray[np.integer],
    n_subjects: int,
) -> Gap | None:
    """Compare a group with all other stays.

    Only labels count whose positives and negatives are of at least `FEWEST` subjects on both sides; None without any.
    """
    sizes = np.stack([class_sizes(y[:, side], subject[side]) for side in (members, others)]).min(axis=0)
    common = sizes >= FEWEST["auroc"]
    if not common.any():
        return None
    value, parts = 0.0, np.zeros(n_subjects)
    for side, sign in ((others, 1), (members, -1)):
        roc, found = placements(y[common][:, side], p[common][:, side], subject[side], n_subjects)
        value += sign * float(roc.mean())
        parts += sign * found.mean(axis=0)
    return Gap(value, parts, effective_size(sizes[common]))


def simultaneous(gaps: list[Gap], resamples: SubjectResamples, confidence: float) -> list[tuple[float, float]]:
    """Return intervals that hold all together with the confidence given.

    In a resample the error of a gap is, to first order, the sum of its subjects' parts, each as often as it was drawn
    more or less than once. The critical value is turned into that of a t distribution, as groups are often small.
    """
    if not gaps:
        return []
    parts = np.stack([gap.parts for gap in gaps])
    error = np.sqrt((parts**2).sum(axis=1))
    known = error > 0
    if not known.any():
        return [(float("nan"), float("nan"))] * len(gaps)
    scaled = parts[known] / error[known, None]
    total = scaled.sum(axis=1, keepdims=True)
    greatest = np.concatenate([np.abs(scaled @ counts - total).max(axis=0) for counts in resamples.blocks])
    level = float(ndtr(np.quantile(greatest, confidence)))
    freedom = np.array([2 * (gap.size - 1) for gap in gaps])
    reach = np.where(known, stdtrit(freedom, level) * error, np.nan)
    return [
        (max(-1.0, gap.value - far), min(1.0, gap.value + far)) for gap, far in zip(gaps, reach.tolist(), strict=True)
    ]
