"""The task `icu_readmission`: another ICU stay within 30 days, predicted at ICU discharge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.tasks import Task
from picme.tasks.readmission import returns

if TYPE_CHECKING:
    import polars as pl

    from picme.cohort.mimic_stays import MimicStays


class IcuReadmission(Task):
    """Return to the ICU, in the same admission or a later one. Who dies in hospital has no label."""

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        """Label each survivor of the hospital by whether an ICU stay follows within 30 days of ICU discharge."""
        again = stays.table("icustays", ["subject_id", "intime"])
        return returns(stays, again.rename({"intime": "begin"}), "outtime", "icu_readmission")


TASK = IcuReadmission(
    "icu_readmission",
    ("icu_readmission",),
    tables=("icustays",),
    labelled_if="survived the hospital",
    at="icu discharge",
    outcome="another ICU stay within 30 days",
    positive="a patient who returns to the ICU",
    negative="one who does not",
)
