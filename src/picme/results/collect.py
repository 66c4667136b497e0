"""The result tables of a study, from whatever steps are finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.results.extra import extra_tables
from picme.results.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.engine.graph import Graph
    from picme.engine.store import Store


def collect(graph: Graph, store: Store, stages: Sequence[str], tasks: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return every result table that can be made of what is finished, each with exactly its declared columns.

    Args:
        graph: the study's steps; each says what it contributes to which table.
        store: where the artifacts are.
        stages: the stages in their order, which is that of the rows about costs.
        tasks: the tasks in their order, which is that of rows about tasks; others (such as pretraining) come after.

    Raises:
        DataError: if an artifact has changed since it was written.
    """
    parts: dict[str, list[pl.DataFrame]] = {}
    costs = []
    done = [step for step in graph.steps.values() if store.done(step)]
    replaced = {(read.key, name) for step in done for name in step.replaces for read in step.inputs}
    for step in done:
        for name, part in step.tables(store.whole(step)).items():
            if (step.key, name) not in replaced:
                parts.setdefault(name, []).append(table(name).conform(part))
    for step in sorted(done, key=lambda step: stages.index(step.stage)):
        if step.timed:
            manifest = store.manifest(step)
            seconds = manifest.get("train_seconds", manifest["seconds"])
            measured = {name: manifest.get(name) for name in ("epochs", "peak_memory_mb", "parameters", "device")}
            costs.append({"stage": step.kind, "seconds": seconds, **measured, **step.labels})
    places = {name: place for place, name in enumerate(tasks)}
    found = {}
    for name, made in parts.items():
        found[name] = pl.concat(made)
        if "task" in found[name].columns:
            place = found[name]["task"].replace_strict(places, default=len(places), return_dtype=pl.Int64)
            found[name] = found[name] if place.is_sorted() else found[name].sort(place, maintain_order=True)
    if costs:
        names = ["stage", "combination", "task", "strategy"]
        measures = ["seconds", "epochs", "peak_memory_mb", "parameters"]
        rows = table("runtimes").frame(costs).group_by(names, maintain_order=True)
        device = pl.col("device").drop_nulls().unique().sort().str.join(", ").replace("", None)
        means = rows.agg(pl.col(measures).mean(), device, pl.len().cast(pl.Int64).alias("jobs"))
        found["runtimes"] = table("runtimes").conform(means)
    return found | extra_tables(found)
