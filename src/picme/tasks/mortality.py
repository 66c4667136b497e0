"""The task `mortality`: in-hospital death, predicted from the first 48 hours in the ICU (Harutyunyan et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.tasks import Task

if TYPE_CHECKING:
    import polars as pl

    from picme.cohort.mimic_stays import MimicStays
    from picme.config.cohort import CohortConfig


class Mortality(Task):
    """Death in hospital, by all that is recorded of it (`cohort.death`)."""

    def prediction_hours(self, rules: CohortConfig) -> float:
        """Return the cohort's `min_hours`, which is the task's prediction time on MIMIC."""
        return float(rules.min_hours)

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        """Label each stay by whether the patient died before hospital discharge."""
        return stays.stays.select("stay_id", mortality="died_in_hospital")


TASK = Mortality(
    "mortality",
    ("mortality",),
    hours=48,
    measured=True,
    outcome="death in hospital",
    positive="a patient who died in hospital",
    negative="one who survived",
)
