"""Choice of the training stays whose labels are used, to study how many labels a strategy needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from picme.modalities.view import ViewData


def with_share(view: ViewData, rows: np.ndarray, targets: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the training stays with a label, or a share of them, in the rows' order.

    Subjects are drawn with all their stays, in an order given by the seed, until the share is reached. So a seed's
    smaller share is part of its larger one, and every strategy gets the same stays. There are at least two stays.

    Args:
        view: view whose cohort has the subjects.
        rows: row numbers of training stays.
        targets: (stay, label) of the whole view, NaN where unknown; stays without any label are left out.
        share: share of the labelled stays, in (0, 1].
        seed: seed of the drawing.
    """
    rows = rows[~np.isnan(targets[rows]).all(axis=1)]
    if share >= 1:
        return rows
    _, subject = np.unique(view.cohort.get_column("subject_id").to_numpy()[rows], return_inverse=True)
    place = np.random.default_rng(seed).permutation(int(subject.max(initial=-1)) + 1)[subject]
    wanted = max(2, math.ceil(share * len(rows)))
    if wanted >= len(rows):
        return rows
    last = np.sort(place)[wanted - 1]
    return rows[place <= last]
