"""The hospital's subjects, admissions and ICU stays, with their ids, times and latent states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from picme_hospital.arguments import Absence, CaseMix, Planted
from picme_hospital.files import stream
from picme_hospital.latent import Latent, draw

HOUR = 3600
DAY = 24 * HOUR
PERIODS = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022")
SHORT = 0.12  # the share of stays under 48 hours, whatever the outcome
TWO_STAYS = 0.02  # the share of admissions with a second ICU stay
TRANSFER = 0.055  # the share of stays that change the ICU
MINOR = 1 / 300  # the share of subjects aged 17


@dataclass
class Hospital:
    """S subjects, their A admissions and the N ICU stays of these; times are whole seconds since 1970.

    Attributes:
        seed: The seed of the hospital.
        subject_id: (S,) ids of the subjects.
        female: (S,) bool, whether the subject is female.
        anchor_age: (S,) age in years in the anchor year.
        anchor_year: (S,) shifted year to which the age belongs.
        period: (S,) index into PERIODS, the true years of the admissions.
        english: (S,) bool, whether the subject speaks English.
        subject: (A,) index of each admission's subject.
        hadm_id: (A,) ids of the admissions.
        admittime: (A,) times of admission.
        dischtime: (A,) times of discharge.
        deathtime: (A,) times of death; -1 for survivors.
        edregtime: (A,) times of arrival in the emergency room; -1 if the admission did not begin there.
        icd_version: (A,) version of the admission's diagnosis codes, 9 or 10.
        marital: (A,) marital status, or None.
        missing: For each modality, (A,) bool, whether the admission's records of that modality do not exist.
        admission: (N,) index of each stay's admission.
        stay_id: (N,) ids of the ICU stays.
        intime: (N,) times of arrival in the ICU.
        outtime: (N,) times of leaving the ICU.
        transferred: (N,) bool, whether the stay changes the ICU.
        latent: The latent states and outcomes of the A admissions.
    """

    seed: int
    subject_id: np.ndarray
    female: np.ndarray
    anchor_age: np.ndarray
    anchor_year: np.ndarray
    period: np.ndarray
    english: np.ndarray
    subject: np.ndarray
    hadm_id: np.ndarray
    admittime: np.ndarray
    dischtime: np.ndarray
    deathtime: np.ndarray
    edregtime: np.ndarray
    icd_version: np.ndarray
    marital: np.ndarray
    missing: dict[str, np.ndarray]
    admission: np.ndarray
    stay_id: np.ndarray
    intime: np.ndarray
    outtime: np.ndarray
    transferred: np.ndarray
    latent: Latent

    def first_stay(self) -> np.ndarray:
        """Return the index of each admission's first ICU stay, (A,)."""
        return np.searchsorted(self.admission, np.arange(len(self.hadm_id)))


