"""The schedule of radiology studies, from which both the reports and the images are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from picme_hospital.files import stream
from picme_hospital.patients import HOUR, Hospital

# The share of admissions that have records but no study in the first 48 hours in the ICU.
LATE = 0.02


@dataclass
class Studies:
    """The K radiology studies of all admissions; each attribute has shape (K,), and times are in seconds.

    Attributes:
        admission: The index of the study's admission.
        study_id: The study's id; ids are distinct.
        time: The time of the exposure, since 1970.
        delay: The time from the exposure until the report is stored.
        portable: Whether the study is an AP film at the bedside; other chest studies are PA and lateral films.
        chest: Whether the study is of the chest; other studies have no image.
        reported: Whether a report exists.
        imaged: Whether images exist.
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
    """Draw the radiology studies of every admission.

    Nearly every admission has a portable chest film around ICU admission. Some have further films on later days, some
    have films on admission to the hospital, and some have another examination.
    """
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
        # Each group holds admissions, times (None if drawn below), portable and chest.
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
        elif k == 1:  # films on the second day in the ICU
            at = intime[rows] + (24 * HOUR + 20 * hour).astype("int64")
        elif k == 2:  # films after the second day
            at = intime[rows] + (50 * HOUR + 60 * hour).astype("int64")
        elif k == 3:  # films around hospital admission, some of them in the emergency room
            at = h.admittime[rows] + (2 * hour).astype("int64") - 1800
        else:  # other examinations
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
