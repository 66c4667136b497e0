"""Sufficient combinations, interactions, values and attributions compared with a planted truth.

    python benchmarks/planted.py [--stays N] [--seeds N] [--hospitals N] [--strategies a,b] [--out DIR] [--quick]

The synthetic hospital plants what its modalities tell of death: parts that one modality shows alone (`INFLUENCE`), a
finding that image and radiology report both show (`REDUNDANCY`), and an exclusive-or of a sign in the image and one in
the time series (`SYNERGY`). A perfect observer of every subset of the modalities gives the true value of each, and so
which combination is enough, what each modality is worth, and which two complement or repeat one another. In each of
several hospitals (source seeds) one model for all subsets is pretrained and trained, cross-fitted over five folds, and
its answers are compared with the observer's:

- how often the sufficient combination is the planted one, is another, and is left undecided; and how much the observer
  loses with the one that is named;
- the signs of the interactions: how often the centre has the sign of the observer's, and how often the interval lies
  on the right or on the wrong side of 0;
- how often the intervals of each quantity hold the observer's value. A model that has learnt from some hundred stays
  is worse than the observer, which no interval of it can know; the mean difference beside it says by how much;
- λ, integrated gradients and the Shapley values of the embeddings: their mean ± deviation over the hospitals, and the
  mean of Kendall's τ with the observer's Shapley values.

Nothing is timed here; finished run folders are reused.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import picme
from picme.evaluate import interactions, shapley
from picme.evaluate.attribution import rank_agreement
from picme_hospital import MODALITIES, Planted
from picme_hospital.observer import observed, sufficient

INFLUENCE = {"timeseries": 0.25, "discharge": 0.2}
REDUNDANCY, SYNERGY = 0.25, 0.3
PLANTED = Planted(INFLUENCE, REDUNDANCY, SYNERGY)
COMBINATION = "+".join(MODALITIES)
STRATEGIES = ("any_subset", "any_subset_contrastive")
METRIC = "auroc"  # the observer's values are of this metric
LEAST = 0.01  # the observer's interactions that are nearer to 0 have no sign that could be right

Truth = dict[frozenset[str], float]


def settings(stays: int, hospital: int, seeds: int, strategies: list[str], quick: bool) -> dict[str, object]:
    """Return the overrides of the preset `demo`."""
    found: dict[str, object] = {
        "source.stays": stays,
        "source.seed": hospital,
        "source.influence": INFLUENCE,
        "source.redundancy": REDUNDANCY,
        "source.synergy": SYNERGY,
        "tasks.phenotyping": None,
        "splits": {"kind": "folds", "folds": 3 if quick else 5},
        "study.combination_sizes": [len(MODALITIES)],
        "study.seeds": seeds,
        "pretrain.mode": "shared",
        "finetune.combinations": [COMBINATION],
        "finetune.singles": False,
        "finetune.strategies": strategies,
        "finetune.label_efficiency": "off",
        "align.tsne": "off",
        "modalities.image.size": 96,
        "modalities.discharge.encoder.max_length": 80,
        "modalities.radiology.encoder.max_length": 112,
        "execution.workers": 1,
        "execution.threads": 1,
    }
    if quick:
        found |= {
            "pretrain.epochs": 2,
            "finetune.epochs": 3,
            "evaluate.resamples": 200,
            "evaluate.interval_resamples": 100,
            "modalities.discharge.encoder.max_length": 32,
            "modalities.radiology.encoder.max_length": 32,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stays", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--hospitals", type=int, default=3)
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--quick", action="store_true", help="one hospital of 150 stays, which finds nothing; under 45 s"
    )
    chosen = parser.parse_args()
    stays, seeds, hospitals = (150, 2, 1) if chosen.quick else (chosen.stays, chosen.seeds, chosen.hospitals)
    with tempfile.TemporaryDirectory() as scratch:
        studies = [
            picme.run(
                "demo",
                out=(chosen.out or Path(scratch)) / f"hospital-{hospital}",
                set=settings(stays, hospital, seeds, chosen.strategies.split(","), chosen.quick),
                quiet=False,
                until="evaluate",
            )
            for hospital in range(hospitals)
        ]
        truth = observed(PLANTED)
        found = {
            "sufficient": found_sufficient(joined(studies, "sufficient"), truth),
            "interactions": found_interactions(joined(studies, "interactions"), truth),
            "coverage": found_coverage({name: joined(studies, name) for name in HELD}, truth),
            "methods": found_attributions(joined(studies, "attributions"), truth),
        }
        for rows in found.values():
            show(rows)
        describe(studies, truth)
    values = {"+".join(name for name in MODALITIES if name in subset): value for subset, value in truth.items()}
    print(json.dumps({"combination": COMBINATION, "hospitals": hospitals, "stays": stays, "observer": values, **found}))


def joined(studies: list[picme.Study], name: str) -> pl.DataFrame:
    """Return the rows of a table of all studies about the metric, with the number of each hospital."""
    table = pl.concat(study.table(name).with_columns(hospital=pl.lit(number)) for number, study in enumerate(studies))
    if "stays" in table.columns:  # absence is at random, so that the stays that have all modalities tell it
        table = table.filter(stays="complete")
    return table.filter(metric=METRIC) if "metric" in table.columns else table


def found_sufficient(table: pl.DataFrame, truth: Truth) -> list[dict[str, Any]]:
    """Count for each strategy the hospitals in which the planted combination is named, another one, and none."""
    rows = []
    for (strategy, margin), each in table.group_by("strategy", "margin", maintain_order=True):
        enough = sufficient(truth, margin)
        named = [frozenset(one.split("+")) for one in each["combination"].drop_nulls()]
        rows.append(
            {
                "strategy": strategy,
                "margin": margin,
                "planted": "+".join(name for name in MODALITIES if name in enough),
                "right": sum(one == enough for one in named),
                "more": sum(one > enough for one in named),
                "other": sum(not one >= enough for one in named),
                "undecided": len(each) - len(named),
                "worst loss": max((max(truth.values()) - truth[one] for one in named), default=None),
            }
        )
    return rows


def found_interactions(table: pl.DataFrame, truth: Truth) -> list[dict[str, Any]]:
    """Count for each strategy and pair the hospitals in which the interaction has the sign of the observer's."""
    rows = []
    true = interactions(truth)
    for (strategy, *pair), each in table.group_by("strategy", "modality_a", "modality_b", maintain_order=True):
        value = true.get((pair[0], pair[1]), true.get((pair[1], pair[0])))
        row = {"strategy": strategy, "pair": "+".join(map(str, pair)), "observer": value, "mean": each["value"].mean()}
        if value is not None and abs(value) >= LEAST:
            way = np.sign(value)
            right, wrong = (each["low"], each["high"]) if way > 0 else (-each["high"], -each["low"])
            row["sign right"] = int((each["value"] * way > 0).sum())
            row["clearly right"] = int((right > 0).sum())
            row["clearly wrong"] = int((wrong < 0).sum())
        else:
            row["clearly not 0"] = int(((each["low"] > 0) | (each["high"] < 0)).sum())
        rows.append(row)
    return rows


