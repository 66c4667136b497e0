"""Recalibration on stays of the other source: how many of them it takes, judged on the remaining ones.

Local stays are drawn many times, and each time the remaining ones get probabilities of that draw's fit. Calibration is
that of all of them taken together (a mean of slopes would go with the few draws whose fit is furthest off), AUROC the
mean over draws. The interval is over subjects (see `picme.evaluate.linear`): it says how well these are known, not how
far a single draw may be from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.evaluate.calibration import apply_calibration, fit_calibration
from picme.evaluate.independent import Told
from picme.evaluate.linear import area_of, brier_score, fit_intercept, intercept_of, mean_of, slope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SIZES = (25, 50, 100, 200, 400, 800, 1600, 3200)
"""Numbers of local stays, as far as half of the stays go."""
DRAWS = 20
KINDS = ("intercept", "both")
CALIBRATION = {"brier": brier_score, "calibration_intercept": intercept_of, "calibration_slope": slope_of}


def local_rows(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    confidence: float,
    seed: int,
    sizes: tuple[int, ...] = SIZES,
) -> Iterator[tuple[dict[str, Any], Told]]:
    """Yield the columns of `external` about each metric after a recalibration, and the metric with its interval.

    Args:
        y: labels (label, stay), NaN where undefined or where the stay has no prediction.
        p: calibrated probabilities (label, stay).
        subject: index of each stay's subject (stay,).
        confidence: of the intervals.
        seed: of the draws.
        sizes: numbers of local stays.
    """
    judged = np.flatnonzero((~np.isnan(y)).any(axis=0))
    y, p = y[:, judged], p[:, judged]
    of, whose = np.unique(subject[judged], return_inverse=True)
    for n_local in (size for size in sizes if size <= len(judged) // 2):
        for kind in KINDS:
            targets, risks, owners, areas, fitted = [], [], [], [], []
            for draw in range(DRAWS):
                local = _local(whose, len(of), n_local, np.random.default_rng([seed, draw]))
                rest = ~local
                risk, told = recalibrated(y[:, local], p[:, local], p[:, rest], kind)
                fitted.append(told)
                targets.append(y[:, rest])
                risks.append(risk)
                owners.append(whose[rest])
                areas.append(area_of(y[:, rest], risk, whose[rest], len(of)))
            about = {
                "recalibration": kind,
                "n_local": n_local,
                "n": round(float(np.mean([one.shape[1] for one in targets]))),
                "positives": round(float(np.mean([(one == 1).sum() for one in targets]))),
                "fitted": float(np.mean(fitted)),
            }
            every = (np.concatenate(targets, axis=1), np.concatenate(risks, axis=1), np.concatenate(owners), len(of))
            found = {"auroc": mean_of(areas)} | {name: measure(*every) for name, measure in CALIBRATION.items()}
            for name, statistic in found.items():
                if statistic is None or np.isnan(statistic.value):
                    continue
                if kind == "intercept" and name == "calibration_slope":  # no shift changes it
                    continue
                low, high = statistic.interval(confidence)
                if name in ("auroc", "brier"):
                    low, high = max(0.0, low), min(1.0, high)
                told_there = Told(statistic.value, low, high)
                yield {**about, "metric": name, "value": told_there.value, "low": low, "high": high}, told_there


def _local(whose: NDArray[np.integer], subjects: int, size: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Draw whole subjects until they have so many stays; return which stays are theirs (stay,)."""
    rank = np.empty(subjects, np.int64)
    rank[generator.permutation(subjects)] = np.arange(subjects)
    stays = np.bincount(rank[whose], minlength=subjects).cumsum()
    return np.asarray(rank[whose] <= np.searchsorted(stays, size))


def recalibrated(
    y: NDArray[np.floating], p: NDArray[np.floating], others: NDArray[np.floating], kind: str
) -> tuple[NDArray[np.float64], float]:
    """Return probabilities of other stays, each label recalibrated on local ones, and the share of labels with a fit.

    Args:
        y: labels of the local stays (label, stay).
        p: their probabilities (label, stay).
        others: probabilities to recalibrate (label, other stay); those of a label without a fit stay as they are.
        kind: `intercept`, or `both` for intercept and slope.
    """
    fits = [
        (1.0, fit_intercept(row, known)) if kind == "intercept" else fit_calibration(row, known)
        for row, known in zip(p, y, strict=True)
    ]
    told = float(np.mean([np.isfinite(intercept) for _, intercept in fits]))
    return np.stack([apply_calibration(row, *fit) for row, fit in zip(others, fits, strict=True)]), told
