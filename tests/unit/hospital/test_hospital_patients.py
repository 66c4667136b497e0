"""Subjects, admissions and stays."""

from __future__ import annotations

import numpy as np
import pytest

from picme_hospital import Absence
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


def test_records_are_absent_at_random_or_by_severity_in_the_share_asked_for() -> None:
    shares = {"image": 0.4, "radiology": 0.0, "discharge": 1.0}
    for slope in (0.0, -1.5):
        h = admit(4000, seed=5, absence=Absence(shares, slope))
        found = {name: mask.mean() for name, mask in h.missing.items()}
        assert found["image"] == pytest.approx(0.4, abs=0.03)
        assert (found["radiology"], found["discharge"]) == (0, 1)
        assert found["timeseries"] == pytest.approx(0.03, abs=0.01)
        died = [h.latent.died[h.missing["image"] == absent].mean() for absent in (False, True)]
        if slope:
            assert died[0] > 1.5 * died[1], "the less severely ill lack it more often"
        else:
            assert died[0] == pytest.approx(died[1], abs=0.04)
