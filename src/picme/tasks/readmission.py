"""The task `readmission`: another hospital admission within 30 days, predicted at hospital discharge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.tasks import Task

if TYPE_CHECKING:
    import polars as pl

    from picme.cohort.mimic_stays import MimicStays

DAYS = 30


class Readmission(Task):
    """Return to hospital, whatever the reason. Who dies in hospital has no label; who dies at home did not return."""

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        """Label each survivor of the hospital by whether an admission follows within 30 days of discharge."""
        admissions = stays.table("admissions", ["subject_id", "admittime"])
        return returns(stays, admissions.rename({"admittime": "begin"}), "dischtime", "readmission")


def returns(stays: MimicStays, later: pl.DataFrame, left: str, label: str) -> pl.DataFrame:
    """Label the stays of survivors by whether the patient is back within 30 days.

    Args:
        stays: the stays of the task.
        later: subject_id and `begin` of everything that would be a return.
        left: the column with the time at which the patient leaves.
        label: name of the label.
    """
    import polars as pl

    alive = stays.stays.filter(pl.col("died_in_hospital") == 0).select("stay_id", "subject_id", pl.col(left))
    gap = pl.col("begin") - pl.col(left)
    back = (gap > pl.duration(seconds=0)) & (gap <= pl.duration(days=DAYS))
    found = alive.join(later, on="subject_id", how="left").with_columns(back=back.fill_null(False))
    return found.group_by("stay_id").agg(pl.col("back").any().cast(pl.Int8).alias(label)).sort("stay_id")


TASK = Readmission(
    "readmission",
    ("readmission",),
    tables=("admissions",),
    labelled_if="survived the hospital",
    at="hospital discharge",
    outcome="another hospital admission within 30 days",
    positive="a patient who returns",
    negative="one who does not",
)
