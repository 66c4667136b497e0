"""Audit rows of a source: how new the newest item is that a stay uses, compared with its cut-off."""

from __future__ import annotations

import polars as pl

AUDIT = {"check": pl.String, "count": pl.Int64, "detail": pl.String, "violation": pl.Boolean}


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


def audit_frame(rows: list[tuple[str, int, str, bool]]) -> pl.DataFrame:
    """Turn audit rows into a table with the columns check, count, detail, violation."""
    return pl.DataFrame(rows, schema=AUDIT, orient="row")
