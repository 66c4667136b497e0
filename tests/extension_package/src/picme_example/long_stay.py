"""A long stay: more than three days in the ICU, predicted from the first day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.tasks import Task

if TYPE_CHECKING:
    from picme.cohort.mimic_stays import MimicStays


class LongStay(Task):
    """The label is 1 where the ICU stay lasts more than 72 hours."""

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        """One row for every stay; picme takes out those that have ended at the prediction time."""
        return stays.stays.select("stay_id", long_stay=(pl.col("los_hours") > 72).cast(pl.Int8))


TASK = LongStay("long_stay", labels=("long_stay",), hours=24)
