"""How often a test says that a strategy helps although its single models are as good as the control's.

    python benchmarks/single_models.py [--quick] [--seed N]

Scores are binormal. The models of a strategy differ from seed to seed by noise of their own (`own`, a share of the
variance of the score) and in how good they are (`spread`, the standard deviation of their true AUROC). Both strategies
have the same mean AUROC over all seeds, so each difference found is false; averaging predictions gains more where more
of the noise is the models' own. Asked for are 5 % of studies.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.compare import judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAYS, PREVALENCE, AUROC = 500, 0.2, 0.75


def scores(
    y: NDArray[np.float64], shared: NDArray[np.float64], own: float, spread: float, seeds: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the scores (seed, 1, stay) of a strategy's models, whose mean true AUROC is `AUROC`."""
    distance = np.sqrt(2) * norm.ppf(AUROC + spread * rng.normal(size=(seeds, 1, 1)))
    return distance * y + np.sqrt(1 - own) * shared + np.sqrt(own) * rng.normal(size=(seeds, 1, y.shape[1]))


def false_findings(own: tuple[float, float], spread: float, seeds: int, studies: int, seed: int) -> dict[str, float]:
    """Return the share of studies that find a difference in AUROC, by what is compared."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[bool]] = {"single models": [], "ensembles": []}
    for study in range(studies):
        y = (rng.random((1, STAYS)) < PREVALENCE).astype(float)
        shared = rng.normal(size=y.shape)
        resamples = SubjectResamples.draw(STAYS, 300, seed * 1_000_003 + study)
        a, b = (
            judge(y, scores(y, shared, each, spread, seeds, rng), np.arange(STAYS), resamples, True) for each in own
        )
        for name, first, second in zip(found, a, b, strict=True):
            found[name].append(first["auroc"].minus(second["auroc"]).p_value() < 0.05)
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer studies; about 20 s")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated studies")
    asked = parser.parse_args()
    studies, start = 60 if asked.quick else 1000, time.perf_counter()
    rows = []
    print("Studies that find a difference where single models have none, in %")
    print(f"{'own noise':>12} {'spread':>7} {'seeds':>6} {'single models':>14} {'ensembles':>10}")
    for own in ((0.3, 0.3), (0.05, 0.3)):
        for spread in (0.0, 0.02):
            for seeds in (3, 10):
                rate = false_findings(own, spread, seeds, studies, asked.seed)
                rows.append({"own": own, "spread": spread, "seeds": seeds, **rate})
                single, ensemble = (100 * value for value in rate.values())
                print(f"{own!s:>12} {spread:>7} {seeds:>6} {single:>14.1f} {ensemble:>10.1f}", flush=True)
    worst = {name: max(row[name] for row in rows) for name in ("single models", "ensembles")}
    result = {
        "ratio": round(worst["ensembles"] / worst["single models"], 1),
        "reference": "largest rate of false findings of a test of ensembles",
        "rates": rows,
        "studies": studies,
        "seconds": round(time.perf_counter() - start, 1),
        "quick": asked.quick,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
