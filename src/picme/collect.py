"""The result tables of a run, from whatever stages are finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from picme.modalities.combinations import label

if TYPE_CHECKING:
    from pathlib import Path

    from picme.plan import Cell, Run


# Of a pretraining's manifest.
PRETRAINED: dict[str, Any] = {
    "val_recall5": pl.Float64,
    "best_epoch": pl.Int64,
    "epochs": pl.Int64,
    "learning_rate": pl.Float64,
    "batch_size": pl.Int64,
}


def collect(run: Run) -> dict[str, pl.DataFrame]:
    """All tables that can be made of what is finished; the columns are those of the documentation."""
    tables: dict[str, pl.DataFrame | None] = {}
    if run.store.done("prepare", run.keys.prepare):
        for name in ("cohort_flow", "availability", "leakage", "label_agreement", "quarantine"):
            tables[name] = _read(run.prepared / f"{name}.parquet")
    tables |= _pretraining(run)
    tables |= _alignment(run)
    cells = [cell for cell in run.cells() or [] if run.store.done("finetune", run.finetune_key(cell))]
    tables["finetuning"] = _finetuning(run, cells)
    tables["search"] = _search(run, cells)
    tables |= _evaluation(run, cells)
    tables["attributions"] = _attributions(run, cells, "attributions", ("modality", "method", "value", "std"))
    tables["agreement"] = _attributions(run, cells, "agreement", ("method_a", "method_b", "tau", "modalities"))
    tables["ceiling"] = _ceiling(run)
    tables["runtimes"] = _runtimes(run, cells)
    return {name: table for name, table in tables.items() if table is not None}


def _pretraining(run: Run) -> dict[str, pl.DataFrame | None]:
    history, lambdas = [], []
    for combination in run.pretrained_combinations:
        key = run.keys.pretrain(combination)
        if not run.store.done("pretrain", key):
            continue
        folder = run.store.path("pretrain", key)
        named = pl.lit(label(combination)).alias("combination")
        columns = ("epoch", "train_loss", "val_loss", "val_recall5", "temperature", "seconds", "selected")
        history.append(pl.read_parquet(folder / "history.parquet").select(named, *(_number(name) for name in columns)))
        lambdas.append(
            pl.read_parquet(folder / "lambdas.parquet").select(named, "epoch", "modality", "weight", "selected")
        )
    return {"pretraining": _stack(history), "lambdas": _stack(lambdas), "pretraining_seeds": _pretraining_seeds(run)}


def _pretraining_seeds(run: Run) -> pl.DataFrame | None:
    """What each seed of each combination's pretraining came to."""
    rows = []
    for combination in run.pretrained_combinations:
        for seed in range(run.config.pretrain.seeds):
            key = run.keys.pretrain(combination, seed)
            if run.store.done("pretrain", key):
                manifest = run.store.manifest("pretrain", key)
                values = {name: manifest.get(name) for name in PRETRAINED}
                rows.append({"combination": label(combination), "seed": seed, **values})
    if not rows:
        return None
    return pl.DataFrame(rows, schema={"combination": pl.String, "seed": pl.Int64, **PRETRAINED}).fill_nan(None)


def _number(name: str) -> pl.Expr:
    kinds = {"epoch": pl.Int64, "selected": pl.Boolean}
    return pl.col(name).cast(kinds.get(name, pl.Float64))


def _alignment(run: Run) -> dict[str, pl.DataFrame | None]:
    found, frames = [], []
    for combination in run.pretrained_combinations:
        key = run.keys.align(combination)
        if not run.store.done("align", key):
            continue
        folder = run.store.path("align", key)
        named = pl.lit(label(combination)).alias("combination")
        table = _read(folder / "alignment.parquet")
        if table is not None:
            columns = ("metric", "source", "target", "k", "split", "candidates", "chance", "value")
            found.append(table.select(named, pl.lit(len(combination)).alias("n_modalities"), *columns))
        shown = _read(folder / "tsne.parquet")
        if shown is not None:
            frames.append(shown.select(named, "epoch", "stay", "modality", "x", "y"))
    return {"alignment": _stack(found), "tsne": _stack(frames)}


def _finetuning(run: Run, cells: list[Cell]) -> pl.DataFrame | None:
    found = []
    for cell in cells:
        key = run.finetune_key(cell)
        history = _read(run.store.path("finetune", key) / "history.parquet")
        if history is None:
            continue  # baselines have no epochs
        manifest = run.store.manifest("finetune", key)
        found.append(
            history.select(
                *_cell(cell),
                _number("epoch"),
                _number("train_loss"),
                _number("val_auroc"),
                pl.lit(manifest["best_epoch"], pl.Int64).alias("best_epoch"),
                pl.lit(manifest["learning_rate"], pl.Float64).alias("learning_rate"),
                pl.lit(manifest["batch_size"], pl.Int64).alias("batch_size"),
            )
        )
    return _stack(found)


def _cell(cell: Cell) -> list[pl.Expr]:
    values = {"task": cell.task, "combination": label(cell.combination), "strategy": cell.strategy, "seed": cell.seed}
    return [pl.lit(value).alias(name) for name, value in values.items()]


