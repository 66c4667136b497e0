"""The latent state of health behind every record, the risks it implies, and the part of it each modality shows.

Each admission has one set of latents, which are standard normal. Death and the phenotypes are drawn with probabilities
whose logits are linear in the latents, so the true risks are known. Records are drawn from noisy views of the latents
and never from an outcome, so no model of them can be better than the true risk. What is recorded after the prediction
time is the exception: text written at discharge and the course of a stay after 48 hours know the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from picme_hospital.arguments import LATENTS, CaseMix
from picme_hospital.codes import EXCLUSIVE, PHENOTYPES
from picme_hospital.files import stream

if TYPE_CHECKING:
    from picme_hospital.arguments import Planted

# The correlation of each latent between two admissions of a subject: chronic disease persists, acute illness does not.
PERSISTENCE = dict(zip(LATENTS, (0.1, 0.6, 0.5, 0.7, 0.8, 0.1, 0.2, 0.9, 0.95, 1.0), strict=True))

# The weight of each latent in the logit of dying in hospital, before the logit is rescaled to MORTALITY_SPREAD.
MORTALITY = dict(zip(LATENTS, (1.0, 0.8, 0.85, 0.35, 0.15, 0.5, 0.85, 0.15, 0.9, 0.8), strict=True))
MORTALITY_SPREAD = 3.6  # the standard deviation of the logit; the true risk then has an AUROC of about 0.94
YEAR_EFFECT = -0.1  # the change of the logit from one period of three years to the next
PHENOTYPE_SPREAD = 2.4  # the standard deviation of a phenotype's logit
MENTION_NOISE = 0.7  # the noise between a phenotype's logit and whether the history in the notes names it

# For each modality, the latents it shows and the standard deviation of the noise that is added to each of them.
VISIBILITY: dict[str, dict[str, float]] = {
    "timeseries": {
        "severity": 0.3,
        "infection": 0.7,
        "lung": 0.9,
        "brain": 0.8,
        "heart": 1.3,
        "kidney": 1.3,
        "liver": 1.0,
        "metabolic": 0.6,
        "age": 1.0,
    },
    "image": {"lung": 0.2, "heart": 0.2, "age": 0.9},
    "radiology": {"lung": 0.35, "heart": 0.35, "infection": 0.7, "age": 1.0},
    "discharge": {
        "chronic": 0.3,
        "brain": 0.35,
        "kidney": 0.5,
        "metabolic": 0.5,
        "liver": 0.5,
        "infection": 1.2,
        "heart": 1.2,
        "lung": 1.2,
        "age": 1.0,
    },
    "demographics": {"age": 0.0, "chronic": 0.8, "severity": 1.6},
}

# For each modality, the latents whose views show the modality's own part of the risk instead, if influence is planted.
CARRIERS: dict[str, tuple[str, ...]] = {
    "timeseries": ("severity", "infection"),
    "image": ("lung", "heart"),
    "radiology": ("lung", "heart", "infection"),
    "discharge": ("chronic", "brain", "kidney"),
    "demographics": ("age",),
}
CARRIER_NOISE = 0.25  # the noise between that part and what the views show

# The latent whose views show a planted finding instead, and the noise between the finding and each view of it.
FINDING = "heart"
FINDING_NOISE = {"image": 0.5, "radiology": 0.5}
# The view of each modality that shows its sign of a planted synergy: -1 or 1, and 0 in a hospital without synergy.
SIGNS = {"image": "pads", "timeseries": "rhythm"}
# The share of admissions with one of the two signs only. The others have both or neither, so that the signs go together
# as far as image and series of one patient do, and encoders that are aligned without labels hold them.
ODD = 0.25


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Apply the logistic function elementwise."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def intercept(logit: np.ndarray, rate: float, scale: np.ndarray | float = 1.0) -> float:
    """Return the constant c for which the mean of `scale * sigmoid(c + logit)` is `rate`, found by bisection."""
    low, high = -30.0, 30.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(scale * sigmoid(middle + logit)) < rate else (low, middle)
    return (low + high) / 2


@dataclass
class Latent:
    """The latent states and outcomes of A admissions of S subjects.

    Attributes:
        views: For each modality and each latent it shows, (A,) the noisy value that it shows, of unit variance; and
            the signs of SIGNS.
        risk: (A,) the true probability of death in hospital.
        died: (A,) bool, whether the patient dies in hospital.
        phenotype_risk: (A, 25) the true probability of each phenotype, in the order of PHENOTYPES.
        phenotypes: (A, 25) bool, whether the admission has the phenotype.
        mentions: (A, 25) bool, whether the history in the notes names the phenotype. It is drawn from the phenotype's
            logit and not from the label.
        traits: Facts that several modalities show and that carry little risk, each (A,): `side` of the chest findings
            (-1 left, 0 both, 1 right), `intubated`, `line`, `pacemaker`, `sternotomy`, and `effusion` (a normal
            deviate that is added to the severity of the pleural effusion).
        anchor_age: (S,) the age of each subject in years.
    """

    views: dict[str, dict[str, np.ndarray]]
    risk: np.ndarray
    died: np.ndarray
    phenotype_risk: np.ndarray
    phenotypes: np.ndarray
    mentions: np.ndarray
    traits: dict[str, np.ndarray]
    anchor_age: np.ndarray

    def take(self, rows: np.ndarray) -> Latent:
        """Return the states of the admissions in `rows`; `anchor_age`, which belongs to the subjects, is kept whole."""
        return Latent(
            {m: {k: v[rows] for k, v in view.items()} for m, view in self.views.items()},
            self.risk[rows],
            self.died[rows],
            self.phenotype_risk[rows],
            self.phenotypes[rows],
            self.mentions[rows],
            {k: v[rows] for k, v in self.traits.items()},
            self.anchor_age,
        )


def draw(
    subject: np.ndarray,
    period: np.ndarray,
    seed: int,
    planted: Planted | None = None,
    case_mix: CaseMix | None = None,
) -> Latent:
    """Draw the latent states and outcomes of admissions.

    Args:
        subject: (A,) the index of each admission's subject, 0 … S-1, in ascending order.
        period: (A,) the period of three years in which each admission falls, 0 … 4.
        seed: The seed of the hospital.
        planted: What each modality tells of death; None for overlapping modalities.
        case_mix: Which patients the hospital has; None for those of every other hospital.
    """
    rng, case_mix = stream(seed, "latent"), case_mix or CaseMix()
    n, n_subjects = len(subject), int(subject.max()) + 1
    latent = {}
    for name in LATENTS:
        rho = PERSISTENCE[name]
        patient, now = rng.normal(size=n_subjects), rng.normal(size=n)
        latent[name] = np.sqrt(rho) * patient[subject] + np.sqrt(1 - rho) * now
        if name in case_mix.shifts:
            latent[name] = latent[name] + case_mix.shifts[name]
    views = {
        modality: {
            name: (latent[name] + noise * rng.normal(size=n)) / np.sqrt(1 + noise**2) for name, noise in visible.items()
        }
        for modality, visible in VISIBILITY.items()
    }
    logit = _mix(latent, MORTALITY, MORTALITY_SPREAD)
    for modality, sign in SIGNS.items():
        views[modality][sign] = np.zeros(n)
    if planted is not None:
        logit = np.zeros(n)
        for modality, carriers in CARRIERS.items():
            # Age belongs to the subject, so the part of the risk that age carries is drawn for each subject. The other
            # parts are drawn for each admission.
            own = rng.normal(size=n_subjects)[subject] if "age" in carriers else rng.normal(size=n)
            logit += MORTALITY_SPREAD * np.sqrt(planted.influence.get(modality, 0.0)) * own
            for name in carriers:
                noise = 0.0 if name == "age" else CARRIER_NOISE
                views[modality][name] = (own + noise * rng.normal(size=n)) / np.sqrt(1 + noise**2)
        logit += MORTALITY_SPREAD * _shared(views, planted, stream(seed, "planted"))
    else:
        logit = logit + YEAR_EFFECT * (period - 2)
    risk = sigmoid(intercept(logit, case_mix.mortality) + logit)
    phenotype_risk, phenotypes, mentions, scores = _phenotypes(latent, rng)
    pacemaker = scores[:, [p.ccs for p in PHENOTYPES].index(105)] + 0.6 * rng.normal(size=n) > 1.5
    traits = {
        "side": rng.integers(-1, 2, n),
        "intubated": 0.5 * latent["lung"] + 0.5 * latent["brain"] + 0.7 * rng.normal(size=n) > 0.75,
        "line": rng.random(n) < 0.45,
        "sternotomy": rng.random(n) < 0.18,
        "pacemaker": pacemaker,
        "effusion": 0.6 * rng.normal(size=n),
    }
    age_of_subject = np.zeros(n_subjects)
    age_of_subject[subject] = views["demographics"]["age"]
    age = np.clip(np.round(64 + 15.5 * age_of_subject), 18, 91).astype(int)
    return Latent(views, risk, rng.random(n) < risk, phenotype_risk, phenotypes, mentions, traits, age)


def standard(odd: np.ndarray) -> np.ndarray:
    """Return a number of mean 0 and variance 1 that is greater where exactly one of the two signs is there."""
    return np.asarray((odd - ODD) / np.sqrt(ODD * (1 - ODD)))


def _shared(views: dict[str, dict[str, np.ndarray]], planted: Planted, rng: np.random.Generator) -> np.ndarray:
    """Draw what more than one modality tells, put it into their views, and return its part of the logit, (A,).

    The part is that of a logit with unit variance.
    """
    n = len(views["image"][FINDING])
    part = np.zeros(n)
    if planted.redundancy:
        finding = rng.normal(size=n)
        part += np.sqrt(planted.redundancy) * finding
        for modality, noise in FINDING_NOISE.items():
            views[modality][FINDING] = (finding + noise * rng.normal(size=n)) / np.sqrt(1 + noise**2)
    if planted.synergy:
        first, odd = rng.choice((-1.0, 1.0), size=n), rng.random(n) < ODD
        part += np.sqrt(planted.synergy) * standard(odd)
        signs = (first, np.where(odd, -first, first))
        for (modality, sign), values in zip(SIGNS.items(), signs, strict=True):
            views[modality][sign] = values
    return part


def _mix(latent: dict[str, np.ndarray], weights: dict[str, float], spread: float, own: float = 0.0) -> np.ndarray:
    """Return a weighted sum of latents, rescaled to a common standard deviation.

    Args:
        latent: For each latent, its values, (A,).
        weights: The weights of the latents in the sum.
        spread: The standard deviation of the sum and an own part together.
        own: The weight of the own part, which the caller adds; with 0, the sum alone has the deviation `spread`.
    """
    total = np.sqrt(sum(w * w for w in weights.values()) + own * own)
    return np.asarray(sum(w * latent[name] for name, w in weights.items()) * spread / total)


def _phenotypes(
    latent: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw the phenotypes; return their risks, labels, mentions and standardised logits, each (A, 25)."""
    n = len(latent["age"])
    index = {p.ccs: i for i, p in enumerate(PHENOTYPES)}
    scores = np.stack(
        [
            _mix(latent, p.weights, 1.0, p.own) + p.own / np.hypot(p.own, _norm(p.weights)) * rng.normal(size=n)
            for p in PHENOTYPES
        ],
        axis=1,
    )
    noisy = (scores + MENTION_NOISE * rng.normal(size=scores.shape)) / np.hypot(1.0, MENTION_NOISE)
    mentions = noisy > np.array([[np.quantile(noisy[:, i], 1 - p.prevalence) for i, p in enumerate(PHENOTYPES)]])
    risk = np.zeros((n, len(PHENOTYPES)))
    labels = np.zeros((n, len(PHENOTYPES)), dtype=bool)
    plain = {index[b]: index[a] for a, b in EXCLUSIVE}
    for i in sorted(range(len(PHENOTYPES)), key=lambda i: i in plain):
        logit = PHENOTYPE_SPREAD * scores[:, i]
        # Only those without the complicated form of a condition can have its plain form.
        free = 1 - risk[:, plain[i]] if i in plain else np.ones(n)
        chance = sigmoid(intercept(logit, PHENOTYPES[i].prevalence, free) + logit)
        risk[:, i] = free * chance
        labels[:, i] = rng.random(n) < chance
        if i in plain:
            labels[:, i] &= ~labels[:, plain[i]]
    return risk, labels, mentions, scores


def _norm(weights: dict[str, float]) -> float:
    """Return the Euclidean norm of the weights."""
    return float(np.sqrt(sum(w * w for w in weights.values())))
