"""Which attribution method finds the truth, where the truth is planted?

    python benchmarks/planted.py [--stays N] [--seeds N] [--out DIR] [--quick]

The synthetic hospital draws each modality's share of the risk of dying from that modality alone, with the shares of
`SHARES`. One combination of all five modalities is pretrained and fine-tuned on mortality; λ, integrated gradients and
Shapley values are printed beside the planted shares, with Kendall's τ over the modalities. `oracle` are the Shapley
values (in AUROC) of an observer who knows every modality's part of the risk exactly: what the Shapley column could
show at best. Nothing is timed here; a finished run folder is reused.
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
from picme.sources.synthetic.latent import MORTALITY_RATE, MORTALITY_SPREAD, intercept, sigmoid

SHARES = {"timeseries": 0.6, "discharge": 0.25, "image": 0.1, "radiology": 0.05, "demographics": 0.0}
COMBINATION = "discharge+radiology+image+timeseries+demographics"
STRATEGIES = ("contrastive", "supervised", "gated")


def settings(stays: int, seeds: int, quick: bool) -> dict[str, object]:
    """Overrides of the preset `demo`."""
    found: dict[str, object] = {
        "source.stays": stays,
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
    """Shapley values in AUROC of the planted parts of the logit themselves."""
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
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    stays, seeds = (200, 2) if chosen.quick else (chosen.stays, chosen.seeds)
    with tempfile.TemporaryDirectory() as scratch:
        out = chosen.out or Path(scratch) / "run"
        study = picme.run("demo", out=out, set=settings(stays, seeds, chosen.quick), quiet=False, until="evaluate")
        show(study)


def show(study: picme.Study) -> None:
    """The table: one line for each method and strategy, one column for each modality."""
    attributions, summary = study.table("attributions"), study.table("summary")
    known = oracle()
    cells: dict[str, dict[str, dict[str, float]]] = {"planted share": {"": SHARES}, "oracle Shapley": {"": known}}
    spread: dict[tuple[str, str, str], float | None] = {}
    for row in attributions.iter_rows(named=True):
        cells.setdefault(row["method"], {}).setdefault(row["strategy"], {})[row["modality"]] = row["value"]
        spread[row["method"], row["strategy"], row["modality"]] = row["std"]
    print(f"\n{'method':<26}{'strategy':<13}" + "".join(f"{name:>17}" for name in SHARES) + f"{'tau':>7}")
    taus = []
    for method, by_strategy in cells.items():
        for strategy, values in by_strategy.items():
            tau = rank_agreement({"planted": SHARES, method: values})[0]["tau"]
            text = "".join(_cell(values.get(name), spread.get((method, strategy, name))) for name in SHARES)
            print(f"{method:<26}{strategy:<13}{text}{'' if tau is None else f'{tau:>7.2f}'}")
            taus.append({"method": method, "strategy": strategy, "tau": tau, **values})
    print("\nmean test AUROC of the models: " + ", ".join(
        f"{row['strategy']} {row['auroc_mean']:.3f}" for row in summary.iter_rows(named=True)
    ))  # fmt: skip
    if "ceiling" in study.tables:
        print(
            f"AUROC of the true risk: {study.table('ceiling').filter(pl.col('label') == 'mortality')['auroc'][0]:.3f}"
        )
    print(json.dumps({"combination": COMBINATION, "methods": taus}))


def _cell(value: float | None, std: float | None) -> str:
    if value is None:
        return f"{'–':>17}"
    return f"{value:.3f}{'' if std is None else f' ± {std:.3f}'}".rjust(17)


if __name__ == "__main__":
    main()
