"""λ stands beside the attributions of every task, from wherever it is recorded."""

from __future__ import annotations

import polars as pl

from picme.report.figures.weights import attributions, trajectory, with_weights


def rows(
    method: str, task: str | None, values: dict[str, float], strategy: str | None = "gated"
) -> list[dict[str, object]]:
    return [
        {
            "task": task,
            "combination": "+".join(values),
            "strategy": strategy,
            "modality": name,
            "method": method,
            "value": value,
            "std": None,
        }
        for name, value in values.items()
    ]


def weights(values: dict[str, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"combination": "+".join(values), "epoch": epoch, "modality": name, "weight": value, "selected": epoch == 1}
            for epoch in (0, 1)
            for name, value in values.items()
        ]
    )


GRADIENTS = {"a": 0.5, "b": 0.3, "c": 0.2}
WEIGHTS = {"a": 0.2, "b": 0.2, "c": 0.6}


def found(tables: dict[str, pl.DataFrame], task: str) -> dict[str, float]:
    made = with_weights(tables).filter((pl.col("task") == task) & (pl.col("method") == "lambda"))
    return dict(made.select("modality", "value").iter_rows())


def test_weights_of_the_checkpoint_in_use_are_added_where_none_are_recorded() -> None:
    table = pl.DataFrame(rows("integrated_gradients", "t", GRADIENTS), schema_overrides={"std": pl.Float64})
    tables = {"attributions": table, "lambdas": weights(WEIGHTS)}
    assert found(tables, "t") == WEIGHTS
    assert with_weights(tables).height == 6


def test_recorded_weights_are_kept() -> None:
    recorded = {"a": 0.1, "b": 0.1, "c": 0.8}
    table = pl.DataFrame(rows("integrated_gradients", "t", GRADIENTS) + rows("lambda", "t", recorded))
    assert found({"attributions": table, "lambdas": weights(WEIGHTS)}, "t") == recorded


def test_weights_without_a_task_serve_every_task() -> None:
    lines = rows("integrated_gradients", "s", GRADIENTS) + rows("integrated_gradients", "t", GRADIENTS)
    table = pl.DataFrame(lines + rows("lambda", None, WEIGHTS, None), infer_schema_length=None)
    for task in ("s", "t"):
        assert found({"attributions": table}, task) == WEIGHTS


def test_the_reading_names_the_first_of_each_method() -> None:
    table = pl.DataFrame(
        rows("integrated_gradients", "t", GRADIENTS) + rows("shapley", "t", {"a": 0.1, "b": 0.2, "c": 0.0})
    )
    plate = attributions({"attributions": table, "lambdas": weights(WEIGHTS)}, {})
    assert plate is not None
    assert [view.reading.striptags() for view in plate.views] == [
        "Which modality comes first: by Shapley values (gated) it is b (+20.0 points).",
        "Which modality comes first: by λ of pretraining it is c (60.0 %);"
        " by integrated gradients (gated) it is a (50.0 %).",
    ]


def test_weights_are_drawn_once_and_methods_in_one_order_whatever_the_tables() -> None:
    lines = rows("integrated_gradients", "t", GRADIENTS, "gated") + rows("shapley", "t", GRADIENTS, "gated")
    lines += rows("lambda", "t", WEIGHTS, "gated") + rows("lambda", "t", WEIGHTS, "contrastive")
    lines += rows("integrated_gradients", "t", GRADIENTS, "contrastive") + rows("novel", "t", GRADIENTS, "gated")
    plate = attributions({"attributions": pl.DataFrame(lines, schema_overrides={"std": pl.Float64})}, {})
    assert plate is not None
    assert [[trace["name"] for trace in view.spec["data"]] for view in plate.views] == [
        ["Shapley values, gated"],
        ["λ of pretraining", "integrated gradients, gated", "integrated gradients, contrastive", "novel, gated"],
    ], "Shapley values are what opens"
    assert sum(view.data.height for view in plate.views) == len(lines), "the CSV files keep every row"


def test_a_collapsed_weight_is_pointed_out() -> None:
    plate = trajectory({"lambdas": weights({"a": 0.05, "b": 0.05, "c": 0.9})}, {})
    assert plate is not None
    assert "collapsed" in plate.views[0].reading
    calm = trajectory({"lambdas": weights(WEIGHTS)}, {})
    assert calm is not None
    assert "collapsed" not in calm.views[0].reading
