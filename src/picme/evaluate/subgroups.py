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
from scipy.special import expit, logit, ndtr, stdtrit

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
class Side:
    """One side of a gap: AUROC, each subject's part in its error (subject,), and the subjects in the smaller class."""

    auroc: float
    parts: NDArray[np.float64]
    size: float

    def reach(self, level: float) -> tuple[float, float]:
        """Return how far the interval on the logit scale goes below and above the AUROC, at a normal `level`."""
        error = float(np.sqrt((self.parts**2).sum())) / (self.auroc * (1 - self.auroc))
        far = float(stdtrit(2 * (self.size - 1), level)) * error
        centre = float(logit(self.auroc))
        return self.auroc - float(expit(centre - far)), float(expit(centre + far)) - self.auroc


@dataclass(frozen=True)
class Gap:
    """All other stays and a group, over the labels that both can judge."""

    others: Side
    group: Side

    @property
    def value(self) -> float:
        """Return the AUROC of the others minus that of the group."""
        return self.others.auroc - self.group.auroc

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the gap, from those of its sides and their correlation (Zou and Donner, 2008).

        The sides' intervals are skewed as AUROC is, which a symmetric interval of a small group is not.
        """
        a, b = self.others.parts, self.group.parts
        both = float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
        below, above = self.others.reach(level)
        group_below, group_above = self.group.reach(level)
        down = below**2 + group_above**2 - 2 * both * below * group_above
        up = above**2 + group_below**2 - 2 * both * above * group_below
        return self.value - float(np.sqrt(max(down, 0.0))), self.value + float(np.sqrt(max(up, 0.0)))


def gap_to_the_rest(
    y: NDArray[np.float64],
    p: NDArray[np.float64],
    members: NDArray[np.bool_],
    others: NDArray[np.bool_],
    subject: NDArray[np.integer],
    n_subjects: int,
) -> Gap | None:
    """Compare a group with all other stays.

    Only labels count whose positives and negatives are of at least `FEWEST` subjects on both sides; None without any,
    and where a side is ranked without a fault or without a hit, which tells nothing of its spread.
    """
    sizes = [class_sizes(y[:, side], subject[side]) for side in (others, members)]
    common = np.minimum(*sizes) >= FEWEST["auroc"]
    if not common.any():
        return None
    sides = []
    for side, size in zip((others, members), sizes, strict=True):
        roc, parts = placements(y[common][:, side], p[common][:, side], subject[side], n_subjects)
        sides.append(Side(float(roc.mean()), parts.mean(axis=0), effective_size(size[common])))
    return Gap(*sides) if all(0 < side.auroc < 1 and side.parts.any() for side in sides) else None


def simultaneous(gaps: list[Gap], resamples: SubjectResamples, confidence: float) -> list[tuple[float, float]]:
    """Return intervals that hold all together with the confidence given.

    In a resample the error of a gap is, to first order, the sum of its subjects' parts, each as often as it was drawn
    more or less than once. The greatest error over the gaps, each in units of its standard error, has the quantile
    that all intervals share; a small group's is widened to that of a t distribution.
    """
    if not gaps:
        return []
    parts = np.stack([gap.others.parts - gap.group.parts for gap in gaps])
    parts /= np.sqrt((parts**2).sum(axis=1, keepdims=True))
    total = parts.sum(axis=1, keepdims=True)
    greatest = np.concatenate([np.abs(parts @ counts - total).max(axis=0) for counts in resamples.blocks])
    level = float(ndtr(np.quantile(greatest, confidence)))
    return [gap.interval(level) for gap in gaps]