def _search(run: Run, cells: list[Cell]) -> pl.DataFrame | None:
    """The trials of both searches; those of pretraining have neither task nor strategy."""
    from picme.plan import search_key

    missing = {name: pl.lit(None, pl.String).alias(name) for name in ("task", "strategy")}
    searched: dict[str, list[pl.Expr]] = {}
    if run.config.pretrain.search != "off":
        for chosen in map(run.keys.searched_combination, run.pretrained_combinations):
            name = pl.lit(label(chosen)).alias("combination")
            searched[run.keys.pretrain_search(chosen)] = [
                pl.lit("pretrain").alias("stage"), missing["task"], name, missing["strategy"],
            ]  # fmt: skip
    if run.config.finetune.search != "off":
        for cell in cells:
            if cell.seed == 0:
                task, combination, strategy, _ = _cell(cell)
                searched[search_key(run, cell)] = [pl.lit("finetune").alias("stage"), task, combination, strategy]
    found = []
    for key, named in searched.items():
        table = _read(run.store.path("search", key) / "trials.parquet")
        if table is not None:
            found.append(table.select(*named, "trial", "learning_rate", "batch_size", "value"))
    return _stack(found)


def _evaluation(run: Run, cells: list[Cell]) -> dict[str, pl.DataFrame | None]:
    from picme.plan import evaluate_key

    key = evaluate_key(run, cells)
    if not cells or not run.store.done("evaluate", key):
        return {}
    folder = run.store.path("evaluate", key)
    tables = {file.stem: _read(file) for file in sorted(folder.glob("*.parquet"))}
    tables["predictions"] = pl.read_parquet(folder / "predictions" / "*.parquet")
    return tables


def _attributions(run: Run, cells: list[Cell], name: str, columns: tuple[str, ...]) -> pl.DataFrame | None:
    """One of the tables that are made for each task, combination and strategy over its seeds."""
    from picme.plan import attribution_key

    groups: dict[tuple[str, tuple[str, ...], str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.task, cell.combination, cell.strategy), []).append(cell)
    found = []
    for group in groups.values():
        table = _read(run.store.path("attribute", attribution_key(run, group)) / f"{name}.parquet")
        if table is not None:
            task, combination, strategy, _ = _cell(group[0])
            found.append(table.select(task, combination, strategy, *columns))
    return _stack(found)


def _ceiling(run: Run) -> pl.DataFrame | None:
    """AUROC of the true risk, which only a synthetic source knows, on the test stays."""
    if run.config.source.kind != "synthetic" or not run.store.done("prepare", run.keys.prepare):
        return None
    truth = _read(run.store.path("hospital", run.keys.hospital) / "truth.parquet")
    if truth is None:
        return None
    from picme.evaluate.metrics import auroc
    from picme.tasks import build

    rows: list[dict[str, Any]] = []
    for name, section in run.config.tasks.items():
        task = build(name, section)
        cohort = pl.read_parquet(run.prepared / "views" / name / "cohort.parquet").filter(pl.col("split") == "test")
        joined = cohort.join(truth, on="stay_id", how="inner", suffix="_risk")
        values = []
        for one in task.labels:
            risk = "mortality_risk" if one == "mortality" else f"{one}_risk"
            if risk in joined.columns:
                value = auroc(joined.get_column(one).cast(pl.Float64).to_numpy(), joined.get_column(risk).to_numpy())
                values.append(value)
                rows.append({"task": name, "label": one, "auroc": value})
        if len(values) > 1:
            known = [value for value in values if value == value]
            rows.append({"task": name, "label": "macro", "auroc": sum(known) / len(known) if known else None})
    return pl.DataFrame(rows).with_columns(pl.col("auroc").fill_nan(None)) if rows else None


def _runtimes(run: Run, cells: list[Cell]) -> pl.DataFrame | None:
    """Seconds and memory of each job, seeds averaged."""
    jobs: list[tuple[str, str, str | None, str | None, str | None]] = [("prepare", run.keys.prepare, None, None, None)]
    jobs += [("features", run.keys.features(name), name, None, None) for name in run.locked]
    jobs += [
        ("pretrain", run.keys.pretrain(combination, seed), label(combination), None, None)
        for combination in run.pretrained_combinations
        for seed in range(run.config.pretrain.seeds)
    ]
    jobs += [("finetune", run.finetune_key(c), label(c.combination), c.task, c.strategy) for c in cells]
    rows = []
    for stage, key, combination, task, strategy in jobs:
        if run.store.done(stage, key):
            manifest = run.store.manifest(stage, key)
            rows.append(
                {
                    "stage": stage, "combination": combination, "task": task, "strategy": strategy,
                    "seconds": manifest.get("train_seconds", manifest["seconds"]),
                    "epochs": manifest.get("epochs"), "peak_memory_mb": manifest.get("peak_memory_mb"),
                }
            )  # fmt: skip
    if not rows:
        return None
    schema = {
        "stage": pl.String, "combination": pl.String, "task": pl.String, "strategy": pl.String,
        "seconds": pl.Float64, "epochs": pl.Float64, "peak_memory_mb": pl.Float64,
    }  # fmt: skip
    names = ["stage", "combination", "task", "strategy"]
    return (
        pl.DataFrame(rows, schema=schema)
        .group_by(names, maintain_order=True)
        .agg(pl.col("seconds", "epochs", "peak_memory_mb").mean())
    )


def _read(file: Path) -> pl.DataFrame | None:
    return pl.read_parquet(file) if file.is_file() else None


def _stack(tables: list[pl.DataFrame]) -> pl.DataFrame | None:
    return pl.concat(tables, how="vertical_relaxed") if tables else None
