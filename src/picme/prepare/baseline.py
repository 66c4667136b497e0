"""The table `baseline`, clinicians' Table 1: who the stays are, by split and by the modalities that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.metrics.suppression import hidden
from picme.modalities import open_modality
from picme.modalities.tabular import TabularModality
from picme.modalities.timeseries import SeriesModality
from picme.prepare.write import COMPLETENESS
from picme.results.tables import table
from picme.schema import MASK, SINCE, SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from picme.engine.store import Store
    from picme.modalities.base import Modality
    from picme.prepare.step import Baseline

MOST_LEVELS, MOST_PATTERNS = 12, 6
OTHER, MISSING, YES, NO = "(other)", "missing", "yes", "no"


def baseline(step: Baseline, store: Store) -> dict[str, pl.DataFrame]:
    """Describe the stays of each task.

    Args:
        step: says which cohort, and how few stays are not told.
        store: where the prepared cohort is.

    Returns:
        The result table `baseline`, and the lines that `cohort_flow` goes on with.
    """
    prepared, manifest = store.path(step.prepare), store.manifest(step.prepare)
    rows, flow = [], []
    for task, labels in manifest["labels"].items():
        if step.prepare.tasks and task not in step.prepare.tasks:
            continue  # pretraining sees the stays of the tasks
        folder = prepared / "views" / task
        cohort = pl.read_parquet(folder / "cohort.parquet")
        opened = {name: _open(step, prepared, folder, name) for name in step.prepare.modalities}
        inside = np.flatnonzero(cohort["split"].is_not_null().to_numpy())
        described = _Described(cohort[inside], _groups(cohort, opened, inside, step))
        if not step.prepare.splits.folds:
            flow += splits_flow(task, cohort, labels, step.min_group)
        names = [name for name in manifest["groups"][task] if name != COMPLETENESS]
        variables = [(name, cohort[name].cast(pl.String)) for name in names]
        variables += _days(cohort)
        for name, one in opened.items():
            variables += _of_modality(name, one, {*names, *labels})
        rows += [{"task": task, **row} for row in described.sizes(step.min_group)]
        for label in labels:
            rows += [{"task": task, **row} for row in described.outcome(label, cohort[label][inside], step.min_group)]
        for name, values in variables:
            rows += [{"task": task, **row} for row in described.rows(name, values[inside], step.min_group)]
    return {"baseline": table("baseline").frame(rows), "cohort_flow": table("cohort_flow").frame(flow)}


class _Described:
    """The stays of a task and the groups (stay,) that they are described by."""

    def __init__(self, cohort: pl.DataFrame, groups: dict[tuple[str, str], NDArray[np.bool_]]) -> None:
        self.subject = cohort["subject_id"]
        self.groups = groups

    def sizes(self, least: int) -> Iterator[dict[str, Any]]:
        """Yield how many stays each group has."""
        for (by, group), members in self.groups.items():
            size = int(members.sum())
            known = {"stays": size, "share": size / len(members)} if size >= least else {}
            yield {"by": by, "group": group, "variable": "stays", "suppressed": not known, **known}

    def outcome(self, name: str, values: pl.Series, least: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of a label: its outcomes in each split are told everywhere, but not in a small group."""
        sizes = np.array([[int(of.sum())] for of in self.groups.values()])
        secret = hidden(sizes, (least,), self._parts(np.arange(len(sizes))))
        positive = (values == 1).fill_null(False).to_numpy()
        for place, ((by, group), members) in enumerate(self.groups.items()):
            shown: dict[str, Any] = {"suppressed": bool(secret[place])}
            if not shown["suppressed"]:
                count = int((positive & members).sum())
                shown |= {"stays": count, "share": count / sizes[place, 0]}
            yield {"by": by, "group": group, "variable": name, "level": YES, **shown}

    def _parts(self, at: NDArray[np.intp]) -> list[Any]:
        """Return which cells of a row (group,) add up to its first, that of all stays."""
        kinds = np.array([by for by, _ in self.groups])
        return [(at[kinds == by], int(at[0])) for by in dict.fromkeys(kinds[1:])]

    def rows(self, name: str, values: pl.Series, least: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of one variable: of numbers one for each group, and one for each level of words."""
        if values.dtype.is_numeric():
            numbers = values.cast(pl.Float64).fill_nan(None)
            for (by, group), members in self.groups.items():
                known = numbers.filter(pl.Series(members)).drop_nulls()
                row = {"by": by, "group": group, "variable": name, "suppressed": known.len() < least}
                if not row["suppressed"]:
                    ends = {"median": 0.5, "q1": 0.25, "q3": 0.75}
                    row |= {key: known.quantile(at, "linear") for key, at in ends.items()}
                yield row
            if numbers.null_count():
                known_or_not = pl.select(pl.when(numbers.is_null()).then(pl.lit(MISSING)).otherwise(pl.lit(NO)))
                yield from self._levels(name, known_or_not.to_series(), [MISSING, NO], least, told=[MISSING])
            return
        words = values.cast(pl.String).fill_null(MISSING)
        if (found := set(words.unique())) <= {YES, NO, MISSING}:
            more = [MISSING] if MISSING in found else []
            yield from self._levels(name, words, [YES, NO, *more], least, told=[YES, *more])
            return
        # A word that few subjects have may be a name: it is not written, nor are the least frequent of many.
        held = pl.DataFrame({"level": words, "subject": self.subject}).group_by("level")
        frequent = held.agg(pl.col("subject").n_unique(), pl.len()).filter(pl.col("subject") >= least)
        named = frequent.sort("len", "level", descending=[True, False])["level"].to_list()[:MOST_LEVELS]
        words = pl.select(pl.when(words.is_in(named)).then(words).otherwise(pl.lit(OTHER))).to_series()
        levels = [*named, *([OTHER] if (words == OTHER).any() and OTHER not in named else [])]
        yield from self._levels(name, words, levels, least, told=levels)

    def _levels(
        self, name: str, words: pl.Series, levels: list[str], least: int, told: list[str]
    ) -> Iterator[dict[str, Any]]:
        held = [(words == level).to_numpy() for level in levels]
        counts = np.array([[int((has & of).sum()) for of in self.groups.values()] for has in held])
        at = np.arange(counts.size).reshape(counts.shape)
        equations: list[Any] = [(column, None) for column in at.T]
        equations += [equation for row in at for equation in self._parts(row)]
        secret = hidden(counts.reshape(-1, 1), (least,), equations, totals=True).reshape(counts.shape)
        for place, ((by, group), members) in enumerate(self.groups.items()):
            for level in told:
                row = levels.index(level)
                shown: dict[str, Any] = {"suppressed": bool(secret[row, place])}
                total, count = int(members.sum()), int(counts[row, place])
                if not shown["suppressed"]:
                    shown |= {"stays": count, "share": count / total if total else None}
                elif count >= least and total >= 200 * least:
                    # A whole percent is of that many stays that a small count beside it cannot be had from it.
                    shown |= {"share": round(count / total, 2), "suppressed": False}
                yield {"by": by, "group": group, "variable": name, "level": level, **shown}


def _groups(
    cohort: pl.DataFrame, opened: dict[str, Modality], inside: NDArray[np.intp], step: Baseline
) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Return the groups of the stays in a split: all, each split, and the most frequent patterns of modalities."""
    split = cohort["split"].to_numpy()[inside]
    groups: dict[tuple[str, str], NDArray[np.bool_]] = {("all", "all"): np.ones(len(inside), dtype=bool)}
    if not step.prepare.splits.folds:
        groups |= {("split", name): split == name for name in SPLITS if (split == name).any()}
    has = np.stack([np.asarray(one.present, dtype=bool)[inside] for one in opened.values()], axis=1)
    patterns, of = np.unique(has, axis=0, return_inverse=True)
    if len(patterns) > 1:
        of = of.ravel()
        sizes = np.bincount(of)
        frequent = np.argsort(-sizes, kind="stable")[:MOST_PATTERNS]
        chosen = [place for place in frequent if sizes[place] >= step.min_group]
        names = np.array(list(opened))
        for place in chosen:
            groups["modalities", "+".join(names[patterns[place]]) or "none"] = of == place
        if not (rest := np.isin(of, chosen)).all():
            groups["modalities", OTHER] = ~rest
    return groups


def _open(step: Baseline, prepared: Path, folder: Path, name: str) -> Modality:
    return open_modality(step.prepare.kind_of(name)[0], folder / name, prepared / "pool" / name)


def _days(cohort: pl.DataFrame) -> list[tuple[str, pl.Series]]:
    """Return how long after the prediction time stays are discharged from hospital, where a source tells."""
    if not {"predicted", "dischtime"} <= set(cohort.columns):
        return []
    days = (cohort["dischtime"] - cohort["predicted"]).dt.total_seconds() / 86_400
    return [("days from the prediction time to discharge", days)]


def _of_modality(name: str, opened: Modality, described: set[str]) -> Iterator[tuple[str, pl.Series]]:
    """Yield the columns of a table that are not described yet, and of a series its hours and what was not measured."""
    if isinstance(opened, TabularModality):
        for column in opened.frame.columns:
            if column not in described:
                yield column, opened.frame[column]
    if isinstance(opened, SeriesModality):
        yield f"hours of {name}", pl.Series(np.where(opened.present, opened.lengths, np.nan))
        for column, measured in _measured(opened).items():
            if not measured.all():
                yield f"not measured: {column}", pl.Series(np.where(measured, NO, YES))


def _measured(opened: SeriesModality) -> dict[str, NDArray[np.bool_]]:
    """Return whether each stay has any value of each continuous column (stay,), by the column's mask if it has one."""
    kinds = zip(opened.columns, opened.continuous, strict=True)
    names = [name for name, continuous in kinds if continuous and not name.startswith((MASK, SINCE))]
    places = [opened.columns.index(MASK + name if MASK + name in opened.columns else name) for name in names]
    masked = np.array([MASK + name in opened.columns for name in names], dtype=bool)
    found = np.zeros((len(opened.present), len(names)), dtype=bool)
    for stay in np.flatnonzero(opened.present):
        hours = opened.values[opened.offsets[stay] : opened.offsets[stay + 1], places]
        found[stay] = np.where(masked, hours == 1, np.isfinite(hours)).any(axis=0)
    return dict(zip(names, found.T, strict=True))


def splits_flow(task: str, cohort: pl.DataFrame, labels: list[str], least: int) -> list[dict[str, Any]]:
    """Return the lines of the cohort flow for the splits, with the outcomes of a task with one label."""
    lines = []
    for split in SPLITS:
        here = cohort.filter(pl.col("split") == split)
        line: dict[str, Any] = {"task": task, "step": f"in the split {split}", "split": split, "stays": here.height}
        line["subjects"] = here["subject_id"].n_unique()
        if len(labels) == 1 and here.height >= least:
            line["events"] = int((here[labels[0]] == 1).sum())
        lines.append(line)
    return lines
