"""How often 95 % intervals hold the true metric, and how often a gap between groups is seen that is not there.

    python benchmarks/coverage.py [--quick] [--seed N]

Scores are binormal: N(distance, 1) for positives, N(0, 1) for negatives, so the true AUROC is Φ(distance / √2) and the
true AUPRC is the mean precision over the positives' scores, integrated numerically. Labels may share a factor, and the
stays of a subject share half of all variance. `percentile` is the method that picme had, `picme` the one it has; the
others are candidates. DeLong's is on the logit scale, with Obuchowski's variance where a subject has several stays.
Studies without any difference between groups give the rate of false gaps; a planted one tells how often the intervals
of all gaps hold the true ones.
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

from picme.evaluate.bootstrap import SubjectResamples, bootstrap_areas
from picme.evaluate.gaps import Gap, gap_to_the_rest, placements, simultaneous
from picme.evaluate.intervals import METRICS, class_sizes, estimated
from picme.metrics.classification import macro

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


def percentile(drawn: Array) -> tuple[float, float]:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def basic(estimate: float, drawn: Array) -> tuple[float, float]:
    low, high = percentile(drawn)
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


def covered(setting: Setting, studies: int, resamples: int, seed: int) -> dict[tuple[str, str], list[float]]:
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
        distances = [setting.distance[sizes > 0] * strength for strength in (1, 0.85)]
        true = [truth(share, distance) for distance in distances]
        p = [n + distance[:, None] * y for n, distance in zip(noise, distances, strict=True)]
        drawn = SubjectResamples.draw(subjects, resamples, seed * 1_000_003 + study)
        estimates = [estimated(y, each, subject, drawn) for each in p]
        parts = [placements(y, each, subject, subjects)[1].mean(axis=0) for each in p]
        jackknife = None
        if setting.stays <= 500 and len(y) == 1:
            jackknife = [macro(values, axis=0) for values in bootstrap_areas(y, p[0], subject, without_each)]
        for place, metric in enumerate(METRICS):
            first, second = (each[metric] for each in estimates)
            shown = {"percentile": percentile(first.drawn), "basic": basic(first.value, first.drawn)}
            if jackknife is not None:
                shown["BCa"] = bca(first.value, first.drawn, jackknife[place])
            if place == 0:
                shown["DeLong"] = delong(first.value, parts[0])
            shown["picme"] = first.interval(0.95)
            _note(found, metric, shown, true[0][place])
            difference = first.minus(second)
            shown = {"percentile": percentile(difference.drawn), "basic": basic(difference.value, difference.drawn)}
            if place == 0:
                reach = norm.isf(0.025) * np.sqrt(((parts[0] - parts[1]) ** 2).sum())
                shown["DeLong"] = (difference.value - reach, difference.value + reach)
            shown["picme"] = difference.interval(0.95)
            _note(found, f"difference in {metric}", shown, true[0][place] - true[1][place])
    return found


def _note(
    found: dict[tuple[str, str], list[float]], metric: str, shown: dict[str, tuple[float, float]], target: float
) -> None:
    for method, (low, high) in shown.items():
        found[metric, method].append(np.nan if np.isnan(low) else float(low <= target <= high))


ETHNICITIES = np.array([0.65, 0.15, 0.1, 0.06, 0.04])


def groups(rng: np.random.Generator, subject: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return each stay's group for four attributes, with groups from half of the stays down to 2 %."""
    subjects = int(subject.max()) + 1
    gender, age = rng.integers(0, 2, subjects), rng.integers(0, 4, subjects)
    ethnicity = rng.choice(5, subjects, p=ETHNICITIES)
    return {
        "gender": gender[subject],
        "age": age[subject],
        "ethnicity": ethnicity[subject],
        "crossed": (5 * gender + ethnicity)[subject],
    }


def true_gaps(aurocs: Array) -> dict[str, Array]:
    """Return the true gap of each group, for the true AUROC of each ethnicity.

    Negatives are alike in all groups, so the AUROC of several groups together is the mean over their positives.
    """
    share = np.concatenate([ETHNICITIES, ETHNICITIES]) / 2
    crossed = np.concatenate([aurocs, aurocs])

    def gap(share: Array, aurocs: Array) -> Array:
        return ((share * aurocs).sum() - share * aurocs) / (1 - share) - aurocs

    return {
        "gender": np.zeros(2),
        "age": np.zeros(4),
        "ethnicity": gap(ETHNICITIES, aurocs),
        "crossed": gap(share, crossed),
    }


