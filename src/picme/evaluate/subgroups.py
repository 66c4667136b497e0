"""Headline AUROC in subgroups of the test stays, singly and crossed, with counts, intervals and the gap to the rest.

Groups with fewer stays than `min_group`, or fewer subjects with or without an outcome than `min_events`, are
suppressed: neither counts nor metrics are written. Others are suppressed with them where a count could be had by
subtraction, within an attribute or from a crossed one (`metrics.suppression`). A value that fewer
subjects of the whole cohort have is not written either, since a column of ids or of text has one for each: all such
groups of an attribute are one suppressed row. The gap of a group is
the AUROC of all other stays minus its own, over the labels that both sides can judge, so nothing is chosen by its
result. The intervals of all gaps of a prediction hold together: they share one critical value, the quantile of the
greatest standardised error over the groups of all attributes, in the same resamples of subjects.

The ratio of observed to expected outcomes is of the prediction recalibrated on all validation stays, so that it tells
groups apart and not how a model was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.special import ndtri

from picme.errors import ConfigError, near
from picme.evaluate.gaps import Gap, gap_to_the_rest, simultaneous
from picme.evaluate.intervals import estimated
from picme.metrics.suppression import hidden

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.predictions import CellPredictions, SplitStays

UNKNOWN = "unknown"
CROSS = " × "
SMALL = "(smaller groups)"
"""The name of the subgroup that joins all values which too few subjects have."""


@dataclass(frozen=True)
class Grouping:
    """An attribute by which stays are divided.

    Attributes:
        name: the name of the attribute.
        groups: the groups' names, `SMALL` for each that too few subjects have.
        code: (stay,) the place of each stay's group among them.
        columns: the cohort's columns that it is made of, several where they are crossed.
    """

    name: str
    groups: list[str]
    code: NDArray[np.int64]
    columns: tuple[str, ...] = ()


def attributes(cohort: pl.DataFrame, stays: SplitStays, config: EvaluateConfig) -> list[Grouping]:
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
    return [_attribute(cohort, stays.frame, columns, config.min_group) for columns in wanted]


def _attribute(cohort: pl.DataFrame, frame: pl.DataFrame, columns: tuple[str, ...], least: int) -> Grouping:
    parts = [pl.col(column).cast(pl.String).fill_null(UNKNOWN) for column in columns]
    group = pl.concat_str(parts, separator=CROSS).alias("group")
    subjects = cohort.group_by(group).agg(pl.col("subject_id").n_unique())
    named = set(subjects.filter(pl.col("subject_id") >= least)["group"])
    groups, code = np.unique(frame.select(group)["group"].to_numpy().astype(str), return_inverse=True)
    names = [name if name in named else SMALL for name in groups.tolist()]
    return Grouping(CROSS.join(columns), names, code.astype(np.int64), columns)


def suppressed(
    cell: CellPredictions, stays: SplitStays, found: list[Grouping], config: EvaluateConfig
) -> list[NDArray[np.bool_]]:
    """Return for each attribute which of its groups (group,) are not told, judged by the cell's test stays."""
    y = cell.y["test"]
    judged = ~np.isnan(y).all(axis=0)
    kinds = [judged, (y == 1).any(axis=0), (y == 0).any(axis=0)]
    counts, ends, equations = [], np.cumsum([0, *(len(one.groups) for one in found)]), []
    for one, start in zip(found, ends, strict=False):
        equations.append((start + np.arange(len(one.groups)), None))
        stay_counts = np.bincount(one.code[judged], minlength=len(one.groups))
        subjects = [
            np.bincount(np.unique(np.stack([one.code[of], stays.subject[of]]), axis=1)[0], minlength=len(one.groups))
            for of in kinds[1:]
        ]
        counts.append(np.stack([stay_counts, *subjects], axis=1))
        # What is crossed adds up to the groups of fewer columns.
        for other, first in zip(found, ends, strict=False):
            if set(other.columns) < set(one.columns):
                within = np.zeros(len(one.groups), dtype=np.int64)
                within[one.code] = other.code
                equations += [(start + np.flatnonzero(within == g), first + g) for g in range(len(other.groups))]
    if not found:
        return []
    small = np.concatenate([np.array(one.groups) == SMALL for one in found])
    least = (config.min_group, config.min_events, config.min_events)
    return np.split(hidden(np.concatenate(counts), least, equations, small), ends[1:-1])


def subgroup_rows(
    cell: CellPredictions,
    stays: SplitStays,
    found: list[Grouping],
    resamples: SubjectResamples,
    config: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Return rows of `subgroups` for the seed-averaged prediction of one cell on test."""
    y, p, risk = cell.y["test"], cell.ensemble("test"), cell.calibrated
    judged = np.asarray(~np.isnan(y).all(axis=0))
    rows: list[dict[str, Any]] = []
    gaps: dict[int, Gap] = {}
    for attribute, not_told in zip(found, suppressed(cell, stays, found, config), strict=True):
        first = len(rows)
        for index, group in enumerate(attribute.groups):
            members = judged & (attribute.code == index)
            if not members.any():
                continue
            row: dict[str, Any] = {**cell.key, "attribute": attribute.name, "group": group}
            row["suppressed"] = group == SMALL or bool(not_told[index])
            if group == SMALL and any(other["group"] == SMALL for other in rows[first:]):
                continue
            if not row["suppressed"]:
                row |= _group_columns(y, p, members, stays, resamples, config.confidence)
                row |= observed_to_expected(y[:, members], risk[:, members], stays.subject[members], config.confidence)
                others = judged & ~members
                # A reference that small would tell the score of a group that is suppressed.
                if int(others.sum()) < config.min_group:
                    gap: Gap | str = f"fewer than {config.min_group} other stays"
                else:
                    gap = gap_to_the_rest(y, p, members, others, stays.subject, stays.n_subjects)
                if isinstance(gap, Gap):
                    gaps[len(rows)] = gap
                else:
                    row["gap_no_interval"] = gap
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
    auroc = estimated(y, p, subject, resamples, others=False)["auroc"]
    return {
        "n_stays": int(members.sum()),
        "n_subjects": len(np.unique(subject)),
        "positives": int((y == 1).sum()),
        "auroc": auroc.value,
        **auroc.columns(confidence),
    }


def observed_to_expected(
    y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], confidence: float
) -> dict[str, float]:
    """Compute how many outcomes were observed for each that was expected, over all labels, with its interval.

    The interval is symmetric for the logarithm of the ratio, with the linearised variance between subjects. That the
    recalibration is an estimate too is not in it.

    Args:
        y: labels (label, stay), NaN where undefined.
        p: probabilities (label, stay).
        subject: index of each stay's subject (stay,).
        confidence: coverage.

    Returns:
        The columns `observed_expected`, `observed_expected_low` and `observed_expected_high`.
    """
    known = ~np.isnan(y)
    observed, expected = float(y[known].sum()), float(p[known].sum())
    ratio = observed / expected if expected else float("nan")
    of, whose = np.unique(subject, return_inverse=True)
    reach = float("nan")
    if observed and len(of) > 1:
        off = np.bincount(whose, np.where(known, np.nan_to_num(y) - ratio * p, 0).sum(axis=0))
        variance = len(of) / (len(of) - 1) * float((off**2).sum()) / observed**2
        reach = float(ndtri((1 + confidence) / 2) * np.sqrt(variance))
    low, high = ratio * np.exp(-reach), ratio * np.exp(reach)
    return {"observed_expected": ratio, "observed_expected_low": low, "observed_expected_high": high}
