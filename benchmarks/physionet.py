"""Every strategy and baseline on PhysioNet 2012, sets a and b by five folds; docs/physionet2012.md shows the output.

    python benchmarks/physionet.py FOLDER [--strategies a,b] [--seeds N] [--quick] [--out FOLDER] [--workers N]

FOLDER holds the sets a and b of the challenge with their outcomes. Every stay is tested once, by models that have not
seen it: three fifths of the subjects train, one validates. All strategies read all five modalities. Told are AUROC and
AUPRC of single models (mean and standard deviation over seeds) and of the ensemble over the seeds with its interval,
what they took (all that their models need, on one core each), and the differences that matter.

`ratio` is the error (1 − AUROC, of ensembles) of the second strategy of the first difference over that of the first
one: with all strategies that of `gradient_boosting` over that of `stacked`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

import picme
from picme.engine.step import Step
from picme.finetune.step import Finetune

STRATEGIES = (
    "contrastive", "supervised", "finetuned", "gated", "random", "gradient_boosting", "logistic_regression",
    "stacked", "stacked_mean", "stacked_contrastive", "stacked_random",
)  # fmt: skip
QUESTIONS = (
    ("stacked", "gradient_boosting"),
    ("stacked", "stacked_mean"),
    ("stacked_contrastive", "stacked_random"),
    ("stacked_contrastive", "gradient_boosting"),
    ("contrastive", "random"),
    ("contrastive", "supervised"),
    ("contrastive", "gradient_boosting"),
    ("stacked", "logistic_regression"),
    ("gradient_boosting", "logistic_regression"),
)
QUICK = ("supervised", "logistic_regression", "stacked")


def settings(folder: str, strategies: list[str], seeds: int, quick: bool, workers: int) -> dict[str, Any]:
    """Return what is set beside the preset `physionet2012`."""
    found: dict[str, Any] = {
        "source.path": folder,
        "splits": {"kind": "folds", "folds": 3 if quick else 5},
        "study.seeds": seeds,
        "pretrain.seeds": seeds,
        "study.combination_sizes": [5],
        "finetune.combinations": "all",
        "finetune.singles": False,
        "finetune.strategies": strategies,
        "evaluate.shapley": "off",
        "align.tsne": "off",
        "execution.workers": workers,
    }
    if quick:
        stack = {"strategies": ["supervised", "logistic_regression"], "folds": 2}
        found |= {"pretrain.epochs": 1, "finetune.epochs": 1, "finetune.stacked": stack}
    return found


def work(study: picme.Study) -> pl.DataFrame:
    """Return what each strategy took: core seconds of all that its models needed, and the most memory of a step.

    These are its trainings, the searches and pretrainings before them, and the trainings by folds of a stack. What
    several strategies need counts for each.
    """
    run, needed = study._run, dict[str, dict[str, Step]]()
    for step in run.graph.of("finetune", "stack"):
        if isinstance(step, Finetune) and not step.variant:
            _collect(step, needed.setdefault(step.cell.strategy, {}))
    rows = []
    for strategy, steps in needed.items():
        kept = [run.store.manifest(step) for step in steps.values()]
        rows.append(
            {
                "strategy": strategy,
                "seconds": sum(one["seconds"] for one in kept),
                "peak_memory_mb": max(one.get("peak_memory_mb") or 0.0 for one in kept),
            }
        )
    return pl.DataFrame(rows)


def _collect(step: Step, found: dict[str, Step]) -> None:
    """Add a step and what it needs, but for the cohort, which all strategies share."""
    if step.stage in ("encode", "pretrain", "finetune") and step.key not in found:
        found[step.key] = step
        for one in step.inputs:
            _collect(one, found)


def scores(study: picme.Study) -> pl.DataFrame:
    """Return the row of each strategy in `summary`, the best first, with what it took."""
    return study.table("summary").join(work(study), on="strategy", how="left").sort("auroc_mean", descending=True)


def differences(study: picme.Study) -> list[dict[str, Any]]:
    """Return the tests of `QUESTIONS`."""
    tests = study.table("comparisons")
    found = []
    for a, b in QUESTIONS:
        rows = tests.filter(strategy_a=a, strategy_b=b).unique("metric", keep="first", maintain_order=True)
        found += rows.select(
            "strategy_a", "strategy_b", "metric", "difference", "low", "high", "p_value",
            "ensemble_difference", "ensemble_low", "ensemble_high",
        ).to_dicts()  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the challenge's sets a and b, with their outcomes")
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="those that are trained")
    parser.add_argument("--seeds", type=int, default=3, help="of pretrainings and of models")
    parser.add_argument("--quick", action="store_true", help="three folds, one epoch, three strategies, one seed")
    parser.add_argument("--out", help="run folder, which is reused; a temporary one if not given")
    parser.add_argument("--workers", type=int, default=1, help="steps at once")
    asked = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(asked.out or scratch) / "run"
        strategies, seeds = (list(QUICK), 1) if asked.quick else (asked.strategies.split(","), asked.seeds)
        chosen = settings(asked.folder, strategies, seeds, asked.quick, asked.workers)
        study = picme.run("physionet2012", out, chosen, until="evaluate")
        rows, tests = scores(study).to_dicts(), differences(study)
    heads = ("strategy", "AUROC", "AUPRC", "AUROC of the ensemble (95 %)", "AUPRC", "seconds", "peak MB")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for row in rows:
        auroc, auprc = (f"{row[f'{name}_mean']:.4f} ± {row[f'{name}_std'] or 0:.3f}" for name in ("auroc", "auprc"))
        low, high = row["ensemble_auroc_low"], row["ensemble_auroc_high"]
        whole = f"{row['ensemble_auroc']:.4f} ({low:.3f}–{high:.3f}) | {row['ensemble_auprc']:.4f}"
        took = f"{row['seconds'] or 0:.0f} | {row['peak_memory_mb'] or 0:.0f}"
        print(f"| `{row['strategy']}` | {auroc} | {auprc} | {whole} | {took} |")
    print("\nDifferences in points, of single models and of ensembles:")
    for test in tests:
        shown = [f"{100 * test[name]:+.2f}" if test[name] is not None else "–" for name in (
            "difference", "low", "high", "ensemble_difference", "ensemble_low", "ensemble_high",
        )]  # fmt: skip
        print("{strategy_a} − {strategy_b}, {metric}:".format(**test), "{} ({} to {}); {} ({} to {})".format(*shown))
    errors = {row["strategy"]: 1 - row["ensemble_auroc"] for row in rows}
    first, second = next((a, b) for a, b in QUESTIONS if {a, b} <= errors.keys())
    result = {
        "ratio": round(errors[second] / errors[first], 3),
        "reference": f"1 − AUROC of {second}, over that of {first}",
        "scores": [
            {
                name: row[name]
                for name in (
                    "strategy",
                    "auroc_mean",
                    "auprc_mean",
                    "ensemble_auroc",
                    "ensemble_auprc",
                    "seconds",
                    "peak_memory_mb",
                )
            }
            for row in rows
        ],
        "differences": tests,
        "seconds": round(time.perf_counter() - start, 1),
        "quick": asked.quick,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
