"""Leakage checks: subjects shared by splits, late data, words that tell the outcome, and the leak measured as AUROC.

Every function returns rows of the result table `leakage` (`SCHEMA`); `leakage_table` joins them. Neither text nor
identifiers are in it: counts, words of this module, and names of sections.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.cohort.outcome import ANY_WORD, OUTCOME_WORDS, states_outcome
from picme.cohort.sections import split_radiology, split_sections
from picme.config.notes import DISCHARGE_COLUMNS
from picme.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

SCHEMA: dict[str, Any] = {
    "check": pl.String,
    "modality": pl.String,
    "split": pl.String,
    "count": pl.Int64,
    "detail": pl.String,
    "violation": pl.Boolean,
    "preset": pl.String,
    "label": pl.String,
    "auroc": pl.Float64,
}
MAX_TEXTS = 20_000
"""The most training texts that the measured leak uses: more change the AUROC by less than its own uncertainty."""


def leakage_table(*parts: pl.DataFrame | None) -> pl.DataFrame:
    """Join rows to the result table, violations first; None and repeated rows are left out."""
    frames = [rows(part) for part in parts if part is not None and part.height]
    if not frames:
        return pl.DataFrame(schema=SCHEMA)
    table = pl.concat(frames).unique(maintain_order=True)
    return table.sort("violation", descending=True, nulls_last=True, maintain_order=True)


def rows(part: pl.DataFrame) -> pl.DataFrame:
    """Bring an audit frame (any of the columns) to the table's columns and types."""
    return part.select(
        (pl.col(name) if name in part.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in SCHEMA.items()
    )


def violations(table: pl.DataFrame) -> list[str]:
    """Write one sentence per violation: check, modality, split, count, detail."""
    sentences = []
    for row in table.filter(pl.col("violation").fill_null(False)).iter_rows(named=True):
        where = " ".join(f"{row[name]}" for name in ("modality", "split") if row[name])
        sentences.append(f"{row['check']}{f' ({where})' if where else ''}: {row['count']}, {row['detail']}")
    return sentences


def subjects_across_splits(cohorts: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Count the subjects that are in two splits.

    Within a view any shared subject is a violation. Between views it is one if either side is a test set: the
    pretraining of preset `paper` measures itself on subjects that fine-tuning trains on, which leaks nothing.

    Args:
        cohorts: view → subject_id, split (null where a stay is in none).
    """
    subjects = {
        (view, split): set(cohort.filter(pl.col("split") == split)["subject_id"].to_list())
        for view, cohort in cohorts.items()
        for split in SPLITS
    }
    keys = list(subjects)
    found: list[dict[str, Any]] = []
    for position, first in enumerate(keys):
        for second in keys[position + 1 :]:
            if first[1] == second[1]:
                continue
            shared = len(subjects[first] & subjects[second])
            forbidden = first[0] == second[0] or "test" in (first[1], second[1])
            if shared:
                where = f"{first[0]} {first[1]} and {second[0]} {second[1]}"
                found.append(
                    {
                        "check": "shared_subjects",
                        "split": f"{first[1]}/{second[1]}",
                        "count": shared,
                        "detail": f"subjects in {where}",
                        "violation": forbidden,
                    }
                )
    if not any(row["violation"] for row in found):
        n_subjects = len(set().union(*subjects.values())) if subjects else 0
        detail = f"none of {n_subjects} subjects is in two splits of a view, or in a test set and another split"
        found.insert(0, {"check": "shared_subjects", "count": 0, "detail": detail, "violation": False})
    return found_table(found)


def outcome_words(
    texts: Mapping[str, Sequence[str | None]], split: Sequence[str | None], strict: Collection[str] = ()
) -> pl.DataFrame:
    """Count the texts that hold words of the outcome, by modality, split and section.

    Words alone are a hint ("mother died at 60"); a statement about the patient ("patient expired") is a violation in
    modalities that declare to hold only what was known at admission.

    Args:
        texts: text modality → one text per stay, None where absent.
        split: the split of each stay.
        strict: modalities whose texts must not state the outcome.
    """
    words: dict[tuple[str, str, str], Counter[str]] = {}
    stated: Counter[tuple[str, str, str]] = Counter()
    for modality, column in texts.items():
        for text, part in zip(column, split, strict=True):
            if text is None or part is None or not ANY_WORD.search(text):
                continue
            for section, body in sections(text).items():
                key = (modality, str(part), section)
                found = [word for word, pattern in OUTCOME_WORDS.items() if pattern.search(body)]
                if found:
                    counter = words.setdefault(key, Counter())
                    counter.update(found)
                    counter["texts"] += 1
                stated[key] += states_outcome(body, section)
    result: list[dict[str, Any]] = []
    for (modality, part, section), counter in sorted(words.items()):
        named = ", ".join(f"{word} {counter[word]}" for word in OUTCOME_WORDS if counter[word])
        result.append(finding("outcome_words", modality, part, counter["texts"], f"in {section}: {named}", False))
    for (modality, part, section), count in sorted(stated.items()):
        if count:
            detail = f"the patient's outcome is stated in {section}"
            result.append(finding("outcome_statement", modality, part, count, detail, modality in strict))
    return found_table(result)


def discharge_fields(modality: str, columns: Iterable[str]) -> pl.DataFrame:
    """Check that a tabular modality uses no column that is recorded at discharge or after."""
    late = sorted(set(columns) & DISCHARGE_COLUMNS)
    detail = f"recorded at discharge or after: {', '.join(late)}" if late else "no column is recorded at discharge"
    return found_table([finding("discharge_fields", modality, None, len(late), detail, bool(late))])


def cutoff_rows(
    modality: str, latest: pl.Series, cutoff: pl.Series, split: pl.Series, declared: str | None = None
) -> pl.DataFrame:
    """Count, in each split, the stays that use something that became known after their cut-off.

    Args:
        modality: name of the modality.
        latest: datetime per stay of the newest thing used, null where absent.
        cutoff: datetime per stay.
        split: the split of each stay.
        declared: the declaration of a preset that goes beyond the cut-off; with it nothing is a violation.
    """
    from picme.cohort.audit import latest_time

    found = []
    for part in SPLITS:
        inside = (split == part).fill_null(False)
        check, count, detail, violation = latest_time(latest.filter(inside), cutoff.filter(inside), declared)
        found.append(finding(check, modality, part, count, detail, violation))
    return found_table(found)


def measured_leak(
    texts: Sequence[str | None], labels: np.ndarray, split: Sequence[str | None] | np.ndarray, seed: int = 0
) -> list[float | None]:
    """Measure how well a bag of words alone predicts each label: the AUROC on test of a logistic regression.

    Args:
        texts: one per stay, None where absent (those stays take no part).
        labels: (stay,) or (stay, label); 0, 1 or NaN.
        split: the split of each stay.
        seed: which training texts are used where there are more than `MAX_TEXTS`.

    Returns:
        One AUROC per label; None where a split has no text or only one class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    targets = np.asarray(labels, dtype=float).reshape(len(texts), -1)
    parts = np.array(["" if part is None else str(part) for part in split])
    words = np.array(texts, dtype=object)
    here = np.array([text is not None for text in texts], dtype=bool)
    train, test = (np.flatnonzero(here & (parts == part)) for part in ("train", "test"))
    if len(train) > MAX_TEXTS:
        train = np.sort(np.random.default_rng(seed).choice(train, MAX_TEXTS, replace=False))
    nothing: list[float | None] = [None] * targets.shape[1]
    if not len(train) or not len(test):
        return nothing
    vectorizer = TfidfVectorizer(
        token_pattern=r"[a-z]{2,}", min_df=3 if len(train) >= 100 else 1, max_features=20_000, sublinear_tf=True
    )
    try:
        inputs = vectorizer.fit_transform([words[index] for index in train])
    except ValueError:  # no word in any text
        return nothing
    held_out = vectorizer.transform([words[index] for index in test])
    result: list[float | None] = []
    for target in targets.T:
        known, asked = ~np.isnan(target[train]), ~np.isnan(target[test])
        y, y_test = target[train][known].astype(int), target[test][asked].astype(int)
        if len(set(y)) < 2 or len(set(y_test)) < 2:
            result.append(None)
            continue
        model = LogisticRegression(C=10.0, max_iter=200, class_weight="balanced").fit(inputs[known], y)
        result.append(float(roc_auc_score(y_test, model.decision_function(held_out[asked]))))
    return result


def measured_leaks(
    texts: Mapping[str, Sequence[str | None]], labels: pl.DataFrame, split: Sequence[str | None], preset: str
) -> pl.DataFrame:
    """Apply `measured_leak` to each text modality and label under one preset; call it once per preset to compare.

    Args:
        texts: text modality → one text per stay.
        labels: one column per label, aligned with the texts.
        split: the split of each stay.
        preset: the rule by which the texts were chosen (`paper`, `prospective`).
    """
    values = labels.select(pl.all().cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    part = np.array(["" if one is None else str(one) for one in split])
    found = []
    for modality, column in texts.items():
        n_test = sum(text is not None for text, one in zip(column, part, strict=True) if one == "test")
        for label, auroc in zip(labels.columns, measured_leak(column, values, part), strict=True):
            found.append(
                {
                    "check": "measured_leak",
                    "modality": modality,
                    "split": "test",
                    "count": n_test,
                    "detail": "bag of words, logistic regression",
                    "preset": preset,
                    "label": label,
                    "auroc": auroc,
                }
            )
    return found_table(found)


def sections(text: str) -> dict[str, str]:
    """Split a text by whichever family of headings fits; a text without headings is one section, `header`."""
    return max(split_sections(text), split_radiology(text), key=lambda found: len(found.keys() - {"header"}))


def finding(
    check: str, modality: str | None, split: str | None, count: int, detail: str, violation: bool
) -> dict[str, Any]:
    """Make a row of the table; what is not given is null."""
    return {
        "check": check,
        "modality": modality,
        "split": split,
        "count": count,
        "detail": detail,
        "violation": violation,
    }


def found_table(found: list[dict[str, Any]]) -> pl.DataFrame:
    """Make a part of the table of its rows."""
    return pl.DataFrame(found, schema=SCHEMA, orient="row") if found else pl.DataFrame(schema=SCHEMA)