def seen_gaps(setting: Setting, studies: int, resamples: int, seed: int, planted: float = 0.0) -> dict[str, float]:
    """Return shares of studies: with a gap seen that is not there, and with intervals that hold all true gaps.

    `age before` and `any before` are of the gap to the best group with a percentile interval, `any now` of picme's;
    `all held` is of the intervals of all gaps, `group held` of the interval of a single group's AUROC. `planted` is by
    how much the AUROC of the second ethnicity is lower.
    """
    rng = np.random.default_rng(seed)
    seen: dict[str, list[bool]] = defaultdict(list)
    for study in range(studies):
        y, (noise,), subject = draw(setting, rng)
        attributes = groups(rng, subject)
        lower = planted * (np.arange(5) == 1)
        true = true_gaps(-lower)
        distance = np.sqrt(2) * norm.ppf(norm.cdf(setting.distance / np.sqrt(2))[:, None] - lower)
        p = noise + distance[:, attributes["ethnicity"]] * y
        drawn = SubjectResamples.draw(int(subject.max()) + 1, resamples, seed * 1_000_003 + study)
        before, gaps, targets = {}, [], []
        everyone = np.ones(len(subject), bool)
        for attribute, code in attributes.items():
            points, values = [], []
            for group in np.unique(code):
                members = code == group
                gap = gap_to_the_rest(y, p, members, everyone & ~members, subject, drawn.n_subjects)
                if isinstance(gap, Gap):
                    gaps.append(gap)
                    targets.append(true[attribute][group])
                own = estimated(y[:, members], p[:, members], subject[members], drawn, others=False)["auroc"]
                if own.obstacle is None and attribute != "crossed" and len(y) == 1:
                    low, high = own.interval(0.95)
                    below = lower[group] if attribute == "ethnicity" else (ETHNICITIES * lower).sum()
                    target = setting.auroc - below
                    seen["group held"].append(bool(low <= target <= high))
                if members.sum() >= 10 and not np.isnan(own.value):
                    points.append(own.value)
                    values.append(own.drawn)
            best = values[int(np.argmax(points))]
            before[attribute] = any(percentile(best - each)[0] > 0 for each in values)
        ends = simultaneous(gaps, drawn, 0.95)
        if not planted:
            seen["age before"].append(before["age"])
            seen["any before"].append(any(before.values()))
            seen["any now"].append(any(low > 0 or high < 0 for low, high in ends))
        else:
            seen["planted seen"].append(
                any(low > 0 for (low, _), target in zip(ends, targets, strict=True) if target > planted / 2)
            )
        seen["all held"].append(all(low <= target <= high for (low, high), target in zip(ends, targets, strict=True)))
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
        (Setting(500, (0.1,), auroc=0.95), 800),
        (Setting(500, (0.13,), repeats=2), 800),
        (Setting(120, PREVALENCES), 300),
        (Setting(500, PREVALENCES), 300),
        (Setting(500, PREVALENCES, correlation=0.3, repeats=2), 300),
        (Setting(2000, PREVALENCES), 100),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer populations and studies; under 45 s")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated studies")
    quick, seed = (asked := parser.parse_args()).quick, asked.seed
    # A study whose small groups or labels have one class gives means of nothing.
    warnings.simplefilter("ignore", RuntimeWarning)
    start = time.perf_counter()
    methods = ("percentile", "basic", "BCa", "DeLong", "picme")
    rows = []
    print("Coverage of 95 % intervals in %; `shown` is the share of studies in which picme shows one")
    print(f"{'stays':>5} {'labels':>6} {'preval.':>7} {'corr.':>5} {'each':>4} {'AUROC':>5}  {'metric':20}", end="")
    print("".join(f"{method:>11}" for method in methods), f"{'shown':>7}")
    for setting, studies in settings(quick):
        found = covered(setting, studies, 400, seed)
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
    print("\nGaps between groups, % of studies (of groups in `group held`)")
    rates = []
    few, many = (40, 15) if quick else (600, 150)
    for setting, studies, planted in [
        (Setting(1000, (0.13,)), few, 0.0),
        (Setting(1000, (0.13,)), few, 0.1),
        *([] if quick else [(Setting(3000, (0.13,), repeats=2), few, 0.0), (Setting(3000, (0.13,)), few, 0.1)]),
        (Setting(600 if quick else 1000, PREVALENCES), many, 0.0),
    ]:
        rate = seen_gaps(setting, studies, 300, seed, planted)
        rates.append(
            {
                "stays": setting.stays,
                "labels": len(setting.prevalence),
                "stays_a_subject": setting.repeats,
                "planted": planted,
                "studies": studies,
                **rate,
            }
        )
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in rate.items())
        print(
            f"{setting.stays} stays, {setting.repeats} a subject, {len(setting.prevalence)} labels, {planted} planted, "
            f"{studies} studies: {shown}",
            flush=True,
        )
    both = [row for row in rows if row["picme"] is not None and row["percentile"] is not None]
    miss = {name: float(np.mean([abs(row[name] - 95) for row in both])) for name in ("percentile", "picme")}
    result = {
        "ratio": round(miss["percentile"] / miss["picme"], 1),
        "reference": "mean absolute distance from 95 % coverage of the percentile bootstrap",
        "miscoverage_percent": {name: round(value, 2) for name, value in miss.items()},
        "coverage": rows,
        "gaps": rates,
        "seed": seed,
        "seconds": round(time.perf_counter() - start, 1),
        "quick": quick,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
