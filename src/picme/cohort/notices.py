"""Collector of what a source reports beside its data: rows left out, rows of the audit, and sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from picme.cohort.audit import gone_by, latest_time
from picme.cohort.plans import PRETRAIN

if TYPE_CHECKING:
    from picme.cohort.images import ImageResult
    from picme.cohort.notes import NoteResult
    from picme.cohort.stays import Cohort
    from picme.cohort.timeseries import ViewSeries
    from picme.config.cohort import CohortConfig

LATEST = "latest_time"
_HOUR = 3600
_AUDIT = {
    "check": pl.String,
    "modality": pl.String,
    "split": pl.String,
    "count": pl.Int64,
    "detail": pl.String,
    "violation": pl.Boolean,
}
_EVENT_ROWS = {"modality": pl.String, "table": pl.String, "place": pl.String, "rows": pl.Int64}
_QUARANTINE = {"modality": pl.String, "reason": pl.String, "count": pl.Int64}


@dataclass
class Notices:
    """Rows of the tables `quarantine`, `audit` and `event_rows`, and sentences, in the order of reporting."""

    quarantine: list[tuple[str, str, int]] = field(default_factory=list)
    audit: list[tuple[str, str, str, int, str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    event_rows: list[tuple[str, str, str, int]] = field(default_factory=list)

    def take(
        self, modality: str, view: str, result: NoteResult | ImageResult, stays: pl.DataFrame, declared: str | None
    ) -> None:
        """Add the rows of a note or image modality in one view.

        Args:
            modality: name of the modality.
            view: name of the view; what was left out is taken from `pretrain`, the view with all stays.
            result: the modality.
            stays: the view's stays with `predicted`, the prediction time.
            declared: the declaration of a preset that goes beyond the cut-off; times are then judged by `predicted`.
        """
        rows = list(result.audit.iter_rows())
        if declared is not None:
            rows = [
                row if row[0] != LATEST else latest_time(result.latest, stays["predicted"], declared) for row in rows
            ]
        self.audit += [(check, modality, "", count, f"{view}: {detail}", bad) for check, count, detail, bad in rows]
        if view == PRETRAIN:
            self.quarantine += [
                (modality, row["reason"], row["count"]) for row in result.quarantine.iter_rows(named=True)
            ]

    def take_series(self, modality: str, view: str, series: ViewSeries, published: bool) -> None:
        """Add the audit row of a time series: how new its newest measurement is, and how many were stored late."""
        newest, late = "nothing used", False
        if series.latest is not None:
            newest = f"newest is {round(series.latest / _HOUR, 1) + 0.0:+.1f} h from the cut-off"
            late = series.latest > 0
        stored = f"{series.stored_late} values were stored after it, as the published rules allow"
        rule = stored if published else "cut-off holds"
        self.audit.append((LATEST, modality, "", series.stored_late, f"{view}: {newest}; {rule}", late))

    def take_presence(self, view: str, stays: pl.DataFrame, declared: str | None) -> None:
        """Add the audit rows of the stays that are over at a task's prediction time (`gone_by`)."""
        self.audit += [
            (check, "", "", count, f"{view}: {said}", bad) for check, count, said, bad in gone_by(stays, declared)
        ]

    def take_contradictions(self, people: Cohort, rules: CohortConfig) -> None:
        """Add the audit rows of contradictory records of death; above the share `max_bad_rows` they are a violation."""
        among = f"of {people.stays.height} stays"
        too_many = people.contradicted > rules.max_bad_rows * people.stays.height
        said = f"stays with contradictory records of death or discharge, {among}; allowed share {rules.max_bad_rows:g}"
        # The published extraction has one rule, which looks at no other record.
        self.audit.append(("label", "", "", people.contradicted, said, too_many and rules.extraction != "benchmark"))
        for kind, count in sorted(people.contradictions.items()):
            self.audit.append(("contradiction", "", "", count, f"{kind}, {among}", False))

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the tables `quarantine`, `audit` and `event_rows`."""
        return {
            "quarantine": pl.DataFrame(self.quarantine, schema=_QUARANTINE, orient="row"),
            "audit": pl.DataFrame(self.audit, schema=_AUDIT, orient="row"),
            "event_rows": pl.DataFrame(self.event_rows, schema=_EVENT_ROWS, orient="row"),
        }
