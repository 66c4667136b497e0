"""Judgement of what each modality of a prepared cohort tells of the outcome by itself, against stated bounds.

The prepared files are read, so that what was planted or changed after preparing is judged too. Stays of all splits
count, by cross-fitting over subjects: the test stays alone hold too few positives for a useful limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.cohort.audit import kept_by
from picme.cohort.leakage import finding, found_table
from picme.cohort.separation import SIGN_SHARE, area, cross_fitted, either_way, folds, signs
from picme.cohort.telling import judge_texts
from picme.modalities import open_modality
from picme.tasks import build

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from picme.modalities.base import Modality
    from picme.prepare.step import Prepare

CHECKS = (
    "told_by_content",
    "told_by_column",
    "told_by_value",
    "told_by_section",
    "told_by_word",
    "late_hours",
    "duplicate_stays",
)
"""The checks of this module."""
WHOLE = 0.95
"""AUROC that the whole content of a modality may reach: models of ICU mortality reach 0.85 to 0.9 with all modalities
together."""
SINGLE = 0.9
"""AUROC that one column may reach: severity scores that join dozens of columns (APACHE IV: 0.88) stay below."""
MOST = 10_000
"""Most stays that are read of a view: more would narrow a limit by less than half a point."""
LONG = 50
"""Words of a text that does not repeat by itself, as "no acute process" does."""
CHANCE = 0.01
"""Pairs of equal stays to be expected by chance, at most, for one pair to be called a copy."""
MAX_VALUES = 20
"""A column with more distinct values is no code whose single values could be signs."""


def judge_contents(step: Prepare, prepared: Path) -> pl.DataFrame:
    """Return rows of the table `leakage`: what tells the outcome, modality by modality and task by task.

    A task that looks back on the whole stay is not judged: its diagnoses may be known at admission. Where notes are
    admitted beyond the cut-off, as in preset `paper`, what is found is declared and no violation.
    """
    rows: list[dict[str, Any]] = []
    paper = "paper" in (step.cohort.admit, step.cohort.notes.mode)
    for name, section in step.tasks.items():
        task = build(name, section)
        folder = prepared / "views" / name
        cohort = pl.read_parquet(folder / "cohort.parquet")
        looks_back = "predicted" in cohort.columns and kept_by(False, task.prediction_hours(step.cohort))
        if looks_back:
            rows.append(finding("told_by_content", None, None, 0, f"{name}: not judged, {looks_back}", False))
            continue
        stays = np.flatnonzero(cohort["split"].is_not_null().to_numpy())
        if len(stays) > MOST:
            stays = np.sort(np.random.default_rng(0).choice(stays, MOST, replace=False))
        cohort = cohort[stays]
        plain: list[pl.DataFrame] = []
        texts: list[list[str | None]] = []
        for modality in step.modalities:
            opened = open_modality(step.kind_of(modality)[0], folder / modality, prepared / "pool" / modality)
            plain.append(opened.plain(stays))
            texts.append(opened.words(stays))
            rows += _late_hours(name, modality, opened, stays, task.prediction_hours(step.cohort))
            for label in task.labels:
                found = _judge(modality, label, opened, stays, plain[-1], texts[-1], cohort)
                rows += [_declared(row) if paper and row["violation"] else row for row in found]
        rows.append(_duplicates(name, cohort, plain, texts))
    return found_table(rows)


def _late_hours(
    task: str, modality: str, opened: Modality, stays: NDArray[np.int64], limit: float | None
) -> list[dict[str, Any]]:
    """Count the series that go on after the prediction time; without an encoder only series have lengths, in hours."""
    if limit is None or opened.lengths is None:
        return []
    late = int((np.asarray(opened.lengths)[stays] > np.ceil(limit)).sum())
    detail = f"{task}: series with hours after the prediction time, {limit:g} h"
    return [finding("late_hours", modality, None, late, detail, late > 0)]


def _declared(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "detail": f"{row['detail']}; the preset declares the whole admission", "violation": False}


def _judge(
    modality: str,
    label: str,
    opened: Modality,
    stays: NDArray[np.int64],
    plain: pl.DataFrame,
    texts: list[str | None],
    cohort: pl.DataFrame,
) -> list[dict[str, Any]]:
    """Judge one modality against one label: its presence, its columns one by one, its texts, and all of it."""
    known = cohort[label].is_not_null().to_numpy()
    y = cohort[label].fill_null(0).to_numpy().astype(int)
    if not 0 < y[known].sum() < known.sum():
        return []
    present = np.asarray(opened.present)[stays]
    rows = []
    if 0 < present[known].sum() < known.sum():
        presence = pl.DataFrame({"presence": present[known].astype(float)})
        rows = judge_columns(modality, label, presence, y[known], folds(cohort["subject_id"].to_numpy()[known]))
    here = known & present
    if not 0 < y[here].sum() < here.sum():
        return rows
    fold = folds(cohort["subject_id"].to_numpy()[here])
    if plain.width:
        rows += judge_columns(modality, label, plain.filter(pl.Series(here)), y[here], fold)
        scores = cross_fitted(_matrix(plain.filter(pl.Series(here))), y[here], fold, 0.1)
        rows.append(_whole(modality, label, y[here], scores, "all columns, logistic regression"))
    if texts:
        words = [text or "" for text, chosen in zip(texts, here, strict=True) if chosen]
        scores, found = judge_texts(modality, label, words, y[here], fold)
        rows += [_whole(modality, label, y[here], scores, "bag of words, logistic regression"), *found]
    return rows


def _whole(modality: str, label: str, y: NDArray[Any], scores: NDArray[Any], how: str) -> dict[str, Any]:
    return bounded("told_by_content", modality, label, how, area(y, scores), len(y), WHOLE)


def bounded(
    check: str, modality: str, label: str, what: str, found: tuple[float, float], stays: int, bound: float
) -> dict[str, Any]:
    """Make the row that holds an AUROC and its lower limit against a bound."""
    auroc, low = found
    detail = f"{label}, {what}: AUROC {auroc:.1%}, at least {low:.1%}; bound {bound:.0%}"
    return finding(check, modality, None, stays, detail, low > bound)


def judge_columns(
    modality: str, label: str, columns: pl.DataFrame, y: NDArray[Any], fold: NDArray[Any]
) -> list[dict[str, Any]]:
    """Judge each column by how well it alone tells a label; the row of the best column, and of each violation.

    A column tells by its values (words by the label's mean among their other folds), by where it is empty, and by one
    value that is a sign (see `separation.signs`).
    """
    areas: list[tuple[tuple[float, float], str, int]] = []
    indicators: list[tuple[str, NDArray[Any]]] = []
    for name in columns.columns:
        cells = columns[name]
        there = cells.is_not_null().to_numpy()
        scores = cells.to_numpy() if cells.dtype.is_numeric() else _means(cells, y, fold)
        areas.append((either_way(y[there], scores[there]), f"column {name}", int(there.sum())))
        if not there.all():
            areas.append((either_way(y, there), f"absence of {name}", len(y)))
            indicators.append((f"absence of {name}", ~there))
        if cells.n_unique() <= MAX_VALUES:
            values = cells.drop_nulls().unique(maintain_order=True)
            indicators += [(f"one value of {name}", (cells == value).fill_null(False).to_numpy()) for value in values]
        elif cells.dtype.is_numeric():
            indicators += _extremes(name, cells, int(y.sum()))
    areas.sort(key=lambda one: one[0][1], reverse=True)
    rows = [
        bounded("told_by_column", modality, label, what, found, stays, SINGLE)
        for place, (found, what, stays) in enumerate(areas)
        if place == 0 or found[1] > SINGLE
    ]
    named = {what for found, what, _ in areas if found[1] > SINGLE}
    if indicators:
        having = np.array([part.sum() for _, part in indicators])
        positive = np.array([y[part].sum() for _, part in indicators])
        n = int(y.sum())
        for place in np.flatnonzero(signs(having, positive, n, len(y) - n)):
            what, other = indicators[place][0], having[place] - positive[place]
            if what not in named and f"column {what.split(' of ', 1)[1]}" not in named:
                named.add(what)
                detail = f"{label}: {what} is in {positive[place]} of {n} positive and {other} of {len(y) - n} others"
                rows.append(finding("told_by_value", modality, None, int(positive[place]), detail, True))
    return rows


def _extremes(name: str, cells: pl.Series, positives: int) -> list[tuple[str, NDArray[Any]]]:
    """Return where a column is among its lowest or highest, as many cells as there are positives or a part of them."""
    found = []
    values = np.sort(cells.drop_nulls().to_numpy())
    for share in (SIGN_SHARE, 0.5, 1.0):
        place = min(math.ceil(share * positives), len(values)) - 1
        found.append((f"a low value of {name}", (cells <= values[place]).fill_null(False).to_numpy()))
        found.append((f"a high value of {name}", (cells >= values[-1 - place]).fill_null(False).to_numpy()))
    return found


def _means(cells: pl.Series, y: NDArray[Any], fold: NDArray[Any]) -> NDArray[np.float64]:
    """Score each stay by the label's mean among the stays of other folds that have the same word."""
    frame = pl.DataFrame({"word": cells, "y": y, "fold": fold})
    of_word = frame.with_columns(
        pl.col("y").sum().over("word").alias("sum") - pl.col("y").sum().over("word", "fold"),
        pl.len().over("word").alias("n") - pl.len().over("word", "fold"),
    )
    # One stay with the overall mean is added, for words that other folds lack.
    return ((of_word["sum"] + float(y.mean())) / (of_word["n"] + 1)).to_numpy()


def _matrix(columns: pl.DataFrame) -> NDArray[np.float64]:
    """Encode columns for a linear model: standardised numbers (at most 5), frequent words, and what is missing."""
    parts = []
    for cells in columns:
        if cells.dtype.is_numeric():
            numbers = cells.cast(pl.Float64)
            scaled = (numbers - (numbers.mean() or 0.0)) / (numbers.std() or 1.0)
            parts.append(scaled.clip(-5, 5).fill_null(0).to_numpy())
        else:
            common = cells.drop_nulls().value_counts(sort=True).head(MAX_VALUES).to_series()
            parts += [(cells == word).fill_null(False).to_numpy() for word in common]
        if cells.null_count():
            parts.append(cells.is_null().to_numpy())
    return np.column_stack(parts).astype(np.float64)


def _duplicates(
    name: str, cohort: pl.DataFrame, plain: list[pl.DataFrame], texts: list[list[str | None]]
) -> dict[str, Any]:
    """Count the test stays whose whole content is that of a training stay of another subject.

    Coarse columns repeat by chance: a pair counts if, were the columns independent, fewer than `CHANCE` such pairs were
    to be expected, going by the cells that it has.
    """
    columns = [cells for frame in plain for cells in frame]
    words = [pl.Series(text, dtype=pl.String) for text in texts if text]
    log_share = {
        f"{number}": math.log(_repeats(cells) or 1e-9)
        for number, cells in enumerate([*columns, *(text.filter(~_long(text)) for text in words)])
    }
    content = [cells.alias(name) for cells, name in zip([*columns, *words], log_share, strict=True)]
    frame = pl.DataFrame([*content, cohort["subject_id"], cohort["split"]])
    train, test = (frame.filter(pl.col("split") == part) for part in ("train", "test"))
    pairs = test.with_row_index().join(train, on=list(log_share), how="inner", nulls_equal=True)
    here = [pl.when(pl.col(name).is_not_null()).then(share).otherwise(0.0) for name, share in log_share.items()]
    rare = pl.sum_horizontal(here) + math.log(max(train.height * test.height, 1)) < math.log(CHANCE)
    count = pairs.filter(rare, pl.col("subject_id") != pl.col("subject_id_right"))["index"].n_unique()
    detail = f"{name}: test stays with the whole content of a training stay of another subject"
    return finding("duplicate_stays", None, "train/test", count, detail, count > 0)


def _long(texts: pl.Series) -> pl.Series:
    return (texts.str.count_matches(r"\w+") >= LONG).fill_null(False)


def _repeats(cells: pl.Series) -> float:
    """Return the share of pairs of stays that have the same cell, of those that have one."""
    cells = cells.drop_nulls()
    counts = cells.value_counts()["count"].to_numpy().astype(float)
    return float((counts * (counts - 1)).sum() / max(len(cells) * (len(cells) - 1), 1))
