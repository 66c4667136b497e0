"""Result tables of a study that never was: every table of the contract, with nulls, controls and suppressed groups."""

from __future__ import annotations

import math
from itertools import combinations as subsets
from pathlib import Path

import numpy as np
import polars as pl

from picme.evaluate.intervals import Estimate
from picme.evaluate.lattice import Lattice
from picme.evaluate.value import rows_of
from picme.report.facts import frame

MODALITIES = ("discharge", "radiology", "image", "timeseries", "demographics")
STRATEGIES = ("contrastive", "supervised", "gated", "random", "gated_uniform", "finetuned", "gradient_boosting")
TASKS = ("mortality", "phenotyping")
PHENOTYPES = tuple(pl.read_csv(Path(__file__).with_name("phenotype_names.csv"))["phenotype"].to_list())
GROUPS = {
    "gender": ("female", "male"),
    "ethnicity": ("asian", "black", "hispanic", "other", "white"),
    "age_group": ("under 25", "25–34", "35–44", "45–54", "55–64", "65–74", "75–84", "85 and over"),
    "gender × ethnicity": ("female × black", "female × white", "male × asian", "male × white"),
}
STRENGTH = {"discharge": 0.09, "radiology": 0.05, "image": 0.05, "timeseries": 0.13, "demographics": 0.03}


def names(sizes: tuple[int, ...] = (2, 3, 4, 5)) -> list[str]:
    return ["+".join(combo) for size in sizes for combo in subsets(MODALITIES, size)]


def _skill(combination: str, strategy: str, task: str) -> float:
    parts = combination.split("+")
    gain = 1 - math.prod(1 - 2 * STRENGTH.get(part, 0.05) for part in parts)
    bonus = {"supervised": 0.012, "gated": 0.018, "finetuned": 0.015, "random": -0.008, "gated_uniform": 0.014}
    return 0.5 + 0.62 * gain + bonus.get(strategy, 0.0) - (0.04 if task == "phenotyping" else 0)


def fabricate(seed: int = 0, seeds: int = 3) -> dict[str, pl.DataFrame]:
    """All tables, the same for the same seed."""
    rng = np.random.default_rng(seed)
    cells = _cells()
    scores = _scores(rng, cells, seeds)
    summary = _summary(rng, scores)
    made = {
        "cohort_flow": _flow(),
        "availability": _availability(),
        "baseline": _baseline(),
        "leakage": _leakage(),
        "label_agreement": _agreement(rng),
        "alignment": _alignment(rng),
        "lambdas": _lambdas(rng),
        "pretraining": _pretraining(rng),
        "scores": scores,
        "summary": summary,
        "comparisons": _comparisons(summary),
        "finetuning": _finetuning(rng, cells, seeds),
        "subgroups": _subgroups(rng, summary),
        "phenotype_types": _types(rng, summary),
        "attributions": _attributions(rng),
        "calibration": _calibration(rng, summary),
        "thresholds": _thresholds(rng, summary),
        "decision_curve": _decision_curve(rng, summary),
        "tsne": _tsne(rng),
        "search": _search(rng),
        "quarantine": pl.DataFrame(
            {"modality": ["image", "stays"], "reason": ["damaged_file", "no_age"], "count": [2, 1]}
        ),
        "presence": pl.DataFrame(
            {
                "task": ["mortality", "mortality", "phenotyping"],
                "split": ["train", "train", "test"],
                "modalities": ["discharge+image", "", "image"],
                "stays": [310, 12, 57],
                "with_outcome": [31, 5, None],
            }
        ),
        "event_rows": pl.DataFrame(
            {
                "modality": ["timeseries"] * 2,
                "table": ["chartevents"] * 2,
                "place": ["measurement of a stay", "item of no channel"],
                "rows": [1200, 34],
            }
        ),
        "fairness": _fairness(summary),
        "agreement": pl.DataFrame(
            {
                "task": ["mortality", "phenotyping"],
                "combination": ["+".join(MODALITIES)] * 2,
                "strategy": ["gated", "gated"],
                "method_a": ["lambda", "integrated_gradients"],
                "method_b": ["shapley", "integrated_gradients_mean"],
                "tau": [-0.2, None],
                "modalities": [5, 5],
            }
        ),
        "runtimes": _runtimes(rng, cells),
        "label_efficiency": _efficiency(rng),
        "gate_orders": pl.DataFrame(
            {
                "task": ["mortality"] * 3,
                "combination": ["+".join(MODALITIES)] * 3,
                "strategy": ["gated"] * 3,
                "order": ["", ">".join(reversed(MODALITIES)), ">".join((*MODALITIES[1:], MODALITIES[0]))],
                "seed": [0, 0, 0],
                "auroc": [0.8123, 0.7987, None],
                "auprc": [0.4321, 0.4123, None],
            }
        ),
        "pretraining_seeds": pl.DataFrame(
            {
                "combination": ["+".join(MODALITIES)] * 2,
                "seed": [0, 1],
                "val_recall5": [0.2345, 0.2167],
                "best_epoch": [7, 9],
                "epochs": [12, 14],
                "learning_rate": [0.002, 0.002],
                "batch_size": [64, 64],
            }
        ),
        "ceiling": pl.DataFrame(
            {"task": ["mortality", "phenotyping"], "label": ["mortality", "macro"], "auroc": [0.9034, 0.8711]}
        ),
    }
    made["missing"] = _missing(rng)
    made["robustness"] = _robustness(made["missing"])
    made |= _value(rng)
    return {name: frame(made, name) for name in made}


