"""Attribution methods compared with a planted truth.

    python benchmarks/planted.py [--stays N] [--seeds N] [--hospitals N] [--out DIR] [--quick]

The synthetic hospital draws each modality's share of the risk of dying from that modality alone, with the shares of
`SHARES`. One combination of all five modalities is pretrained and fine-tuned on mortality, in each of several hospitals
(source seeds); λ, integrated gradients and Shapley values are printed beside the planted shares: mean ± deviation over
the hospitals, and the mean over hospitals of Kendall's τ with the planted order. `oracle` are the Shapley values (in
AUROC) of an observer who knows every modality's part of the risk exactly: what the Shapley rows could show at best.
Nothing is timed here; finished run folders are reused.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

import picme
from picme.evaluate import auroc, shapley
from picme.evaluate.attribution import rank_agreement
from picme_hospital.latent import MORTALITY_RATE, MORTALITY_SPREAD, intercept, sigmoid

SHARES = {"timeseries": 0.6, "discharge": 0.25, "image": 0.1, "radiology": 0.05, "demographics": 0.0}
COMBINATION = "discharge+radiology+image+timeseries+demographics"
STRATEGIES = ("contrastive", "supervised", "gated")


def settings(stays: int, hospital: int, seeds: int, quick: bool) -> dict[str, object]:
    """Return the overrides of the preset `demo`."""
    found: dict[str, object] = {
        "source.stays": stays,
        "source.seed": hospital,
        "source.influence": SHARES,
        "tasks": {"mortality": {}},
        "study.combination_sizes": [5],
        "study.seeds": seeds,
        "finetune.combinations": [COMBINATION],
        "finetune.singles": False,
        "finetune.strategies": list(STRATEGIES),
        "align.tsne": "off",
        "execution.workers": 1,
    }
    if quick:
        found |= {
            "pretrain.epochs": 3,
            "finetune.epochs": 4,
            "evaluate.resamples": 200,
            "evaluate.interval_resamples": 100,
            "modalities.discharge.encoder.max_length": 64,
            "modalities.radiology.encoder.max_length": 64,
            "modalities.image.size": 96,
        }
    return found


def oracle(admissions: int = 200_000) -> dict[str, float]:
    """Compute the Shapley values, in AUROC, of the planted parts of the logit themselves."""
    rng = np.random.default_rng(0)
    parts = {name: MORTALITY_SPREAD * np.sqrt(share) * rng.normal(size=admissions) for name, share in SHARES.items()}
    logit = np.sum(list(parts.values()), axis=0)
    died = (rng.random(admissions) < sigmoid(intercept(logit, MORTALITY_RATE) + logit)).astype(float)
    values = {frozenset[str](): 0.5}
    for size in range(1, len(parts) + 1):
        for names in combinations(parts, size):
            values[frozenset(names)] = auroc(died, np.sum([parts[name] for name in names], axis=0))
    return shapley(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stays", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hospitals", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    stays, seeds, hospitals = (200, 2, 1) if chosen.quick else (chosen.stays, chosen.seeds, chosen.hospitals)
    with tempfile.TemporaryDirectory() as scratch:
        out = chosen.out or Path(scratch)
        show(
            [
                picme.run(
                    "demo",
                    out=out / f"hospital-{hospital}",
                    set=settings(stays, hospital, seeds, chosen.quick),
                    quiet=False,
                    until="evaluate",
                )
                for hospital in range(hospitals)
            ]
        )


def show(studies: list[picme.Study]) -> None:
    """Print the table: one line for each method and strategy, one column for each modality."""
    hospitals = pl.concat(
        study.table("attributions").with_columns(hospital=pl.lit(number)) for number, study in enumerate(studies)
    )
    found = [
        {"method": "planted share", "strategy": "", "taus": [], **{name: [share] for name, share in SHARES.items()}},
        {"method": "oracle Shapley", "strategy": "", "taus": [], **{name: [v] for name, v in oracle().items()}},
    ]
    for (method, strategy), rows in hospitals.group_by("method", "strategy", maintain_order=True):
        one: dict[str, object] = {"method": method, "strategy": strategy, "taus": []}
        for name in SHARES:
            one[name] = rows.filter(modality=name)["value"].to_list()
        for _, own in rows.group_by("hospital", maintain_order=True):
            values = dict(own.select("modality", "value").rows())
            one["taus"].append(rank_agreement({"planted": SHARES, method: values})[0]["tau"])
        found.append(one)
    order = {method: number for number, method in enumerate(["planted share", "oracle Shapley", "lambda"])}
    found.sort(key=lambda one: order.get(one["method"], len(order)))
    print(f"\n{'method':<26}{'strategy':<13}" + "".join(f"{name:>17}" for name in SHARES) + f"{'tau':>17}")
    for one in found:
        cells = "".join(_cell(one[name]) for name in (*SHARES, "taus"))
        print(f"{one['method']:<26}{one['strategy']:<13}{cells}")
    for number, study in enumerate(studies):
        models = study.table("summary")
        sizes = study.table("scores").filter(split="test")
        ceiling = study.table("ceiling").filter(label="mortality")["auroc"][0]
        print(
            f"hospital {number}: {sizes['n'][0]} test stays, {sizes['positives'][0]} deaths; mean test AUROC "
            + ", ".join(f"{row['strategy']} {row['auroc_mean']:.3f}" for row in models.iter_rows(named=True))
            + f"; of the true risk {ceiling:.3f}"
        )
    print(json.dumps({"combination": COMBINATION, "hospitals": len(studies), "methods": found}))


def _cell(values: list[float]) -> str:
    if not values:
        return " " * 17
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}".rjust(17)


if __name__ == "__main__":
    main()
