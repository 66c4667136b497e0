"""Run folders as finished studies leave them, with predictions of a chosen skill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import yaml

if TYPE_CHECKING:
    from pathlib import Path

CELLS = (("a+b", "supervised"), ("a+b", "gated"))


def run_folder(
    folder: Path,
    skill: float,
    *,
    seed: int = 0,
    stays: range = range(1000, 1120),
    subject: Any = lambda stay: stay // 2,
    flipped: int = 0,
    order: str = "a+b",
    settings: dict[str, Any] | None = None,
    keep_cohort: bool = True,
) -> Path:
    """A finished run as it lies on disk; each stay's label follows from its number, predictions are `skill` better."""
    generator = np.random.default_rng(seed)
    ids = np.array(stays)
    label = np.random.default_rng(7).random(5000)[ids] < 0.4
    label[:flipped] = ~label[:flipped]
    rows, scores = [], []
    for combination, strategy in CELLS:
        name = order if combination == "a+b" else combination
        for run in (0, 1):
            logits = generator.normal(size=len(ids)) + skill * label
            for split in ("val", "test"):
                part = ids % 4 == 0 if split == "val" else ids % 4 != 0
                rows.append(
                    pl.DataFrame({
                        "task": "death", "combination": name, "strategy": strategy, "seed": run, "split": split,
                        "stay_id": ids[part], "label": "death", "target": label[part].astype(float),
                        "probability": 1 / (1 + np.exp(-logits[part])),
                    })
                )  # fmt: skip
        scores.append(
            {
                "task": "death", "combination": name, "strategy": strategy, "n_seeds": 2,
                "auroc_mean": 0.5 + skill / 10, "auroc_std": 0.01, "auprc_mean": 0.4, "auprc_std": None,
                "selected": strategy == "gated",
            }
        )  # fmt: skip
    (folder / "results").mkdir(parents=True)
    pl.concat(rows).write_parquet(folder / "results" / "predictions.parquet")
    pl.DataFrame(scores).write_parquet(folder / "results" / "summary.parquet")
    cohort = pl.DataFrame(
        {
            "stay_id": ids,
            "subject_id": [subject(stay) for stay in ids],
            "split": np.where(ids % 4 == 0, "val", "test"),
            "death": label.astype(int),
        }
    )
    if keep_cohort:
        views = folder / "store" / "prepare" / "key" / "views" / "death"
        views.mkdir(parents=True)
        cohort.write_parquet(views / "cohort.parquet")
    tree = {"name": "study", "pretrain": {"epochs": 3, "objective": {"name": "ovo"}}, **(settings or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    (folder / "run.json").write_text(
        json.dumps({"picme": "0.1.0", "raw": [{"path": f"{folder}/x.csv", "size": 3, "header": "h"}],
                    "stages": {"prepare": "key"}}), encoding="utf-8",
    )  # fmt: skip
    return folder