def _cells() -> list[tuple[str, str, str]]:
    chosen = names()[:4] + names()[10:14] + names()[20:23] + names()[25:]
    cells = []
    for task in TASKS:
        cells += [(task, one, strategy) for one in MODALITIES for strategy in ("supervised", "random")]
        for combination in chosen:
            two = combination.count("+") == 1
            cells += [(task, combination, s) for s in STRATEGIES if not (two and s == "gated")]
    return cells


def _labels(task: str) -> tuple[str, ...]:
    return ("mortality",) if task == "mortality" else (*PHENOTYPES, "macro", "micro")


def _scores(rng: np.random.Generator, cells: list[tuple[str, str, str]], seeds: int) -> pl.DataFrame:
    rows = []
    offsets = {label: rng.normal(0, 0.04) for label in PHENOTYPES}
    for task, combination, strategy in cells:
        for seed in range(seeds):
            for split, n in (("val", 60), ("test", 120)):
                base = _skill(combination, strategy, task) + rng.normal(0, 0.008)
                for label in _labels(task):
                    value = float(np.clip(base + offsets.get(label, 0) + rng.normal(0, 0.002), 0.3, 0.99))
                    undefined = label == PHENOTYPES[15]
                    rows.append(
                        {
                            "task": task,
                            "combination": combination,
                            "strategy": strategy,
                            "seed": seed,
                            "split": split,
                            "label": label,
                            "auroc": None if undefined else value,
                            "auprc": None if undefined else value * 0.55,
                            "n": n,
                            "positives": 0 if undefined else int(n * 0.14),
                        }
                    )
    return pl.DataFrame(rows, infer_schema_length=None)


def _summary(rng: np.random.Generator, scores: pl.DataFrame) -> pl.DataFrame:
    head = scores.filter(pl.col("label").is_in(["mortality", "macro"]))
    keys = ["task", "combination", "strategy"]
    test = (
        head.filter(pl.col("split") == "test")
        .group_by(keys, maintain_order=True)
        .agg(
            pl.len().alias("n_seeds"),
            *[
                expr
                for metric in ("auroc", "auprc")
                for expr in (pl.col(metric).mean().alias(f"{metric}_mean"), pl.col(metric).std().alias(f"{metric}_std"))
            ],
        )
    )
    best = (
        head.filter(pl.col("split") == "val")
        .group_by(keys)
        .agg(pl.col("auroc").mean())
        .sort("auroc")
        .group_by("task")
        .agg(pl.col("combination", "strategy").last())
        .with_columns(selected=True)
    )
    rows = []
    for row in test.join(best, on=keys, how="left").iter_rows(named=True):
        for metric in ("auroc", "auprc"):
            centre = row[f"{metric}_mean"] + 0.004
            row[f"ensemble_{metric}"] = centre
            row[f"ensemble_{metric}_low"] = centre - 0.04 - rng.random() * 0.01
            row[f"ensemble_{metric}_high"] = centre + 0.035 + rng.random() * 0.01
        row["selected"] = bool(row["selected"])
        rows.append(row)
    rows[3]["auprc_mean"] = rows[3]["auprc_std"] = None
    return pl.DataFrame(rows, infer_schema_length=None)


