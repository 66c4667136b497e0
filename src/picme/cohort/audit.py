"""Audit rows of a source: whether what a stay uses, and the stay itself, were there at the prediction time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from picme.config.cohort import CohortConfig
    from picme.tasks import Task

AUDIT = {"check": pl.String, "count": pl.Int64, "detail": pl.String, "violation": pl.Boolean}
GONE = {"died": "dead", "dischtime": "discharged from hospital"}
"""Columns of a view's stays with the time of death and of discharge from hospital."""


def latest_time(latest: pl.Series, cutoff: pl.Series, declared: str | None = None) -> tuple[str, int, str, bool]:
    """Make the audit row that counts the stays using something that became known after their cut-off.

    Args:
        latest: datetime per stay, null where the modality is absent.
        cutoff: datetime per stay.
        declared: the declaration of a preset that goes beyond the cut-off; with it a late item is no violation.

    Returns:
        check, count, detail, violation; the detail holds only a difference in hours.
    """
    hours = (latest - cutoff).dt.total_seconds() / 3600
    after = int((hours > 0).sum())
    used = hours.drop_nulls().to_list()
    newest = f"newest is {max(used):+.1f} h from the cut-off" if used else "nothing used"
    verdict = declared or (f"{after} after the cut-off" if after else "cut-off holds")
    return "latest_time", after, f"{newest}; {verdict}", declared is None and after > 0


def gone_by(stays: pl.DataFrame, declared: str | None = None) -> list[tuple[str, int, str, bool]]:
    """Make the audit rows that count the stays dead, or discharged from hospital, at their prediction time.

    Args:
        stays: predicted, and where known died and dischtime (datetime, null where they did not happen or are unknown).
        declared: the rule that keeps such stays; with it they are no violation.

    Returns:
        check, count, detail, violation, one row for each time that is known.
    """
    rows = []
    for column, state in GONE.items():
        if column in stays.columns:
            count = int((stays[column] <= stays["predicted"]).sum())
            detail = f"{state} at the prediction time, of {stays.height} stays"
            rows.append(
                (
                    "gone_at_prediction",
                    count,
                    f"{detail}; {declared}" if declared else detail,
                    not declared and count > 0,
                )
            )
    return rows


def kept_by(published: bool, task: Task, rules: CohortConfig) -> str | None:
    """Name the rule that keeps stays in a task though the patient is dead or discharged at the prediction time.

    Args:
        published: whether the rules of the published extraction hold.
        task: the task.
        rules: the section `cohort`.
    """
    if task.moment == "row":
        return "each label has its own time, of which none lies after death or discharge"
    if task.moment in ("icu discharge", "hospital discharge"):
        return "the task predicts when the patient is discharged"
    if task.prediction_hours(rules) is None:
        return "the task looks back on the whole stay"
    return "the published extraction has no rule against it" if published else None


def audit_frame(rows: list[tuple[str, int, str, bool]]) -> pl.DataFrame:
    """Turn audit rows into a table with the columns check, count, detail, violation."""
    return pl.DataFrame(rows, schema=AUDIT, orient="row")
