"""How often 95 % intervals hold the true metric: picme's intervals and the candidates they were chosen from.

    python benchmarks/coverage.py [--quick]

Scores are binormal: N(distance, 1) for positives, N(0, 1) for negatives, so the true AUROC is Φ(distance / √2) and the
true AUPRC is the mean precision over the positives' scores, integrated numerically.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, t

from picme.evaluate.bootstrap import SubjectResamples, bootstrap_areas
from picme.evaluate.metrics import areas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Prevalences of the 25 phenotypes, from 4 to 42 %.
PREVALENCES = (
    0.214, 0.075, 0.103, 0.321, 0.134, 0.131, 0.207, 0.072, 0.268, 0.322, 0.095, 0.193, 0.291,
    0.419, 0.269, 0.072, 0.133, 0.089, 0.051, 0.040, 0.087, 0.139, 0.181, 0.143, 0.078,
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A population: number of stays, prevalences (one a label), correlation of labels, and stays of a subject."""

    stays: int
    prevalence: tuple[float, ...]
    correlation: float = 0.0
    repeats: int = 1
    auroc: float = 0.75

    @property
    def distance(self) -> Array:
        """Return the distance of the classes per label; labels differ by up to 0.06 in AUROC."""
        shift = np.linspace(-0.06, 0.06, len(self.prevalence)) if len(self.prevalence) > 1 else np.zeros(1)
        return np.sqrt(2) * norm.ppf(self.auroc + shift)


def truth(setting: Setting, distance: Array) -> tuple[float, float]:
    """Return the true AUROC and AUPRC, means over the labels."""
    x = np.linspace(-8, 8, 4001)
    weight = norm.pdf(x)
    found = []
    for d, share in zip(distance, setting.prevalence, strict=True):
        above = share * norm.sf(x)
        precision = above / (above + (1 - share) * norm.sf(x + d))
        found.append((norm.cdf(d / np.sqrt(2)), (precision * weight).sum() / weight.sum()))
    roc, prc = np.mean(found, axis=0)
    return float(roc), float(prc)


def draw(setting: Setting, rng: np.random.Generator, models: int = 1) -> tuple[Array, list[Array], NDArray[np.int64]]:
    """Return labels (label, stay), each model's noise (label, stay), and subjects (stay,).

    Labels share a factor of the stay; stays of a subject share half of everything's variance.
    """
    subjects, labels = setting.stays // setting.repeats, len(setting.prevalence)
    subject = np.repeat(np.arange(subjects), setting.repeats)

    def normal(rows: int) -> Array:
        own = rng.normal(size=(rows, len(subject)))
        if setting.repeats == 1:
            return own
        return np.sqrt(0.5) * own + np.sqrt(0.5) * rng.normal(size=(rows, subjects))[:, subject]

    def correlated() -> Array:
        c = setting.correlation
        return np.sqrt(c) * normal(1) + np.sqrt(1 - c) * normal(labels)

    y = (correlated() > norm.isf(setting.prevalence)[:, None]).astype(float)
    first = correlated()
    noise = [first] + [np.sqrt(0.7) * first + np.sqrt(0.3) * correlated() for _ in range(models - 1)]
    return y, noise, subject


def placements(y: Array, p: Array, subject: NDArray[np.int64], subjects: int) -> tuple[Array, Array]:
    """Return each subject's part in the variance of the AUROC, by positives and by negatives (label, subject)."""
    found = np.zeros((2, len(y), subjects))
    for label in range(len(y)):
        positive = y[label] == 1
        a, b = p[label][positive], p[label][~positive]
        if not len(a) or not len(b):
            continue
        sa, sb = np.sort(a), np.sort(b)
        va = (np.searchsorted(sb, a) + np.searchsorted(sb, a, "right")) / 2 / len(b)
        vb = 1 - (np.searchsorted(sa, b) + np.searchsorted(sa, b, "right")) / 2 / len(a)
        for side, v, who in ((0, va, subject[positive]), (1, vb, subject[~positive])):
            units = len(np.unique(who))
            factor = np.sqrt(units / max(units - 1, 1))
            found[side, label] = factor * np.bincount(who, (v - v.mean()) / len(v), minlength=subjects)
    return found[0], found[1]


def candidates(est: float, drawn: Array, units: int, psi: Array | None, jack: Array | None) -> dict[str, tuple]:
    """Return the intervals of every candidate."""
    drawn = drawn[~np.isnan(drawn)]
    z = norm.isf(0.025)
    q = np.quantile(drawn, [0.025, 0.975])
    se, mean = drawn.std(ddof=1), drawn.mean()
    out = {"percentile": tuple(q), "basic": (2 * est - q[1], 2 * est - q[0])}
    bc = 2 * est - mean
    out["normal"] = (bc - z * se, bc + z * se)
    corr = np.sqrt(units / max(units - 1, 1))
    tq = t.isf(0.025, max(units - 1, 1))
    out["t"] = (bc - tq * corr * se, bc + tq * corr * se)
    if not 0 < est < 1:
        out |= dict.fromkeys(("basic-logit", "logit", "logit-t", "logit-raw"), (np.nan, np.nan))
    else:
        clip = np.clip(drawn, 1e-3, 1 - 1e-3)
        lq = logit(np.quantile(clip, [0.025, 0.975]))
        le = logit(est)
        out["basic-logit"] = tuple(expit(2 * le - lq[::-1]))
        # bias corrected centre on logit scale, delta method
        centre = np.clip(bc, 1e-3, 1 - 1e-3)
        for name, mult, c in (
            ("logit", z, centre),
            ("logit-z-corr", z * corr, centre),
            ("logit-t", tq * corr, centre),
            ("logit-raw", z * corr, est),
        ):
            lse = se / (c * (1 - c))
            out[name] = tuple(expit(logit(c) + np.array([-1, 1]) * mult * lse))
    if psi is not None and 0 < est < 1:
        v = np.sqrt((psi**2).sum())
        lse = v / (est * (1 - est))
        out["delong-logit"] = tuple(expit(logit(est) + np.array([-1, 1]) * z * lse))
        out["delong-logit-t"] = tuple(expit(logit(est) + np.array([-1, 1]) * tq * lse))
    if jack is not None:
        u = jack[~np.isnan(jack)].mean() - jack[~np.isnan(jack)]
        a = (u**3).sum() / (6 * (u**2).sum() ** 1.5 + 1e-300)
        share = np.clip((drawn < est).mean() + (drawn == est).mean() / 2, 1e-3, 1 - 1e-3)
        z0 = norm.ppf(share)
        zz = z0 + np.array([-z, z])
        out["bca"] = tuple(np.quantile(drawn, norm.cdf(z0 + zz / (1 - a * zz))))
    return out