def _comparisons(summary: pl.DataFrame) -> pl.DataFrame:
    rows = []
    pairs = (
        ("contrastive", "random"),
        ("gated", "gated_uniform"),
        ("gated", "supervised"),
        ("supervised", "random"),
        ("supervised", "contrastive"),
        ("finetuned", "supervised"),
    )
    value = {(r["task"], r["combination"], r["strategy"]): r["ensemble_auroc"] for r in summary.iter_rows(named=True)}
    for task, combination, strategy in value:
        for a, b in pairs:
            if strategy != a or (task, combination, b) not in value:
                continue
            rows.append(_difference(value, task, (combination, a), (combination, b), "controls"))
        full = "+".join(MODALITIES)
        if combination == full and strategy in ("gated", "supervised"):
            rows += [
                _difference(value, task, (full, strategy), (single, "supervised"), "single modalities")
                for single in MODALITIES
            ]
    return pl.DataFrame(rows)


def _difference(
    value: dict[tuple[str, str, str], float], task: str, a: tuple[str, str], b: tuple[str, str], family: str
) -> dict[str, object]:
    difference = value[(task, *a)] - value[(task, *b)]
    p = math.exp(-abs(difference) * 90)
    return {
        "task": task,
        "combination_a": a[0],
        "strategy_a": a[1],
        "combination_b": b[0],
        "strategy_b": b[1],
        "metric": "auroc",
        "difference": difference,
        "low": difference - 0.021,
        "high": difference + 0.019,
        "p_value": p,
        "p_adjusted": min(1.0, 3 * p),
        "ensemble_difference": difference + 0.002,
        "ensemble_low": difference - 0.016,
        "ensemble_high": difference + 0.018,
        "ensemble_p_value": p,
        "ensemble_p_adjusted": min(1.0, 3 * p),
        "family": family,
    }