def _of_value(row: dict[str, Any], truth: Truth) -> tuple[str, float]:
    every, own = frozenset(MODALITIES), frozenset({row["modality"]})
    values = {
        "alone": truth[own] - truth[frozenset()],
        "added": truth[every] - truth[every - own],
        "shapley": shapley(truth)[row["modality"]],
    }
    return row["quantity"], values[row["quantity"]]


def _of_interactions(row: dict[str, Any], truth: Truth) -> tuple[str, float]:
    pair = {row["modality_a"], row["modality_b"]}
    return "interaction", next(value for names, value in interactions(truth).items() if set(names) == pair)


def _of_lattice(row: dict[str, Any], truth: Truth) -> tuple[str, float]:
    subset = frozenset(filter(None, row["combination"].split("+")))
    if row["added"] is None:
        return "the metric of a subset", truth[subset]
    return "added to a subset", truth[subset | {row["added"]}] - truth[subset]


HELD = {"value": _of_value, "interactions": _of_interactions, "lattice": _of_lattice}


def found_coverage(tables: dict[str, pl.DataFrame], truth: Truth) -> list[dict[str, Any]]:
    """Return for each strategy and quantity the share of intervals that hold the observer's value."""
    seen: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for name, table in tables.items():
        for row in table.drop_nulls(["low", "high"]).iter_rows(named=True):
            quantity, value = HELD[name](row, truth)
            held = row["low"] <= value <= row["high"]
            seen.setdefault((row["strategy"], quantity), []).append((held, row["value"] - value))
    return [
        {
            "strategy": strategy,
            "quantity": quantity,
            "intervals": len(each),
            "held": float(np.mean([held for held, _ in each])),
            "mean difference": float(np.mean([apart for _, apart in each])),
        }
        for (strategy, quantity), each in seen.items()
    ]


def found_attributions(table: pl.DataFrame, truth: Truth) -> list[dict[str, Any]]:
    """Return what each attribution method gives each modality, mean and deviation over hospitals, and Kendall's τ."""
    true = shapley(truth)
    rows: list[dict[str, Any]] = [{"method": "observer's Shapley", "strategy": "", **true}]
    for (method, strategy), each in table.group_by("method", "strategy", maintain_order=True):
        row: dict[str, Any] = {"method": method, "strategy": strategy}
        for name in MODALITIES:
            values = each.filter(modality=name)["value"]
            row[name], row[f"{name} deviation"] = values.mean(), values.std()
        by_hospital = each.group_by("hospital", "modality").agg(pl.col("value").mean()).partition_by("hospital")
        orders = [{"observer": true, method: dict(own.select("modality", "value").rows())} for own in by_hospital]
        row["tau"] = float(np.mean([rank_agreement(order)[0]["tau"] for order in orders]))
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table; a deviation stands behind its mean."""
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if not name.endswith(" deviation")]
    cells = [[_cell(row.get(name), row.get(f"{name} deviation")) for name in columns] for row in rows]
    widths = [max(len(name), *(len(line[place]) for line in cells)) for place, name in enumerate(columns)]
    print()
    for line in [columns, *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object, deviation: float | None) -> str:
    text = "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if deviation is None else f"{text} ± {deviation:.3f}"


def describe(studies: list[picme.Study], truth: Truth) -> None:
    """Print how large each hospital is and how good its models are."""
    print()
    for number, study in enumerate(studies):
        sizes = study.table("scores").filter(split="test")
        ceiling = study.table("ceiling").filter(label="mortality")["auroc"][0]
        means = (f"{row['strategy']} {row['auroc_mean']:.3f}" for row in study.table("summary").iter_rows(named=True))
        print(
            f"hospital {number}: {sizes['n'][0]} test stays, {sizes['positives'][0]} deaths; mean test AUROC "
            f"{', '.join(means)}; of the true risk {ceiling:.3f}, of the perfect observer {max(truth.values()):.3f}"
        )


if __name__ == "__main__":
    main()
