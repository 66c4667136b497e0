"""Separation of a binary label by one thing alone: AUROC with its lower limit, and signs that only positives have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIGN_RATIO = 10.0
"""Likelihood ratio of the strongest honest sign: above 10 a finding settles a diagnosis (Jaeschke et al., JAMA 1994),
and no single word or code known beforehand does that for an outcome that is still to come."""
SIGN_SHARE = 0.2
"""Least share of the positives that have a sign: a rarer one changes no result by much."""
FOLDS = 5


def lower_limit(auroc: float, positives: int, negatives: int, z: float = 1.96) -> float:
    """Return the lower confidence limit of an AUROC, by method 5 of Newcombe (Statistics in Medicine 2006, 25:559).

    It is below 1 for a perfect separation too, and the further below the fewer stays there are.

    Args:
        auroc: the estimate, in [0, 1].
        positives: number of stays with the label.
        negatives: number of stays without it.
        z: quantile of the normal distribution; 1.96 leaves 2.5 % below.
    """
    from scipy.optimize import brentq

    pairs = (positives + negatives) / 2 - 1

    def excess(true: float) -> float:
        spread = 1 + pairs * ((1 - true) / (2 - true) + true / (1 + true))
        return auroc - true - z * float(np.sqrt(true * (1 - true) * spread / (positives * negatives)))

    # An estimate of 1 has a second root, at 1 itself.
    return float(brentq(excess, 0.0, min(auroc, 1 - 1e-9))) if auroc > 0 else 0.0


def area(y: NDArray[Any], scores: NDArray[Any]) -> tuple[float, float]:
    """Return the AUROC of scores (stay,) and its lower limit; 0.5 and 0 where only one class is there."""
    from scipy.stats import rankdata

    positives = int(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return 0.5, 0.0
    ranks = rankdata(scores)[y == 1].sum() - positives * (positives + 1) / 2
    auroc = float(ranks / (positives * negatives))
    return auroc, lower_limit(auroc, positives, negatives)


def either_way(y: NDArray[Any], scores: NDArray[Any]) -> tuple[float, float]:
    """Return what `area` does of the scores, or of their opposites if those tell more."""
    return max(area(y, scores), area(y, -np.asarray(scores, dtype=float)))


def folds(subjects: Sequence[Any]) -> NDArray[np.int64]:
    """Assign each stay (stay,) to one of `FOLDS` folds, so that all stays of a subject are in one."""
    _, place = np.unique(np.asarray(subjects), return_inverse=True)
    order = np.random.default_rng(0).permutation(int(place.max(initial=-1)) + 1)
    return np.asarray(order[place] % FOLDS)


def cross_fitted(inputs: Any, y: NDArray[Any], fold: NDArray[Any], strength: float) -> NDArray[np.float64]:
    """Score each stay by a logistic regression that was fitted to the other folds.

    Args:
        inputs: (stay, input), dense or sparse.
        y: (stay,) 0 or 1.
        fold: (stay,) as from `folds`.
        strength: inverse of the L2 penalty.
    """
    from sklearn.linear_model import LogisticRegression

    scores = np.zeros(len(y))
    for part in np.unique(fold):
        held = fold == part
        if len(set(y[~held])) == 2:
            model = LogisticRegression(C=strength, max_iter=200, class_weight="balanced")
            scores[held] = model.fit(inputs[~held], y[~held]).decision_function(inputs[held])
    return scores


def signs(having: NDArray[Any], of_positives: NDArray[Any], positives: int, negatives: int) -> NDArray[np.bool_]:
    """Tell which of many candidates are signs: at least `SIGN_SHARE` of the positives and hardly any others have them.

    Of the stays that have a candidate, the positives are counted against the binomial distribution that a likelihood
    ratio of `SIGN_RATIO` would give, at 5 % divided by the number of candidates (Bonferroni).

    Args:
        having: (candidate,) number of stays that have it.
        of_positives: (candidate,) how many of these are positive.
        positives: number of stays with the label.
        negatives: number of stays without it.
    """
    from scipy.stats import binom

    having, of_positives = np.asarray(having), np.asarray(of_positives)
    honest = SIGN_RATIO * positives / max(SIGN_RATIO * positives + negatives, 1)
    chance = binom.sf(of_positives - 1, having, honest)
    return np.asarray((of_positives >= SIGN_SHARE * positives) & (chance < 0.05 / max(len(having), 1)))
