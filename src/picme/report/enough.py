"""The answer to which combination is enough, as a sentence with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.report.numbers import count, say, text_of
from picme.report.words import strategy_text
from picme.report.worth import points

if TYPE_CHECKING:
    import polars as pl
    from markupsafe import Markup

FEW = 100
"""Events below which a split hardly tells combinations apart."""
MOST = 100_000
"""Validation stays above which a number would only pretend to know how many it takes."""


def stays_needed(needed: int) -> Markup:
    """Say how many validation stays would tell combinations apart, or that it would take more than `MOST`."""
    if needed > MOST:
        return say("more than {n}", n=count(MOST, "derived:sufficient"))
    return say("at least about {n}", n=count(needed, "sufficient.needed"))


def enough(
    sufficient: pl.DataFrame, task: str, strategy: str, metric: str = "auroc", folds: bool = False
) -> dict[str, Any] | None:
    """Return which combination is enough among the stays that have every modality.

    Args:
        sufficient: the result table.
        task: the task of the study.
        strategy: whose models tell it.
        metric: as in the table.
        folds: whether the study is cross-fitted, so that the same stays choose and judge.

    Returns:
        The table's row and the `sentence` that says it; None where there is no such row.
    """
    rows = sufficient.filter(task=task, strategy=strategy, metric=metric, stays="complete")
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    return {**row, "sentence": _sentence(row, folds)}


def _sentence(row: dict[str, Any], folds: bool) -> str:
    margin = f"margin {points(row['margin']).lstrip('+')} points"
    about = (
        f"({row['task']}, {strategy_text(row['strategy'])}; {row['n_val']} stays, {row['events_val']} events; {margin})"
    )
    if row["none_needed"]:
        said = f"None is needed on validation {about}: no combination is better than none by more than the margin."
    elif row["combination"] is None:
        said = f"Undecided on validation {about}"
        if row["needed"] is not None:
            said += f": {text_of(stays_needed(row['needed']))} validation stays would be needed"
        elif row["needs_seeds"]:
            said += ": the models differ too much from seed to seed for any number of stays to tell"
        said += "."
    else:
        said = f"Enough on validation {about}: {row['combination']}"
        if row["against"] is not None:
            which = "the best" if row["against"] == row["best"] else "the next best"
            said += f"; on test it is {points(row['difference'])} points from {which} on validation, {row['against']}"
            if row["low"] is None:
                said += f"; there is no interval: {row['no_interval']}"
            else:
                said += f" ({points(row['low'])} to {points(row['high'])})"
        said += "."
    if folds:
        return said + (f" Few events ({row['events_val']})." if row["events_val"] < FEW else "")
    few = [f"{row[f'events_{split}']} on {name}" for split, name in (("val", "validation"), ("test", "test"))
           if row[f"events_{split}"] < FEW]  # fmt: skip
    if few:
        said += f" Few events ({', '.join(few)}): cross-fitting (splits.kind: folds) would use every stay."
    return said