def admit(
    stays: int,
    seed: int = 0,
    planted: Planted | None = None,
    absence: Absence | None = None,
    case_mix: CaseMix | None = None,
) -> Hospital:
    """Draw a hospital with exactly `stays` ICU stays.

    Args:
        stays: The number of ICU stays.
        seed: The seed of every random number.
        planted: What each modality tells of death; by default the modalities overlap.
        absence: Which records do not exist; by default 3 % of each modality's, at random.
        case_mix: Which patients there are, and how many die; by default those of every other hospital.
    """
    rng = stream(seed, "patients")
    per_subject = rng.choice([1, 2, 3], size=stays, p=[0.88, 0.09, 0.03])
    subject = np.repeat(np.arange(stays), per_subject)
    period = rng.choice(5, size=stays, p=[0.25, 0.22, 0.2, 0.2, 0.13])
    latent = draw(subject, period[subject], seed, planted, case_mix)
    visit = np.arange(len(subject)) - np.searchsorted(subject, subject)
    # A subject who has died has no later admission.
    deaths_before = np.cumsum(latent.died) - latent.died
    alive = deaths_before == deaths_before[np.searchsorted(subject, subject)]
    second = rng.random(len(subject)) < TWO_STAYS
    keep = np.flatnonzero(alive)
    beds = np.cumsum(1 + second[keep])
    keep = keep[beds <= stays]
    # One stay remains if an admission with two stays did not fit; the last admission with a single stay gets it.
    if beds[len(keep) - 1] < stays:
        second[keep[np.flatnonzero(~second[keep])[-1]]] = True
    subject, visit, second, latent = subject[keep], visit[keep], second[keep], latent.take(keep)
    n_subjects, n = int(subject.max()) + 1, len(subject)
    period, latent.anchor_age = period[:n_subjects], latent.anchor_age[:n_subjects]
    anchor_age = latent.anchor_age.copy()
    minors = max(1, round(MINOR * n_subjects))
    anchor_age[np.argsort(anchor_age, kind="stable")[:minors]] = 17

    anchor_year = rng.integers(2110, 2195, n_subjects)
    year = anchor_year[subject] + visit  # the admissions of one subject are about a year apart
    start = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype("int64") * DAY
    admittime = start + rng.integers(0, 330 * 24 * 60, n) * 60
    intime0 = admittime + np.clip(np.exp(rng.normal(1.3, 0.9, n)), 0.3, 40).astype("float64") * HOUR
    first = np.cumsum(1 + second) - 1 - second
    admission = np.repeat(np.arange(n), 1 + second)
    is_second = np.arange(stays) != first[admission]
    hours = _length(stays, rng)
    intime = intime0[admission].astype("int64")
    outtime = intime + (hours * HOUR).astype("int64")
    again = np.flatnonzero(is_second)
    shift = outtime[again - 1] + rng.integers(12 * HOUR, 60 * HOUR, len(again)) - intime[again]
    intime[again] += shift
    outtime[again] += shift
    last_out = outtime[first + second]
    ward = (np.exp(rng.normal(np.log(72), 0.7, n)) * HOUR).astype("int64")
    in_icu = rng.random(n) < 0.75
    end = last_out + np.where(latent.died & in_icu, 0, ward)
    end = np.where(latent.died & in_icu, end, end // 60 * 60)
    emergency = rng.random(n) < 0.65
    return Hospital(
        seed=seed,
        subject_id=_ids(rng, 10_000_000, n_subjects, ordered=True),
        female=rng.random(n_subjects) < 0.44,
        anchor_age=anchor_age,
        anchor_year=anchor_year,
        period=period,
        english=rng.random(n_subjects) < 0.9,
        subject=subject,
        hadm_id=_ids(rng, 20_000_000, n),
        admittime=admittime,
        dischtime=end,
        deathtime=np.where(latent.died, end, -1),
        edregtime=np.where(emergency, admittime - rng.integers(60, 600, n) * 60, -1),
        icd_version=np.where(rng.random(n) < np.array([0, 0, 0.5, 1, 1])[period[subject]], 10, 9),
        marital=_marital(latent.views["discharge"]["age"], rng),
        missing=_missing(absence or Absence(), latent.risk, rng),
        admission=admission,
        stay_id=_ids(rng, 30_000_000, stays),
        intime=intime,
        outtime=outtime,
        transferred=rng.random(stays) < TRANSFER,
        latent=latent,
    )


def _missing(absence: Absence, risk: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw for each modality the admissions whose records do not exist, (A,) bool."""
    severity = logit(np.clip(risk, 1e-6, 1 - 1e-6))
    severity = absence.slope * (severity - severity.mean()) / severity.std()

    def excess(intercept: float, share: float) -> float:
        return float(expit(intercept + severity).mean()) - share

    drawn = {}
    for name, share in absence.every().items():
        chance: np.ndarray | float = share
        if absence.slope and 0 < share < 1:
            chance = expit(brentq(excess, -100, 100, args=(share,)) + severity)
        drawn[name] = rng.random(len(risk)) < chance
    return drawn


def _length(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the hours that n stays last.

    A share of the stays lasts under 48 hours; the others have a median of about 84 hours and a long tail. The length
    does not depend on the outcome, so selecting stays of 48 hours and more does not change their true risk.
    """
    long = 48.5 + np.exp(rng.normal(np.log(36), 0.95, n))
    return np.where(rng.random(n) < SHORT, rng.uniform(12, 47.5, n), np.minimum(long, rng.uniform(260, 320, n)))


def _marital(age: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the marital status of each admission, (A,), from its latent age: older patients are more often widowed."""
    cut = rng.random(len(age)) - np.clip(0.12 * age, -0.25, 0.3)
    status = np.array(("WIDOWED", "MARRIED", "DIVORCED", "SINGLE"), dtype=object)[np.digitize(cut, (0.08, 0.5, 0.6))]
    status[rng.random(len(age)) < 0.05] = None
    return np.asarray(status)


def _ids(rng: np.random.Generator, base: int, n: int, ordered: bool = False) -> np.ndarray:
    """Draw n distinct ids of eight digits with the leading digit of `base`, in ascending order if `ordered`."""
    ids = base + rng.choice(9_999_999, size=n, replace=False)
    return np.sort(ids) if ordered else ids
