"""Texts that tell a label: all their words, one section against the others, and words that only positives have."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from picme.cohort.leakage import finding, sections
from picme.cohort.outcome import OUTCOME_WORDS
from picme.cohort.separation import SIGN_SHARE, area, cross_fitted, lower_limit, signs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MARGIN = 0.2
"""AUROC by which one section may surpass the rest of the same texts, limits against each other: of an honest text the
history tells most, and by half of this at the utmost."""
FEWEST = 20
"""Fewest texts that must hold a section for it to be held against the rest."""


def judge_texts(
    modality: str, label: str, texts: Sequence[str], y: NDArray[Any], fold: NDArray[Any]
) -> tuple[NDArray[np.float64], list[dict[str, Any]]]:
    """Score texts by their words, and judge each section.

    No text is quoted: a word is named only if it is one of `outcome.OUTCOME_WORDS`.

    Args:
        modality: name of the modality.
        label: name of the label.
        texts: (stay,) texts.
        y: (stay,) 0 or 1.
        fold: (stay,) as from `separation.folds`.

    Returns:
        Cross-fitted scores (stay,) of a bag of words, and the rows of what was found.
    """
    divided = [sections(text) for text in texts]
    count = Counter(name for one in divided for name in one)
    names = [name for name in count if count[name] >= FEWEST]
    # A section that fewer texts hold can hold no sign.
    least = min(FEWEST, SIGN_SHARE * y.sum())
    rows = []
    for name in sorted(name for name in count if count[name] >= least):
        bodies = [one.get(name, "") for one in divided]
        rows += _words(modality, label, name, bodies, y)
        if name in names and len(names) > 1:
            rest = ["\n".join(body for other, body in one.items() if other != name) for one in divided]
            rows += _section(modality, label, name, bodies, rest, y, fold)
    return _scores(texts, y, fold), rows


def _scores(texts: Sequence[str], y: NDArray[Any], fold: NDArray[Any]) -> NDArray[np.float64]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        token_pattern=r"\w{2,}", min_df=3 if len(texts) >= 100 else 1, max_features=20_000, sublinear_tf=True
    )
    try:
        return cross_fitted(vectorizer.fit_transform(texts), y, fold, 10.0)
    except ValueError:  # no word in any text
        return np.zeros(len(y))


def _section(
    modality: str,
    label: str,
    name: str,
    bodies: Sequence[str],
    rest: Sequence[str],
    y: NDArray[Any],
    fold: NDArray[Any],
) -> list[dict[str, Any]]:
    """Hold a section against the rest of the same texts."""
    auroc, low = area(y, _scores(bodies, y, fold))
    if low < 0.5 + MARGIN:
        return []
    other = area(y, _scores(rest, y, fold))[0]
    positives = int(y.sum())
    high = 1 - lower_limit(1 - other, positives, len(y) - positives)
    detail = (
        f"{label}: the words of {name} reach an AUROC of {auroc:.1%} (at least {low:.1%}), "
        f"those of the other sections {other:.1%} (at most {high:.1%}); margin {MARGIN:.0%}"
    )
    return [finding("told_by_section", modality, None, sum(map(bool, bodies)), detail, low - high > MARGIN)]


def _words(modality: str, label: str, name: str, bodies: Sequence[str], y: NDArray[Any]) -> list[dict[str, Any]]:
    """Find words, numbers and pairs of them that are signs; the strongest of the section is described."""
    from sklearn.feature_extraction.text import CountVectorizer

    positives = int(y.sum())
    least = max(2, math.ceil(SIGN_SHARE * positives))
    vectorizer = CountVectorizer(binary=True, ngram_range=(1, 2), token_pattern=r"\w+", min_df=least)
    try:
        counts = vectorizer.fit_transform(bodies)
    except ValueError:  # no word in so many texts
        return []
    having = np.asarray(counts.sum(axis=0)).ravel()
    of_positives = np.asarray(counts[y == 1].sum(axis=0)).ravel()
    found = np.flatnonzero(signs(having, of_positives, positives, len(y) - positives))
    if not len(found):
        return []
    best = max(found, key=lambda place: 2 * of_positives[place] - having[place])
    others = having[best] - of_positives[best]
    kind = _kind(vectorizer.get_feature_names_out()[best])
    detail = (
        f"{label}: {kind} in {name} is in {of_positives[best]} of {positives} "
        f"positive and {others} of {len(y) - positives} other texts; {len(found)} such words and pairs"
    )
    return [finding("told_by_word", modality, None, int(of_positives[best]), detail, True)]


def _kind(words: str) -> str:
    """Describe a word or a pair without quoting it, unless it is a known word of the outcome."""
    named = [word for word, pattern in OUTCOME_WORDS.items() if pattern.search(words)]
    kind = "a number" if any(letter.isdigit() for letter in words) else "a word"
    kind = "a pair of words" if " " in words else kind
    return f"{kind} ({named[0]})" if named else kind
