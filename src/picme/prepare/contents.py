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
from picme.cohort.plans import HOUR
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
FEWEST = 5
"""Fewest stays of like rank whose rate of the label is taken together."""
MOST_WORDS = 20
"""Words of a column, the most frequent, of which the linear model of a whole modality learns."""


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
        if "predicted" in cohort.columns and task.moment == "looking back":
            looks_back = kept_by(False, task, step.cohort)
            rows.append(finding("told_by_content", None, None, 0, f"{name}: not judged, {looks_back}", False))
            continue
        stays = np.flatnonzero(cohort["split"].is_not_null().to_numpy())
        if len(stays) > MOST:
            stays = np.sort(np.random.default_rng(0).choice(stays, MOST, replace=False))
        cohort = cohort[stays]
        limit = _hours_seen(cohort, task.prediction_hours(step.cohort))
        plain: list[pl.DataFrame] = []
        texts: list[list[str | None]] = []
        for modality in step.modalities:
            opened = open_modality(step.kind_of(modality)[0], folder / modality, prepared / "pool" / modality)
            plain.append(opened.plain(stays))
            texts.append(opened.words(stays))
            rows += _late_hours(name, modality, opened, stays, limit)
            for label in task.labels:
                found = _judge(modality, label, opened, stays, plain[-1], texts[-1], cohort)
                rows += [_declared(row) if paper and row["violation"] else row for row in found]
        rows.append(_duplicates(name, cohort, plain, texts))
    return found_table(rows)


def _hours_seen(cohort: pl.DataFrame, declared: float | None) -> NDArray[np.float64] | None:
    """Return the hours (stay,) from the start of each series to the stay's prediction time; None where no time is."""
    if "seconds_seen" in cohort.columns:
        return cohort["seconds_seen"].to_numpy() / HOUR
    return None if declared is None else np.full(cohort.height, float(declared))


def _late_hours(
    task: str, modality: str, opened: Modality, stays: NDArray[np.int64], limit: NDArray[np.float64] | None
) -> list[dict[str, Any]]:
    """Count the series that go on after the prediction time; without an encoder only series have lengths, in hours."""
    if limit is None or opened.lengths is None:
        return []
    late = int((np.asarray(opened.lengths)[stays] > np.ceil(limit)).sum())
    times = np.unique(limit)
    when = f"{times[0]:g} h" if len(times) == 1 else "which each stay has of its own"
    detail = f"{task}: series with hours after the prediction time, {when}"
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
        scores = cross_fitted(linear_inputs(plain.filter(pl.Series(here))), y[here], fold, 0.1)
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

    A column tells by the order of its numbers, by the label's rate among other folds' stays with the same value (of
    numbers also: with a value of like rank), by where it is empty, and by values that are a sign (`separation.signs`).
    """
    areas: list[tuple[tuple[float, float], str, int]] = []
    candidates: list[tuple[str, str, int, int]] = []
    for name in columns.columns:
        cells = columns[name]
        there = cells.is_not_null().to_numpy()
        if not there.all():
            areas.append((either_way(y, there), f"absence of {name}", len(y)))
            candidates.append((f"absence of {name}", "absence", int((~there).sum()), int(y[~there].sum())))
        if not there.any():
            continue
        cells, y_there = cells.drop_nulls(), y[there]
        rates = [_rates(values, y_there, fold[there]) for values in _groupings(cells, int(y.sum()))]
        found = [area(y_there, scores) for scores in rates]
        if cells.dtype.is_numeric():
            found.append(either_way(y_there, cells.to_numpy()))
        areas.append((max(found), f"column {name}", len(cells)))
        candidates += [(f"column {name}", *one) for one in _candidates(cells, rates, y_there, int(y.sum()))]
    areas.sort(key=lambda one: one[0][1], reverse=True)
    rows = [
        bounded("told_by_column", modality, label, what, found, stays, SINGLE)
        for place, (found, what, stays) in enumerate(areas)
        if place == 0 or found[1] > SINGLE
    ]
    named = {what for found, what, _ in areas if found[1] > SINGLE}
    n = int(y.sum())
    having, positive = np.array([one[2:] for one in candidates], dtype=int).reshape(-1, 2).T
    told = np.flatnonzero(signs(having, positive, n, len(y) - n))
    for place in sorted(told, key=lambda place: having[place] - 2 * positive[place]):
        where, what, of_all, of_positives = candidates[place]
        if where not in named:
            named.add(where)
            what = where if what == "absence" else f"{what} of {where.removeprefix('column ')}"
            others = f"{of_all - of_positives} of {len(y) - n} others"
            detail = f"{label}: {what} is in {of_positives} of {n} positive and {others}"
            rows.append(finding("told_by_value", modality, None, of_positives, detail, True))
    return rows


def _groupings(cells: pl.Series, positives: int) -> list[NDArray[np.int64]]:
    """Number the cells (none is null) by their value; of numbers also by ranks, so that no order is assumed.

    Cells of like rank are half as many as a sign of the positives; a value with more cells has a number of its own.
    """
    found = [cells.rank("dense").to_numpy().astype(np.int64) - 1]
    if cells.dtype.is_numeric():
        size = max(FEWEST, math.ceil(SIGN_SHARE * positives / 2))
        found.append((cells.rank("min").to_numpy().astype(np.int64) - 1) // size)
    return found


def _rates(values: NDArray[np.int64], y: NDArray[Any], fold: NDArray[Any]) -> NDArray[np.float64]:
    """Score each stay by the label's mean among the stays of other folds that have the same value."""
    cell = fold * (values.max() + 1) + values
    others, positive = (
        np.bincount(values, weight)[values] - np.bincount(cell, weight)[cell] for weight in (np.ones(len(y)), y)
    )
    # One stay with the overall mean is added, for values that other folds lack.
    return np.asarray((positive + y.mean()) / (others + 1))


