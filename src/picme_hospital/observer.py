"""A perfect observer of some modalities of a planted hospital: the best that any model of them could do.

The observer of a subset S knows every part of mortality's logit that S shows: each modality's own part exactly; of the
finding that image and report share, its noisy views in S; of the exclusive-or, the whole if both signs are in S, and
else nothing. What remains unknown is independent of what is known, so the risk given S grows with the logit expected
given S, and no score of S has a greater AUROC.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from picme_hospital.arguments import MODALITIES, MORTALITY_RATE
from picme_hospital.files import stream
from picme_hospital.latent import (
    FINDING_NOISE,
    MORTALITY_SPREAD,
    ODD,
    SIGNS,
    intercept,
    sigmoid,
    standard,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme_hospital.arguments import Planted


def observed(planted: Planted, admissions: int = 400_000, seed: int = 0) -> dict[frozenset[str], float]:
    """Compute the AUROC of death of the perfect observer of every subset of the modalities, by simulation.

    Args:
        planted: What the hospital's modalities tell of death.
        admissions: The number of admissions simulated. The standard error of an AUROC is about 0.6 / √admissions.
        seed: The seed of the simulation.

    Returns:
        The AUROC of each of the 32 subsets, 0.5 for the empty one.
    """
    rng = stream(seed, "observer")
    own = {name: np.sqrt(planted.influence.get(name, 0.0)) * rng.normal(size=admissions) for name in MODALITIES}
    finding = rng.normal(size=admissions)
    views = {name: finding + noise * rng.normal(size=admissions) for name, noise in FINDING_NOISE.items()}
    both = np.sqrt(planted.synergy) * standard(rng.random(admissions) < ODD)
    logit = MORTALITY_SPREAD * (sum(own.values()) + np.sqrt(planted.redundancy) * finding + both)
    died = rng.random(admissions) < sigmoid(intercept(logit, MORTALITY_RATE) + logit)
    values = {frozenset[str](): 0.5}
    for size in range(1, len(MODALITIES) + 1):
        for names in combinations(MODALITIES, size):
            known = np.sum([own[name] for name in names], axis=0)
            shown = [name for name in names if name in FINDING_NOISE]
            # The mean of a standard-normal finding, given its views: each counts by its precision, the prior as one.
            precision = {name: FINDING_NOISE[name] ** -2 for name in shown}
            for name in shown:
                share = precision[name] / (1 + sum(precision.values()))
                known = known + np.sqrt(planted.redundancy) * share * views[name]
            if SIGNS.keys() <= set(names):
                known = known + both
            values[frozenset(names)] = _auroc(died, known)
    return values


def sufficient(values: Mapping[frozenset[str], float], margin: float) -> frozenset[str]:
    """Return the smallest subset whose value is at most `margin` below the greatest; of several, the best."""
    least = max(values.values()) - margin
    return min((len(names), -value, names) for names, value in values.items() if value >= least)[2]


def _auroc(died: np.ndarray, score: np.ndarray) -> float:
    """Return the share of pairs of a death and a survival in which the death has the greater score; ties count half."""
    deaths = int(died.sum())
    ranks = float(rankdata(score)[died].sum())
    return (ranks - deaths * (deaths + 1) / 2) / (deaths * (len(died) - deaths))
