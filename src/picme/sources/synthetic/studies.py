"""When an admission is X-rayed: the studies that reports and images share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from picme.sources.synthetic.files import stream
from picme.sources.synthetic.patients import HOUR, Hospital

LATE = 0.02  # share of admissions without any study before 48 hours in the ICU, beside those without records


@dataclass
class Studies:
    """Radiology studies of all admissions, (K,) each; times in seconds since 1970.

    Attributes:
        admission: index of the admission.
        study_id: distinct.
        time: of the exposure. delay: until the report is stored.
        portable: an AP film at the bedside; otherwise PA and lateral.
        chest: a chest film; otherwise another examination, without an image.
        reported, imaged: whether a report and an image exist.
    """

    admission: np.ndarray
    study_id: np.ndarray
    time: np.ndarray
    delay: np.ndarray
    portable: np.ndarray
    chest: np.ndarray
    reported: np.ndarray
    imaged: np.ndarray


def schedule(h: Hospital) -> Studies:
    """One portable film around ICU admission for nearly all, some more on later days, some films before the ICU."""
    rng = stream(h.seed, "studies")
    n = len(h.hadm_id)
    first = h.first_stay()
    intime, outtime = h.intime[first], h.outtime[first]
    every = np.arange(n)
    late = rng.random(n) < LATE
    around = np.maximum(intime + (rng.uniform(-3, 10, n) * HOUR).astype("int64"), h.admittime + 300)
    around = np.minimum(around, outtime - 600)
    later = (intime + 50 * HOUR + rng.integers(0, 30, n) * HOUR)[:, None]
    groups = [
        # admissions, time, portable, chest
        (every, np.where(late, later[:, 0], around), True, True),
        (every[rng.random(n) < 0.25], None, True, True),
        (every[rng.random(n) < 0.3], None, True, True),
        (every[rng.random(n) < 0.15], None, False, True),
        (every[rng.random(n) < 0.15], None, True, False),
    ]
    admission, time, portable, chest = [], [], [], []
    for k, (rows, when, bedside, thorax) in enumerate(groups):
        hour = HOUR * rng.uniform(0, 1, len(rows))
        if when is not None:
            at = when
        elif k == 1:  # the second day
            at = intime[rows] + (24 * HOUR + 20 * hour).astype("int64")
        elif k == 2:  # after the second day
            at = intime[rows] + (50 * HOUR + 60 * hour).astype("int64")
        elif k == 3:  # on admission, now and then in the emergency room
            at = h.admittime[rows] + (2 * hour).astype("int64") - 1800
        else:
            at = intime[rows] + (30 * hour).astype("int64")
        rows_kept = (at < h.dischtime[rows]) & ((k == 0) | ~late[rows])
        admission.append(rows[rows_kept])
        time.append(at[rows_kept])
        portable.append(np.full(int(rows_kept.sum()), bedside))
        chest.append(np.full(int(rows_kept.sum()), thorax))
    owner, when_taken = np.concatenate(admission), np.concatenate(time)
    order = np.lexsort((when_taken, owner))
    owner, when_taken = owner[order], when_taken[order]
    is_chest = np.concatenate(chest)[order]
    k = len(order)
    delay = np.clip(np.exp(rng.normal(np.log(2.0), 0.8, k)), 0.2, 30) * HOUR
    return Studies(
        admission=owner,
        study_id=50_000_000 + rng.choice(9_999_999, size=k, replace=False),
        time=when_taken // 60 * 60,
        delay=delay.astype("int64") // 60 * 60,
        portable=np.concatenate(portable)[order],
        chest=is_chest,
        reported=~h.missing["radiology"][owner],
        imaged=is_chest & ~h.missing["image"][owner],
    )
