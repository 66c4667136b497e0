"""How often 95 % intervals hold the true metric, and how often a gap between groups is seen that is not there.

    python benchmarks/coverage.py [--quick]

Scores are binormal: N(distance, 1) for positives, N(0, 1) for negatives, so the true AUROC is Φ(distance / √2) and the
true AUPRC is the mean precision over the positives' scores, integrated numerically. Labels may share a factor, and the
stays of a subject share half of all variance. `percentile` is the method that picme had, `picme` the one it has; the
others are candidates. DeLong's is on the logit scale, with Obuchowski's variance where a subject has several stays.
Studies without any difference between groups give the rate of false gaps.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from picme.evaluate.bootstrap import (
    Judged,
    SubjectResamples,
    auprc_among_others,
    bootstrap_all,
    bootstrap_areas,
    class_sizes,
    effective_size,
    interval,
    placements,
)
from picme.evaluate.metrics import areas, macro
from picme.evaluate.subgroups import gap_to_the_rest, simultaneous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Prevalences like those of the 25 phenotypes, from 4 to 42 %.
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


def truth(prevalence: Array, distance: Array) -> tuple[float, float]:
    """Return the true AUROC and AUPRC, means over the labels."""
    x = np.linspace(-8, 8, 4001)
    weight = norm.pdf(x)
    found = []
    for d, share in zip(distance, prevalence, strict=True):
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


def basic(estimate: float, drawn: Array) -> tuple[float, float]:
    low, high = interval(drawn)
    return 2 * estimate - high, 2 * estimate - low


def bca(estimate: float, drawn: Array, left_out: Array) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval; `left_out` is the metric without each subject."""
    drawn, left_out = drawn[~np.isnan(drawn)], left_out[~np.isnan(left_out)]
    pull = left_out.mean() - left_out
    acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5 + 1e-300)
    bias = norm.ppf(np.clip((drawn < estimate).mean() + (drawn == estimate).mean() / 2, 1e-3, 1 - 1e-3))
    z = bias + norm.isf([0.975, 0.025])
    low, high = np.quantile(drawn, norm.cdf(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def delong(estimate: float, parts: Array) -> tuple[float, float]:
    error = np.sqrt((parts**2).sum()) / (estimate * (1 - estimate)) if 0 < estimate < 1 else np.nan
    low, high = expit(logit(estimate) + norm.isf([0.975, 0.025]) * error)
    return float(low), float(high)


def covered(setting: Setting, studies: int, resamples: int, seed: int = 1) -> dict[tuple[str, str], list[float]]:
    """Return by metric and method whether the interval held the truth in each study; NaN where none is shown."""
    rng = np.random.default_rng(seed)
    subjects = setting.stays // setting.repeats
    without_each = SubjectResamples(subjects, subjects, [(1 - np.eye(subjects)).astype(np.uint8)])
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for study in range(studies):
        y, noise, subject = draw(setting, rng, 2)
        sizes = class_sizes(y, subject)
        y, noise, share = y[sizes > 0], [n[sizes > 0] for n in noise], np.array(setting.prevalence)[sizes > 0]
        if not len(y):
            continue
        size = effective_size(sizes)
        distances = [setting.distance[sizes > 0] * strength for strength in (1, 0.85)]
        true = [truth(share, distance) for distance in distances]
        p = [n + distance[:, None] * y for n, distance in zip(noise, distances, strict=True)]
        drawn = SubjectResamples.draw(subjects, resamples, study)
        points = [[float(macro(values)) for values in areas(y, each)] for each in p]
        everything = [[macro(values, axis=0) for values in bootstrap_all(y, each, subject, drawn)] for each in p]
        parts = [placements(y, each, subject, subjects)[1].mean(axis=0) for each in p]
        jackknife = None
        if setting.stays <= 500 and len(y) == 1:
            jackknife = [macro(values, axis=0) for values in bootstrap_areas(y, p[0], subject, without_each)]
        for place, metric in enumerate(("auroc", "auprc")):
            estimate, values, target = points[0][place], everything[0][place], true[0][place]
            centre = estimate if place == 0 else float(macro(auprc_among_others(y, p[0], subject)))
            judged = Judged(metric, centre, size, among_others=everything[0][2] if place else None)
            shown = {"percentile": interval(values), "basic": basic(estimate, values)}
            if jackknife is not None:
                shown["BCa"] = bca(estimate, values, jackknife[place])
            if place == 0:
                shown["DeLong"] = delong(estimate, parts[0])
            shown["picme"] = interval(values, judged=judged)
            _note(found, metric, shown, target)
            estimate, target = points[0][place] - points[1][place], true[0][place] - true[1][place]
            values = values - everything[1][place]
            judged = Judged(metric, estimate, size, difference=True)
            shown = {"percentile": interval(values), "basic": basic(estimate, values)}
            if place == 0:
                reach = norm.isf(0.025) * np.sqrt(((parts[0] - parts[1]) ** 2).sum())
                shown["DeLong"] = (estimate - reach, estimate + reach)
            shown["picme"] = interval(values, judged=judged)
            _note(found, f"difference in {metric}", shown, target)
    return found


def _note(
    found: dict[tuple[str, str], list[float]], metric: str, shown: dict[str, tuple[float, float]], target: float
) -> None:
    for method, (low, high) in shown.items():
        found[metric, method].append(np.nan if np.isnan(low) else float(low <= target <= high))


def groups(rng: np.random.Generator, subject: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return each stay's group for four attributes, with groups from half of the stays down to 2 %."""
    subjects = int(subject.max()) + 1
    gender, age = rng.integers(0, 2, subjects), rng.integers(0, 4, subjects)
    ethnicity = rng.choice(5, subjects, p=[0.65, 0.15, 0.1, 0.06, 0.04])
    return {
        "gender": gender[subject],
        "ethnicity": ethnicity[subject],
        "age": age[subject],
        "crossed": (5 * gender + ethnicity)[subject],
    }


def false_gaps(setting: Setting, studies: int, resamples: int, seed: int = 2) -> dict[str, float]:
    """Return the share of studies without a true difference that show a gap above zero.

    `age before` and `any before` are of the gap to the best group with a percentile interval, `any now` of picme's.
    """
    rng = np.random.default_rng(seed)
    seen: dict[str, list[bool]] = defaultdict(list)
    for study in range(studies):
        y, (noise,), subject = draw(setting, rng)
        p = noise + setting.distance[:, None] * y
        drawn = SubjectResamples.draw(int(subject.max()) + 1, resamples, study)
        before, gaps = {}, []
        everyone = np.ones(len(subject), bool)
        for attribute, code in groups(rng, subject).items():
            points, values = [], []
            for group in np.unique(code):
                members = code == group
                gap = gap_to_the_rest(y, p, members, everyone & ~members, subject, drawn.n_subjects)
                gaps += [gap] if gap is not None else []
                point = float(macro(areas(y[:, members], p[:, members])[0]))
                if members.sum() >= 10 and not np.isnan(point):
                    points.append(point)
                    values.append(macro(bootstrap_areas(y[:, members], p[:, members], subject[members], drawn)[0], 0))
            best = values[int(np.argmax(points))]
            before[attribute] = any(interval(best - each)[0] > 0 for each in values)
        now = simultaneous(gaps, drawn, 0.95)
        seen["age before"].append(before["age"])
        seen["any before"].append(any(before.values()))
        seen["any now"].append(any(low > 0 or high < 0 for low, high in now))
    return {name: float(np.mean(values)) for name, values in seen.items()}


def settings(quick: bool) -> list[tuple[Setting, int]]:
    """Return the populations and the number of studies of each."""
    single = [(120, 0.05), (120, 0.1), (120, 0.2), (500, 0.02), (500, 0.1), (2000, 0.01), (2000, 0.13)]
    if quick:
        return [
            (Setting(120, (0.05,)), 120),
            (Setting(120, (0.2,)), 120),
            (Setting(500, (0.1,)), 120),
            (Setting(120, PREVALENCES), 30),
            (Setting(500, PREVALENCES), 30),
        ]
    return [
        *((Setting(stays, (share,)), 800) for stays, share in single),
        (Setting(200, (0.1,), auroc=0.9), 800),
        (Setting(200, (0.1,), auroc=0.6), 800),
        (Setting(500, (0.13,), repeats=2), 800),
        (Setting(120, PREVALENCES), 300),
        (Setting(500, PREVALENCES), 300),
        (Setting(500, PREVALENCES, correlation=0.3, repeats=2), 300),
        (Setting(2000, PREVALENCES), 100),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer populations and studies; under 45 s")
    quick = parser.parse_args().quick
    # A study whose small groups or labels have one class gives means of nothing.
    warnings.simplefilter("ignore", RuntimeWarning)
    start = time.perf_counter()
    methods = ("percentile", "basic", "BCa", "DeLong", "picme")
    rows = []
    print("Coverage of 95 % intervals in %; `shown` is the share of studies in which picme shows one")
    print(f"{'stays':>5} {'labels':>6} {'preval.':>7} {'corr.':>5} {'each':>4} {'AUROC':>5}  {'metric':20}", end="")
    print("".join(f"{method:>11}" for method in methods), f"{'shown':>7}")
    for setting, studies in settings(quick):
        found = covered(setting, studies, 400)
        for metric in dict.fromkeys(name for name, _ in found):
            row: dict[str, Any] = {
                "stays": setting.stays,
                "labels": len(setting.prevalence),
                "prevalence": setting.prevalence[0] if len(setting.prevalence) == 1 else "4-42 %",
                "correlation": setting.correlation,
                "stays_a_subject": setting.repeats,
                "true_auroc": setting.auroc,
                "metric": metric,
            }
            cells = list(row.values())
            print(
                f"{cells[0]:>5} {cells[1]:>6} {cells[2]:>7} {cells[3]:>5} {cells[4]:>4} {cells[5]:>5}  {metric:20}",
                end="",
            )
            for method in methods:
                values = np.array(found.get((metric, method), []))
                known = values[~np.isnan(values)]
                row[method] = round(100 * float(known.mean()), 1) if len(known) >= 20 else None
                print(f"{'–' if row[method] is None else row[method]:>11}", end="")
            row["shown"] = round(float((~np.isnan(found[metric, "picme"])).mean()), 2)
            print(f" {row['shown']:>7}", flush=True)
            rows.append(row)
    print("\nStudies without a true difference that show a gap above zero, %")
    rates = []
    few, many = (60, 20) if quick else (600, 150)
    for setting, studies in [
        (Setting(1000, (0.13,)), few),
        *([] if quick else [(Setting(3000, (0.13,), repeats=2), few)]),
        (Setting(600 if quick else 1000, PREVALENCES), many),
    ]:
        rate = false_gaps(setting, studies, 300)
        rates.append({"stays": setting.stays, "labels": len(setting.prevalence), "studies": studies, **rate})
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in rate.items())
        print(f"{setting.stays} stays, {len(setting.prevalence)} labels, {studies} studies: {shown}", flush=True)
    both = [row for row in rows if row["picme"] is not None and row["percentile"] is not None]
    miss = {name: float(np.mean([abs(row[name] - 95) for row in both])) for name in ("percentile", "picme")}
    result = {
        "ratio": round(miss["percentile"] / miss["picme"], 1),
        "reference": "mean absolute distance from 95 % coverage of the percentile bootstrap",
        "miscoverage_percent": {name: round(value, 2) for name, value in miss.items()},
        "coverage": rows,
        "false_gaps": rates,
        "seconds": round(time.perf_counter() - start, 1),
        "quick": quick,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
