"""Reading of a task's value tables by one strategy: which combination is enough, and what each modality adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.config.evaluate import EvaluateConfig
from picme.report.facts import chosen, confidence, declared_task, frame, modalities, unselectable
from picme.report.worth import tellers

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables
    from picme.tasks import Task


@dataclass(frozen=True)
class Modality:
    """The value of one modality: its row of `value` beside all others, and its row by itself."""

    name: str
    added: Row
    alone: Row | None


@dataclass(frozen=True)
class Told:
    """The rows of a task's value tables for AUROC among the stays that have every modality.

    Attributes:
        task: the task's name.
        about: the task's declaration, which has its words.
        strategy: the strategy that tells it.
        shared: whether it has one model for all subsets, and not one for each.
        names: the modalities, in the study's order.
        worth: what each modality is worth; the one that adds most is first.
        enough: the row of `sufficient`; None where the study has none.
        scores: the row of `lattice` of each combination.
        pairs: the row of `interactions` of each pair, under its two modalities in the study's order.
        confidence: coverage of the intervals.
        margin: what counts as nothing, a fraction.
    """

    task: str
    about: Task
    strategy: str
    shared: bool
    names: list[str]
    worth: list[Modality]
    enough: Row | None
    scores: dict[str, Row]
    pairs: dict[tuple[str, str], Row]
    confidence: float
    margin: float

    def verdicts(self, verdict: str) -> list[Modality]:
        """Return the modalities of which this is the verdict, beside all others."""
        return [one for one in self.worth if one.added["verdict"] == verdict]


def told(tables: Tables, config: dict[str, Any], task: str) -> Told | None:
    """Return what the value tables say of a task; None where no strategy has predictions of every subset."""
    rows = _about(tables, "value", task)
    strategy = next(iter(tellers(rows, chosen(tables, task), unselectable(config))), None)
    if strategy is None:
        return None
    found = {(row["modality"], row["quantity"]): row for row in rows.filter(strategy=strategy).to_dicts()}
    names = [name for name in modalities(tables, config) if (name, "added") in found]
    worth = [Modality(name, found[name, "added"], found.get((name, "alone"))) for name in names]
    if not worth:
        return None
    lattice, pairs = (_about(tables, name, task).filter(strategy=strategy) for name in ("lattice", "interactions"))
    enough = frame(tables, "sufficient").filter(task=task, strategy=strategy, metric="auroc", stays="complete")
    row = next(enough.iter_rows(named=True), None)
    usual = (config.get("evaluate") or {}).get("margin", EvaluateConfig().margin)
    return Told(
        task,
        declared_task(task, config),
        strategy,
        found[names[0], "added"]["source"] == "shared",
        names,
        sorted(worth, key=lambda one: -one.added["value"]),
        row,
        {row["combination"]: row for row in lattice.filter(pl.col("added").is_null()).iter_rows(named=True)},
        {(row["modality_a"], row["modality_b"]): row for row in pairs.iter_rows(named=True)},
        confidence(config),
        row["margin"] if row and row["margin"] is not None else usual,
    )


def _about(tables: Tables, name: str, task: str) -> pl.DataFrame:
    """Return the rows of a value table about a task's AUROC that have a value."""
    return frame(tables, name).filter(pl.col("value").is_not_null()).filter(task=task, metric="auroc", stays="complete")
