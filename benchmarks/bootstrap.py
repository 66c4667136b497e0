"""Bootstrap of AUROC and AUPRC over subjects: picme against a loop of scikit-learn calls.

    python benchmarks/bootstrap.py [--quick]

1,000 resamples of 25 labels over 10,000 stays. The loop calls `roc_auc_score` and `average_precision_score` with
`sample_weight` for some of the resamples (25,000 pairs of calls would take minutes); its time is scaled up to all of
them. Both use the same weights, and the two results are compared.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from picme.evaluate.bootstrap import SubjectResamples, bootstrap_areas


def simulate(stays: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (label, stay) with 5 to 35 % positives and 2 % undefined, scores with some ties, and subjects
    (stay,).
    """
    rng = np.random.default_rng(seed)
    y = (rng.random((labels, stays)) < rng.uniform(0.05, 0.35, (labels, 1))).astype(float)
    p = rng.normal(size=y.shape) + y
    p = np.round(1 / (1 + np.exp(-p)), 4)
    y[rng.random(y.shape) < 0.02] = np.nan
    _, subject = np.unique(rng.integers(0, int(0.8 * stays), stays), return_inverse=True)
    return y, p, subject


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a shorter reference loop and one repetition; under 45 s")
    arguments = parser.parse_args()
    labels, stays, resamples = 25, 10_000, 1_000
    timed, repeats = (5, 1) if arguments.quick else (40, 3)
    y, p, subject = simulate(stays, labels)

    ours = []
    for _ in range(repeats):
        start = time.perf_counter()
        drawn = SubjectResamples.draw(int(subject.max()) + 1, resamples, seed=0)
        auroc, auprc = bootstrap_areas(y, p, subject, drawn)
        ours.append(time.perf_counter() - start)
    seconds = min(ours)

    counts = np.concatenate(drawn.blocks, axis=1)
    difference = 0.0
    start = time.perf_counter()
    for resample in range(timed):
        weights = counts[subject, resample].astype(float)
        for label in range(labels):
            defined = ~np.isnan(y[label])
            truth, score, weight = y[label][defined], p[label][defined], weights[defined]
            difference = max(
                difference,
                abs(roc_auc_score(truth, score, sample_weight=weight) - auroc[label, resample]),
                abs(average_precision_score(truth, score, sample_weight=weight) - auprc[label, resample]),
            )
    reference = (time.perf_counter() - start) / timed * resamples

    print(f"{resamples:,} resamples of {labels} labels over {stays:,} stays, AUROC and AUPRC, draws included")
    print(f"picme, all at once:            {seconds:8.2f} s (best of {repeats})")
    print(f"scikit-learn, call after call: {reference:8.1f} s (scaled up from {timed} resamples)")
    print(f"greatest difference:           {difference:8.1e}")
    result = {
        "ratio": round(reference / seconds, 1),
        "reference": "loop of scikit-learn roc_auc_score and average_precision_score with sample_weight",
        "seconds": round(seconds, 3),
        "reference_seconds": round(reference, 1),
        "reference_resamples_timed": timed,
        "resamples": resamples,
        "labels": labels,
        "stays": stays,
        "greatest_difference": difference,
        "quick": arguments.quick,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