def _flow() -> pl.DataFrame:
    rows = []
    for task, steps in {
        "mortality": (
            ("ICU stays", 612, 540),
            ("age 18 and over", 606, 535),
            ("at least 48 h in the ICU", 588, 522),
            ("has every modality", 571, 511),
        ),
        "phenotyping": (("ICU stays", 612, 540), ("age 18 and over", 606, 535), ("has every modality", 585, 521)),
    }.items():
        rows += [{"task": task, "step": step, "stays": stays, "subjects": n} for step, stays, n in steps]
    rows += [
        {
            "task": "mortality",
            "step": f"in the split {split}",
            "stays": n,
            "subjects": n - 20,
            "split": split,
            "events": e,
        }
        for split, n, e in (("train", 400, 61), ("val", 57, None), ("test", 114, 17))
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _baseline() -> pl.DataFrame:
    groups = (("all", "all"), ("split", "train"), ("split", "test"), ("modalities", "image+timeseries"))
    rows = []
    for by, group in groups:
        of = {"task": "mortality", "by": by, "group": group, "suppressed": False}
        few = {"suppressed": True} if group == "test" else {"stays": 41, "share": 0.0718}
        rows += [
            {**of, "variable": "stays", "stays": 571, "share": 0.37},
            {**of, "variable": "gender", "level": "female", "stays": 267, "share": 0.468},
            {**of, "variable": "marital_status", "level": "(other)", **few},
            {**of, "variable": "age", "median": 64.25, "q1": 51.5, "q3": 77.75},
        ]
    return pl.DataFrame([row | {"suppressed": row["suppressed"]} for row in rows], infer_schema_length=None)


def _availability() -> pl.DataFrame:
    rows = []
    for task, total in (("mortality", 571), ("phenotyping", 585)):
        for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
            n = round(total * share)
            for index, modality in enumerate(MODALITIES):
                present = n - index * 7 if modality != "demographics" else n
                row = {"task": task, "modality": modality, "split": split, "stays_present": present, "stays_total": n}
                texts = modality in ("discharge", "radiology")
                cut = {"cut_share": 0.25 + index / 8, "tokens_total": 300 * n, "tokens_read": (290 - index) * n}
                rows.append(row | (cut if texts else dict.fromkeys(cut)))
    return pl.DataFrame(rows)


def _leakage() -> pl.DataFrame:
    checks = [
        {
            "check": "shared_subjects",
            "modality": None,
            "split": "train/test",
            "count": 0,
            "detail": "subjects in two splits",
        },
        {
            "check": "after_cutoff",
            "modality": "timeseries",
            "split": "all",
            "count": 0,
            "detail": "rows after the cut-off",
        },
        {
            "check": "after_cutoff",
            "modality": "discharge",
            "split": "all",
            "count": 3,
            "detail": "notes after the cut-off",
        },
        {
            "check": "outcome_words",
            "modality": "discharge",
            "split": "all",
            "count": 0,
            "detail": "words that tell death",
        },
    ]
    measured = [
        {"check": "measured", "modality": "discharge", "preset": preset, "label": "mortality", "auroc": auroc}
        for preset, auroc in (("prospective", 0.6123), ("paper", 0.9412))
    ]
    rows = [{**row, "violation": row["count"] > 0} for row in checks] + measured
    keys = ("check", "modality", "split", "count", "detail", "violation", "preset", "label", "auroc")
    return pl.DataFrame([{key: row.get(key) for key in keys} for row in rows], infer_schema_length=None)


def _agreement(rng: np.random.Generator) -> pl.DataFrame:
    a = rng.integers(20, 160, len(PHENOTYPES))
    b = (a * rng.uniform(0.4, 1, len(PHENOTYPES))).astype(int)
    return pl.DataFrame({"phenotype": PHENOTYPES, "positives_a": a, "positives_b": b, "both": (b * 0.95).astype(int)})


def _alignment(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for combination in names():
        parts = combination.split("+")
        base = 0.55 - 0.07 * len(parts) + rng.normal(0, 0.05)
        metrics: dict[str, tuple[float, float | None]] = {
            "retrieval": (base, 5 / 120),
            "ovo": (base + 0.06, 5 / 120),
            "neighbour": (0.004, 5 / (120 * len(parts) - 1)),
            "cross_neighbour": (base - 0.05, 5 / (120 * (len(parts) - 1))),
            "batch": (min(0.95, base + 0.3), 5 / 32),
            "same_modality_share": (0.96 + rng.random() * 0.04, (120 - 1) / (120 * len(parts) - 1)),
        }
        for metric, (value, chance) in metrics.items():
            for k in (1, 5, 10) if metric in ("retrieval", "ovo") else (5,):
                row = {
                    "combination": combination,
                    "n_modalities": len(parts),
                    "metric": metric,
                    "source": None,
                    "target": None,
                    "k": k,
                    "split": "test",
                    "candidates": 32 if metric == "batch" else 120,
                    "chance": chance if k == 5 or chance is None else chance * k / 5,
                    "value": float(
                        np.clip(value * (0.45 + 0.11 * k) if metric in ("retrieval", "ovo") else value, 0, 1)
                    ),
                }
                rows.append(row)
                if metric == "retrieval":
                    rows += [
                        {
                            **row,
                            "source": a,
                            "target": b,
                            "value": float(np.clip(row["value"] + rng.normal(0, 0.06), 0, 1)),
                        }
                        for a in parts
                        for b in parts
                        if a != b
                    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _lambdas(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for combination in names((3, 4, 5)):
        parts = combination.split("+")
        drift = rng.normal(0, 0.06, len(parts))
        for epoch in range(12):
            weights = np.exp(drift * epoch)
            weights /= weights.sum()
            rows += [
                {"combination": combination, "epoch": epoch, "modality": m, "weight": float(w), "selected": epoch == 9}
                for m, w in zip(parts, weights, strict=True)
            ]
    return pl.DataFrame(rows)


def _pretraining(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for combination in names():
        rows += [
            {
                "combination": combination,
                "epoch": epoch,
                "train_loss": 3.9 * math.exp(-epoch / 5) + 0.4 + rng.normal(0, 0.03),
                "val_loss": 3.9 * math.exp(-epoch / 5) + 0.9 + rng.normal(0, 0.05),
                "val_recall5": 0.5 * (1 - math.exp(-epoch / 3)) + rng.normal(0, 0.01),
                "train_reconstruction": 1.3 - 0.4 * math.exp(-epoch / 4),
                "val_reconstruction": 1.4 - 0.4 * math.exp(-epoch / 4),
                "temperature": 0.07 - 0.002 * epoch,
                "seconds": 0.4 + rng.random() * 0.1,
                "selected": epoch == 9,
            }
            for epoch in range(12)
        ]
    return pl.DataFrame(rows)


def _finetuning(rng: np.random.Generator, cells: list[tuple[str, str, str]], seeds: int) -> pl.DataFrame:
    rows = []
    for task, combination, strategy in cells:
        if strategy == "gradient_boosting":
            continue
        top = _skill(combination, strategy, task)
        for seed in range(seeds):
            rows += [
                {
                    "task": task,
                    "combination": combination,
                    "strategy": strategy,
                    "seed": seed,
                    "epoch": epoch,
                    "train_loss": 0.7 * math.exp(-epoch / 6) + rng.normal(0, 0.01),
                    "val_auroc": top - 0.2 * math.exp(-epoch / 3) + rng.normal(0, 0.01),
                    "best_epoch": 10 + seed,
                    "learning_rate": 1e-3,
                    "batch_size": 64,
                }
                for epoch in range(15)
            ]
    return pl.DataFrame(rows)


def _subgroups(rng: np.random.Generator, summary: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for cell in summary.iter_rows(named=True):
        for attribute, groups in GROUPS.items():
            for group in groups:
                small = group in ("under 25", "asian", "male × asian")
                n = 4 if small else int(14 + 60 / len(groups))
                centre = cell["auroc_mean"] + rng.normal(0, 0.03)
                rows.append(
                    {
                        "task": cell["task"],
                        "combination": cell["combination"],
                        "strategy": cell["strategy"],
                        "attribute": attribute,
                        "group": group,
                        "n_stays": None if small else n,
                        "n_subjects": None if small else n - 2,
                        "positives": None if small else max(1, n // 7),
                        "auroc": None if small or group == "35–44" else centre,
                        "low": None if small or group == "35–44" else centre - 0.11,
                        "high": None if small or group == "35–44" else centre + 0.08,
                        "suppressed": small,
                        "gap": None if small else 0.06,
                        "gap_low": None if small else 0.06 - 0.1 * rng.random(),
                        "gap_high": None if small else 0.13,
                        "observed_expected": None if small else 1.05,
                        "observed_expected_low": None if small else 0.72 + 0.1 * (n % 3),
                        "observed_expected_high": None if small else 1.53,
                    }
                )
    return pl.DataFrame(rows, infer_schema_length=None)


def _fairness(summary: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "task": cell["task"],
                "combination": cell["combination"],
                "strategy": cell["strategy"],
                "attribute": attribute,
                "metric": metric,
                "value": 0.07 + 0.01 * index,
                "groups": 2,
                "labels": 1,
            }
            for cell in summary.filter("selected").iter_rows(named=True)
            for attribute in ("gender", "age_group")
            for index, metric in enumerate(("demographic_parity_difference", "equal_opportunity_difference"))
        ]
    )


def _types(rng: np.random.Generator, summary: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for cell in summary.filter(pl.col("task") == "phenotyping").iter_rows(named=True):
        for kind, shift in (("acute", -0.02), ("chronic", 0.02), ("mixed", 0.01)):
            rows.append(
                {
                    "combination": cell["combination"],
                    "strategy": cell["strategy"],
                    "type": kind,
                    "auroc_mean": cell["auroc_mean"] + shift + rng.normal(0, 0.003),
                    "auroc_std": 0.004 + rng.random() * 0.004,
                }
            )
    return pl.DataFrame(rows)


def _attributions(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for task in TASKS:
        for combination in (*names((3,))[:2], names((4,))[0], "+".join(MODALITIES)):
            parts = combination.split("+")
            for method, strategies in (
                ("lambda", ("gated",)),
                ("integrated_gradients", ("contrastive", "supervised", "gated")),
                ("integrated_gradients_mean", ("gated",)),
                ("shapley", ("supervised", "contrastive")),
            ):
                for strategy in strategies:
                    values = rng.dirichlet(np.full(len(parts), 6.0))
                    if method == "shapley":
                        values = values * 0.32 - 0.01
                    rows += [
                        {
                            "task": task,
                            "combination": combination,
                            "strategy": strategy,
                            "modality": m,
                            "method": method,
                            "value": float(v),
                            "std": None if method == "lambda" else 0.011,
                        }
                        for m, v in zip(parts, values, strict=True)
                    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _calibration(rng: np.random.Generator, summary: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for cell in summary.iter_rows(named=True):
        for index in range(10):
            mean = (index + 0.5) / 10
            rows.append(
                {
                    "task": cell["task"],
                    "combination": cell["combination"],
                    "strategy": cell["strategy"],
                    "brier": 0.101,
                    "ece": 0.043,
                    "bin": index,
                    "mean_predicted": mean,
                    "observed": None if index == 8 else float(np.clip(mean + rng.normal(0, 0.06), 0, 1)),
                    "low": None if index == 8 else mean * 0.8,
                    "high": None if index == 8 else mean * 0.8 + 0.2,
                    "n": 0 if index == 8 else int(60 / (index + 1)),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _thresholds(rng: np.random.Generator, summary: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for cell in summary.filter("selected").iter_rows(named=True):
        for label in _labels(cell["task"])[:3]:
            rows += [
                {
                    "task": cell["task"],
                    "combination": cell["combination"],
                    "strategy": cell["strategy"],
                    "label": label,
                    "rule": rule,
                    "threshold": 0.31 + rng.random() * 0.1,
                    "sensitivity": 0.81,
                    "specificity": 0.77,
                    "ppv": None,
                    "npv": 0.96,
                    "min_sensitivity_ppv": 0.81,
                    "threshold_low": 0.3,
                    "threshold_high": 0.45,
                    **{
                        f"{name}_{end}": 0.7 + at
                        for name in ("sensitivity", "npv")
                        for end, at in (("low", 0), ("high", 0.28))
                    },
                }
                for rule in ("youden", "sensitivity 0.9")
            ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _decision_curve(rng: np.random.Generator, summary: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for cell in summary.iter_rows(named=True):
        for percent in (1, 10, 25, 50):
            threshold = percent / 100
            value = 0.16 * (1 - threshold) + 0.01 * rng.random()
            known = {"low": value - 0.04, "high": value + 0.04} if percent < 50 else {"low": None, "high": None}
            rows.append(
                {
                    **{name: cell[name] for name in ("task", "combination", "strategy")},
                    "label": "mortality" if cell["task"] == "mortality" else "macro",
                    "threshold": threshold,
                    "net_benefit": value,
                    **known,
                    "treat_all": 0.17 - 0.83 * threshold / (1 - threshold),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _tsne(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    combination = "+".join(MODALITIES)
    for combo in (combination, "discharge+radiology"):
        parts = combo.split("+")
        latent = rng.normal(0, 14, (80, 2))
        for epoch in (0, 2, 4, 6, 8, 11):
            for index, modality in enumerate(parts):
                angle = 2 * math.pi * index / len(parts)
                spread = 30 * (1 - epoch / 14)
                centre = np.array([math.cos(angle), math.sin(angle)]) * spread
                points = centre + latent * (0.3 + epoch / 14) + rng.normal(0, 2, latent.shape)
                rows += [
                    {
                        "combination": combo,
                        "epoch": epoch,
                        "stay": s,
                        "modality": modality,
                        "x": float(x),
                        "y": float(y),
                    }
                    for s, (x, y) in enumerate(points)
                ]
    return pl.DataFrame(rows)


def _search(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for task in TASKS:
        for strategy in ("contrastive", "gated"):
            for trial in range(12):
                rate = float(10 ** rng.uniform(-5, -2))
                rows.append(
                    {
                        "stage": "finetune",
                        "task": task,
                        "combination": "+".join(MODALITIES),
                        "strategy": strategy,
                        "trial": trial,
                        "learning_rate": rate,
                        "batch_size": int(rng.choice([32, 64, 128])),
                        "value": 0.8 - 0.03 * abs(math.log10(rate) + 3.2) + rng.normal(0, 0.004),
                    }
                )
    return pl.DataFrame(rows)


def _runtimes(rng: np.random.Generator, cells: list[tuple[str, str, str]]) -> pl.DataFrame:
    rows = [
        {"stage": "prepare", "combination": None, "task": None, "strategy": None, "seconds": 21.5, "epochs": None},
        {"stage": "encode", "combination": None, "task": None, "strategy": None, "seconds": 48.2, "epochs": None},
    ]
    rows += [
        {
            "stage": "pretrain",
            "combination": c,
            "task": None,
            "strategy": None,
            "seconds": 3 + rng.random(),
            "epochs": 12,
        }
        for c in names()
    ]
    rows += [
        {"stage": "finetune", "combination": c, "task": t, "strategy": s, "seconds": 1 + rng.random(), "epochs": 15}
        for t, c, s in cells
    ]
    more = {"jobs": 3, "parameters": 81_984.0, "device": "cpu"}
    return pl.DataFrame(
        [{**row, "peak_memory_mb": 900 + rng.random() * 300, **more} for row in rows], infer_schema_length=None
    )


def _efficiency(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    combination = "+".join(MODALITIES)
    for task in TASKS:
        for strategy in ("contrastive", "supervised", "random"):
            for share in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0):
                for seed in range(3):
                    top = _skill(combination, strategy, task)
                    speed = {"contrastive": 0.1, "random": 0.14}.get(strategy, 0.2)
                    rows.append(
                        {
                            "task": task,
                            "combination": combination,
                            "strategy": strategy,
                            "share": share,
                            "seed": seed,
                            "auroc": top - speed * (1 - share) ** 3 + rng.normal(0, 0.01),
                            "auprc": 0.4 + rng.normal(0, 0.01),
                        }
                    )
    return pl.DataFrame(rows)


def _missing(rng: np.random.Generator) -> pl.DataFrame:
    """The missingness grid: five strategies, one of them trained on other stays too and one with dedicated models."""
    models = [("any_subset", one) for one in ("as is", "complete", "0.2", "0.5")]
    models += [("supervised", "as is"), ("supervised", "dedicated"), ("gradient_boosting", "as is")]
    models += [("late_fusion", "as is"), ("presence_only", "as is")]
    steep = {"mcar": 0.16, "mar": 0.12, "mnar": 0.2}
    rows = []
    for task in TASKS:
        for strategy, trained_on in models:
            presence = strategy == "presence_only"
            robust = {"complete": 1.5, "0.2": 0.8, "0.5": 0.6, "dedicated": 0.7}.get(trained_on, 1.0)
            robust *= 1.6 if strategy == "supervised" else 1

            def add(
                mechanism: str,
                auroc: float,
                rate: float | None = None,
                subset: str | None = None,
                cell: tuple[str, str, str] = (task, strategy, trained_on),
            ) -> None:
                missing = subset == "demographics" and cell[1] == "late_fusion"
                for metric, value in (("auroc", auroc), ("brier", 0.3 - auroc / 4)):
                    known = not missing and not (cell[1] == "presence_only" and subset)
                    rows.append(
                        {
                            **dict(zip(("task", "strategy", "trained_on"), cell, strict=True)),
                            **{"mechanism": mechanism, "rate": rate, "subset": subset, "metric": metric},
                            "value": None if missing else value,
                            "low": value - 0.03 if known else None,
                            "high": value + 0.025 if known else None,
                            "no_interval": None if known else "fewer than two values",
                            "n": 84 if mechanism == "subset" else 120,
                            "withheld": 0.0 if rate is None else rate * 0.94,
                        }
                    )

            whole = 0.53 if presence else _skill("+".join(MODALITIES), strategy, task) + rng.normal(0, 0.008)
            add("natural", whole)
            for subset in names((1, 2, 3, 4, 5)):
                value = _skill(subset, strategy, task) - 0.03 * (5 - subset.count("+")) / 5 * robust
                add("subset", 0.5 if presence else value + rng.normal(0, 0.03), subset=subset)
            for mechanism, fall in steep.items():
                for rate in (0.2, 0.5, 0.8):
                    drop = {"mcar": 0, "mar": 0.02, "mnar": 0.13}[mechanism] if presence else -fall * robust
                    add(mechanism, whole + drop * rate + rng.normal(0, 0.003), rate=rate)
    return pl.DataFrame(rows, infer_schema_length=None)


def _value(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """The tables of value, of dedicated models for one task and of shared ones for the other."""
    rows: dict[str, list[dict[str, object]]] = {}
    subset_names = [frozenset(), *(frozenset(one.split("+")) for one in names((1, 2, 3, 4, 5)))]
    costs = {name: 1.0 + place for place, name in enumerate(MODALITIES)}
    shares = dict.fromkeys(MODALITIES, 0.8)
    counts = {"n_val": 900, "events_val": 110, "n_test": 1800, "events_test": 211}
    for task, strategy, source in (("mortality", "supervised", "dedicated"), ("phenotyping", "any_subset", "shared")):
        for metric, none in (("auroc", 0.5), ("auprc", 0.5), ("net_benefit_0.1", 0.0)):
            like = Estimate(metric, 0.0, np.zeros(50), 80.0, difference=metric.startswith("net"))
            order = Lattice(MODALITIES, like, np.zeros((1, 32)), np.zeros((1, 32, 50))).places
            found = []
            for _ in range(2):
                values = np.zeros((2, 32))
                for one in subset_names:
                    skill = _skill("+".join(sorted(one)), strategy, task) if one else 0.5
                    values[:, order[one]] = none - 0.5 + skill + rng.normal(0, 0.004, 2) * bool(one)
                spread = 0.012 if task == "mortality" else 0.002
                drawn = values[..., None] + rng.normal(0, spread, (2, 32, 50)) * (np.arange(32) > 0)[:, None]
                found.append(Lattice(MODALITIES, like, values, drawn))
            about: dict[str, object] = {"task": task, "strategy": strategy, "metric": metric, "source": source}
            for name, row in rows_of(*found, costs, 0.95, 0.01 if task == "mortality" else 0.03, shares, counts):
                for stays in ("complete", "all") if metric == "auroc" else ("complete",):
                    rows.setdefault(name, []).append(about | row | {"stays": stays})
    return {name: pl.DataFrame(each, infer_schema_length=None) for name, each in rows.items()}


def _robustness(missing: pl.DataFrame) -> pl.DataFrame:
    """The measures of the table, each by its definition; the least robust ones have no interval."""
    rows = []
    keys = ("task", "strategy", "trained_on", "metric")
    for key, part in missing.group_by(keys, maintain_order=True):
        sign = 1 if key[3] == "auroc" else -1
        by_subset = {row["subset"]: row for row in part.filter(pl.col("mechanism") == "subset").to_dicts()}
        known = {
            frozenset(name.split("+")): row["value"] for name, row in by_subset.items() if row["value"] is not None
        }
        worst = min(
            (row for row in by_subset.values() if row["value"] is not None), key=lambda row: sign * row["value"]
        )
        pairs = [(a, b) for a in known for b in known if a < b and len(b) == len(a) + 1]
        row = {**dict(zip(keys, key, strict=True)), "worst_subset": worst["subset"], "worst": worst["value"]}
        row |= {"worst_low": worst["low"], "worst_high": worst["high"], "worst_no_interval": worst["no_interval"]}
        start = part.filter(pl.col("mechanism") == "natural")["value"][0]
        for name, kind in (("area", "mcar"), ("area_mar", "mar"), ("area_mnar", "mnar")):
            line = part.filter(pl.col("mechanism") == kind).sort("rate")
            x, y = [0, *line["rate"]], [start, *line["value"]]
            area = sum((b - a) * (c + d) / 2 for a, b, c, d in zip(x, x[1:], y, y[1:], strict=False)) / x[-1]
            row |= {name: area, f"{name}_low": area - 0.02, f"{name}_high": area + 0.02}
        row["more_is_worse"] = sum(sign * known[b] < sign * known[a] for a, b in pairs) / len(pairs)
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def reduced(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The same study with a handful of combinations and few labels: quick to draw and to check."""
    every = names()
    kept = ["timeseries", "demographics", every[0], every[1], every[10], every[20], every[-1]]
    made = {}
    for name, table in tables.items():
        for column in ("combination", "combination_a", "combination_b"):
            if column in table.columns:
                table = table.filter(pl.col(column).is_null() | pl.col(column).is_in(kept))
        if name == "scores":
            table = table.filter(pl.col("label").is_in(["mortality", "macro", *PHENOTYPES[:3]]))
        made[name] = table
    return made


def config() -> dict[str, object]:
    """A resolved configuration in the shape of the project's own."""
    return {
        "name": "demo",
        "source": {"kind": "synthetic", "stays": 600, "seed": 0},
        "cohort": {"min_age": 18, "admit": "prospective", "notes": {"mode": "prospective"}},
        "require": "complete",
        "modalities": {name: {"kind": "text", "cutoff": 0} for name in MODALITIES},
        "tasks": {task: {"labels": [], "kind": None} for task in TASKS},
        "splits": {"kind": "hash", "train": 0.7, "val": 0.1, "seed": 0},
        "study": {"combination_sizes": [2, 3, 4, 5], "seeds": 3, "embed_dim": 64},
        "pretrain": {"window": 48, "epochs": 12},
        "finetune": {"strategies": list(STRATEGIES), "combinations": "paper"},
        "evaluate": {"controls": ["random", "gated_uniform", "late_fusion", "presence_only"]},
        "report": {},
    }


def run_info() -> dict[str, object]:
    """A run.json."""
    return {
        "picme": "0.1.0",
        "git_commit": "0123abc",
        "installed": "git+file:///src/picme@0123abc",
        "packages": {"torch": "2.14.0", "polars": "2.1.0"},
        "machine": {"cpu": "x86_64", "cores": 2, "memory_gb": 8},
        "command": "picme demo --out runs/demo",
        "stages": {"prepare": "ab12", "pretrain": "cd34"},
    }
