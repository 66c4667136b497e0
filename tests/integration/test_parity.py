"""The published extraction's output on the open MIMIC-IV demo, reproduced with `extraction: benchmark`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from picme.cohort.mimic import extract
from picme.config.cohort import CohortConfig, MimicSource

if TYPE_CHECKING:
    from pathlib import Path

    from picme.schema import Extraction

# Our step → the published one, in `parity/cohort_flow.csv`.
STEPS = {
    "all ICU stays": "START",
    "no transfer between ICU types": "REMOVE ICU TRANSFERS",
    "one ICU stay per admission": "REMOVE MULTIPLE STAYS PER ADMIT",
    "age at least 18": "REMOVE PATIENTS AGE < 18",
}


@pytest.fixture(scope="module")
def extraction(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    config = CohortConfig(extraction="benchmark", phenotypes=shared_data / "medfuse" / "icd_9_10_definitions_2.yaml")
    return extract(
        MimicSource(ehr=shared_data / "mimic-iv-demo-2.2"),
        config,
        {"hourly": {"table": "chartevents"}},
        ["mortality", "phenotyping"],
        48,
        tmp_path_factory.mktemp("scratch"),
    )


def test_cohort_counts(extraction: Extraction, shared_data: Path) -> None:
    published = pl.read_csv(shared_data / "parity" / "cohort_flow.csv")
    for step, name in STEPS.items():
        counts = {row["count_of"]: row["n"] for row in published.filter(pl.col("filter") == name).iter_rows(named=True)}
        for task in ("mortality", "phenotyping"):
            line = extraction.flow.filter((pl.col("task") == task) & (pl.col("step") == step)).row(0, named=True)
            assert (line["stays"], line["subjects"]) == (counts["stay_ids"], counts["subject_ids"]), (task, step)


def test_mortality_stays_labels_and_arrays(extraction: Extraction, shared_data: Path) -> None:
    view = extraction.views["mortality"]
    published = np.load(shared_data / "parity" / "ihm_arrays.npz")
    labels = pl.read_csv(shared_data / "parity" / "ihm_stays.csv")
    rows = view.modalities["hourly"]
    assert view.stays["stay_id"].to_list() == published["stay_id"].tolist()
    assert view.stays.select("stay_id", "subject_id").equals(labels.select("stay_id", "subject_id"))
    assert view.stays["mortality"].to_list() == labels["y_true"].to_list()
    assert rows.columns == published["header"].tolist()
    assert rows.lengths.tolist() == [48] * 54
    np.testing.assert_allclose(rows.values.reshape(54, 48, 76), published["x"], rtol=0, atol=1e-5)


def test_phenotyping_stays_labels_and_arrays(extraction: Extraction, shared_data: Path) -> None:
    view = extraction.views["phenotyping"]
    published = np.load(shared_data / "parity" / "pheno_arrays.npz")
    labels = pl.read_csv(shared_data / "parity" / "pheno_stays.csv")
    rows = view.modalities["hourly"]
    assert view.labels == labels.columns[2:]
    assert view.stays.select(labels.columns).cast(pl.Int64).equals(labels)
    assert rows.lengths.tolist() == published["length"].tolist()
    np.testing.assert_allclose(rows.values, published["x"], rtol=0, atol=1e-5)


def test_pretraining_sees_the_first_48_hours_of_the_same_series(extraction: Extraction) -> None:
    whole, start = extraction.views["phenotyping"], extraction.views["pretrain"]
    a, b = whole.modalities["hourly"], start.modalities["hourly"]
    assert b.lengths.tolist() == np.minimum(a.lengths, 48).tolist()
    ends_a, ends_b = np.cumsum(a.lengths), np.cumsum(b.lengths)
    for index, length in enumerate(b.lengths):
        mine = b.values[ends_b[index] - length : ends_b[index]]
        full = a.values[ends_a[index] - a.lengths[index] :][:length]
        np.testing.assert_array_equal(mine, full)
