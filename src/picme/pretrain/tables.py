"""The result tables of a finished pretraining."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from picme.config.combinations import label
from picme.results.tables import table

if TYPE_CHECKING:
    from pathlib import Path

    from picme.pretrain.step import Pretrain


def pretraining_tables(step: Pretrain, folder: Path) -> dict[str, pl.DataFrame]:
    """Return `pretraining_seeds` of every seed, and of the first also `pretraining` and `lambdas`."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    seeds = table("pretraining_seeds")
    known = {**manifest, "combination": label(step.combination)}
    found = {seeds.name: seeds.frame([{name: known.get(name) for name in seeds.schema}])}
    if step.seed == 0:
        found |= {"pretraining": _table(step, folder, "pretraining", "history.parquet"), **lambdas_table(step, folder)}
    return found


def lambdas_table(step: Pretrain, folder: Path) -> dict[str, pl.DataFrame]:
    """Return `lambdas` of the first seed."""
    return {"lambdas": _table(step, folder, "lambdas", "lambdas.parquet")} if step.seed == 0 else {}


def _table(step: Pretrain, folder: Path, name: str, file: str) -> pl.DataFrame:
    rows, schema = pl.read_parquet(folder / file), table(name).schema
    given = {"combination": pl.lit(label(step.combination))}
    absent = {column: pl.lit(None, kind) for column, kind in schema.items() if column not in rows.columns}
    return rows.with_columns(**(absent | given)).select(*schema)
