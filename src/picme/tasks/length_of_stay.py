"""The task `length_of_stay`: an ICU stay of more than seven days, predicted from its first 24 hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.tasks import Task

if TYPE_CHECKING:
    import polars as pl

    from picme.cohort.mimic_stays import MimicStays

DAYS = 7
HOURS = 24


class LengthOfStay(Task):
    """A long stay in the ICU. A patient who dies there within seven days has a short one, and is labelled so."""

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        """Label each stay by whether it lasts more than seven days."""
        import polars as pl

        return stays.stays.select("stay_id", length_of_stay=(pl.col("los_hours") > DAYS * 24).cast(pl.Int8))


TASK = LengthOfStay(
    "length_of_stay",
    ("length_of_stay",),
    hours=HOURS,
    measured=True,
    outcome="an ICU stay of more than seven days",
    positive="a stay of more than seven days",
    negative="a shorter one",
)
