"""Subjects, admissions and stays."""

from __future__ import annotations

import numpy as np

from picme_hospital.patients import HOUR, admit


def test_lengths_of_stay_and_exclusions() -> None:
    h = admit(4000, seed=5)
    hours = (h.outtime - h.intime) / HOUR
    assert len(h.stay_id) == 4000
    assert 0.86 < (hours >= 48).mean() < 0.90
    assert 70 < np.median(hours) < 90
    assert 240 < hours.max() < 321
    single = np.bincount(h.admission)[h.admission] == 1
    adult = h.anchor_age[h.subject[h.admission]] >= 18
    assert 0.87 < (single & adult & ~h.transferred).mean() < 0.93
    assert h.anchor_age.min() == 17
    assert len(h.subject_id) < len(h.hadm_id) < 4000


def test_second_stays_follow_the_first() -> None:
    h = admit(4000, seed=5)
    same = np.flatnonzero(np.diff(h.admission) == 0)
    assert len(same) > 20
    assert (h.intime[same + 1] > h.outtime[same]).all()
    assert (h.dischtime[h.admission] >= h.outtime).all()
    assert (h.admittime[h.admission] < h.intime).all()


def test_the_dead_do_not_return() -> None:
    h = admit(4000, seed=5)
    assert h.latent.died.any()
    later = np.flatnonzero(np.diff(h.subject) == 0)
    assert not h.latent.died[later].any()
    assert (h.admittime[later + 1] > h.dischtime[later]).all()


def test_length_of_stay_tells_nothing_of_death() -> None:
    h = admit(20_000, seed=2)
    long = (h.outtime - h.intime >= 48 * HOUR)[h.first_stay()]
    excess = (h.latent.died - h.latent.risk)[long]
    assert abs(excess.mean()) < 4 * excess.std() / np.sqrt(len(excess))
