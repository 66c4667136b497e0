"""Published figures (arXiv 2507.03165) that stand beside a study's own where combination and task are the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Published:
    """A mean and standard deviation in percent, as printed."""

    mean: float
    std: float


@cache
def _table(name: str) -> pl.DataFrame:
    with (files("picme.report") / f"{name}.csv").open("rb") as handle:
        return pl.read_csv(handle.read(), infer_schema_length=None)


def _key(combination: str | None) -> frozenset[str]:
    return frozenset((combination or "").split("+"))


@cache
def _scores() -> dict[tuple[frozenset[str], str, str, str], Published]:
    return {
        (_key(row["combination"]), row["strategy"], row["task"], row["metric"]): Published(
            row["mean_percent"], row["std_percent"]
        )
        for row in _table("paper_table1").iter_rows(named=True)
    }


def score_of_paper(combination: str, strategy: str, task: str, metric: str) -> Published | None:
    """Return Table 1's figure of a cell; None where the paper has none."""
    return _scores().get((_key(combination), strategy, task, metric))


@cache
def _figures() -> list[dict[str, str | None]]:
    return _table("paper_figures").with_columns(pl.all().cast(pl.String)).to_dicts()


def attribution_of_paper(combination: str, task: str, method: str) -> dict[str, float]:
    """Return Table 2's shares by modality for the combination of all five; empty for any other."""
    what = {"lambda": "lambda", "integrated_gradients": "integrated gradients"}.get(method)
    rows = [
        row
        for row in _figures()
        if what and row["where"] == "Table 2" and row["what"] == what and row["task_or_column"] in (None, task)
    ]
    names = {str(row["combination_or_group"]) for row in rows}
    if not rows or names != set(_key(combination)):
        return {}
    return {str(row["combination_or_group"]): float(row["value"] or 0) for row in rows}


def alignment_of_paper(combination: str) -> float | None:
    """Return Figure 2's top-5 accuracy of a combination, a fraction; None where the paper prints none."""
    rows = [row for row in _figures() if row["where"] == "Figure 2"]
    found = [row["value"] for row in rows if _key(row["combination_or_group"]) == _key(combination)]
    return float(found[0] or 0) / 100 if found else None


def times_of_paper() -> list[dict[str, Any]]:
    """Return the trainings of Table 5 and section 8.6 with their times, and what they correspond to here.

    Each has what (in words), task, strategy, stage, modalities (their number, None for any) and hours (one, or the two
    ends of a range).
    """
    kinds = {
        "run time three modalities": ("three modalities", "finetune", 3),
        "contrastive pretraining of one combination": ("pretraining of one combination", "pretrain", None),
        "heads on frozen encoders": ("heads on frozen encoders", "finetune", None),
    }
    strategies = {"concatenation": "supervised", "gated": "gated"}
    found = []
    for row in _figures():
        if row["what"] not in kinds:
            continue
        what, stage, modalities = kinds[row["what"]]
        frozen = "contrastive" if stage == "finetune" else None
        strategy = strategies.get(row["combination_or_group"] or "", frozen)
        hours = [float(end) for end in (row["value"] or "").split(" to ")]
        task = row["task_or_column"] or None
        found.append(
            {"what": what, "task": task, "strategy": strategy, "stage": stage, "modalities": modalities, "hours": hours}
        )
    return found


def types_of_paper(combination: str, strategy: str) -> dict[str, Published]:
    """Return Table 4's AUROC by type of phenotype for the combination of all five; empty for any other."""
    five = {str(row["combination_or_group"]) for row in _figures() if row["where"] == "Table 2"}
    if five != set(_key(combination)):
        return {}
    return {
        str(row["combination_or_group"]): Published(float(row["value"] or 0), _std(row["unit"]))
        for row in _figures()
        if row["where"] == "Table 4" and row["task_or_column"] == strategy
    }


def _std(unit: str | None) -> float:
    """Return the number in words such as `percent (std 0.98)`."""
    return float((unit or "").rpartition("std ")[2].rstrip(")") or 0)


def any_of_paper(cells: Iterable[tuple[str, str, str]]) -> bool:
    """Return whether the paper has a figure for any of these cells (combination, strategy, task)."""
    return any(score_of_paper(*cell, "auroc") for cell in cells)