def _candidates(
    cells: pl.Series, rates: list[NDArray[np.float64]], y: NDArray[Any], positives: int
) -> list[tuple[str, int, int]]:
    """Return what may be a sign in a column: its name, the number of stays that have it, and the positives of these.

    Candidates are chosen without the label of the stays that they are tried on: every value that enough stays have;
    and as many cells as there are positives, or a part of them, of the lowest and highest numbers and of the values
    with the highest rates of other folds.
    """
    codes = cells.rank("dense").to_numpy().astype(np.int64)
    having, positive = np.bincount(codes), np.bincount(codes, y).astype(int)
    frequent = np.flatnonzero(having >= max(2, math.ceil(SIGN_SHARE * positives)))
    found = [("one value", int(having[code]), int(positive[code])) for code in frequent]
    ordered = [("a set of values", scores) for scores in rates]
    if cells.dtype.is_numeric():
        ordered += [("a high value", cells.to_numpy()), ("a low value", -cells.to_numpy())]
    for what, scores in ordered:
        falling = -np.sort(-scores)
        for share in (SIGN_SHARE, 0.5, 1.0):
            bound = falling[min(math.ceil(share * positives), len(falling)) - 1]
            high = scores >= bound
            # Where the highest numbers are one value, it is a candidate already.
            if not high.all() and (falling[0] > bound or what == "a set of values"):
                found.append((what, int(high.sum()), int(y[high].sum())))
    return found


def linear_inputs(columns: pl.DataFrame) -> NDArray[np.float64]:
    """Encode columns for a linear model: standardised numbers (at most 5), frequent words, and what is missing."""
    parts = []
    for cells in columns:
        if cells.dtype.is_numeric():
            numbers = cells.cast(pl.Float64)
            scaled = (numbers - (numbers.mean() or 0.0)) / (numbers.std() or 1.0)
            parts.append(scaled.clip(-5, 5).fill_null(0).to_numpy())
        else:
            common = cells.drop_nulls().value_counts(sort=True).head(MOST_WORDS).to_series()
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
