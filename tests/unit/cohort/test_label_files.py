"""Tasks from a label file: one sample for each label, whose window ends at its prediction time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.cohort.extract import extract as extract_any
from picme.cohort.label_files import CONTRADICTED, DEAD, OUTSIDE, REPEATED, UNKNOWN
from picme.cohort.meds import extract
from picme.cohort.splits import assign_views
from picme.config.cohort import CohortConfig
from picme.config.loading import load
from picme.config.meds import MedsSource
from picme.config.splits import SplitsConfig
from picme.errors import ConfigError, DataError
from picme.schema import Extraction, SeriesRows
from tiny_meds import HEART_RATE, at, event, patient, write_meds_files

if TYPE_CHECKING:
    from pathlib import Path

MODALITIES: dict[str, dict[str, Any]] = {"vitals": {"table": "chartevents"}, "who": {"table": "demographics"}}


def labels(path: Path, rows: list[tuple[int, float, bool]]) -> Path:
    subjects, hours, values = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {"subject_id": subjects, "prediction_time": [at(hour) for hour in hours], "boolean_value": values}
    )
    frame.write_parquet(path)
    return path


def run(tmp_path: Path, rows: list[tuple[int, float, bool]], **options: Any) -> Extraction:
    events = [
        *(one for n in (1, 2, 3) for one in patient(n, 60.0)),
        *patient(4, 30.0, died=True),
        *(event(n, hour, HEART_RATE, 50 + hour) for n in (1, 2, 3, 4) for hour in range(60)),
    ]
    folder = write_meds_files(tmp_path / "set", events, splits=options.get("splits"))
    source = MedsSource(path=folder, subject_splits="splits" in options)
    file = labels(tmp_path / "labels.parquet", rows)
    tasks = options.get("tasks", [])
    return extract(source, CohortConfig(), MODALITIES, tasks, 48, tmp_path / "scratch", None, {"worse": file})


def test_each_label_is_a_sample_that_ends_at_its_prediction_time(tmp_path: Path) -> None:
    found = run(tmp_path, [(1, 10, True), (1, 20.5, False), (2, 48, True), (3, 0.5, False)], tasks=["mortality"])
    view = found.views["worse"]
    assert view.labels == ["worse"]
    assert view.stays["subject_id"].to_list() == [1, 1, 2, 3]
    assert view.stays["worse"].to_list() == [1, 0, 1, 0]
    assert view.stays["predicted"].to_list() == [at(10), at(20.5), at(48), at(0.5)]
    assert view.stays["stay_id"].is_unique().all()
    stays = set(found.views["pretrain"].stays["stay_id"])
    assert not stays & set(view.stays["stay_id"]), "a sample's number is no stay's"
    series = view.modalities["vitals"]
    assert isinstance(series, SeriesRows)
    assert series.lengths.tolist() == [10, 21, 48, 1]
    rates = series.values[:, series.columns.index("Heart rate")]
    # The prediction time is inclusive: the value charted at hour 10 is in the last of the first sample's ten hours.
    ends = np.cumsum(series.lengths)
    assert rates[ends - 1].tolist() == [60.0, 70.0, 98.0, 50.0]
    assert found.views["mortality"].modalities["vitals"].lengths.tolist() == [48, 48, 48]  # type: ignore[union-attr]


def test_nothing_from_after_the_prediction_time_is_used(tmp_path: Path) -> None:
    audit = run(tmp_path, [(1, 10, True), (2, 47.99, False)]).audit
    assert audit is not None
    assert audit.filter("violation").is_empty()
    mine = audit.filter(pl.col("detail").str.starts_with("worse"))
    assert set(mine["check"]) == {"latest_time", "gone_at_prediction"}
    assert mine.filter(pl.col("check") == "gone_at_prediction")["count"].sum() == 0


def test_labels_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [(1, 10, True), (1, 10, True), (2, 10, True), (2, 10, False), (3, -1, True), (3, 500, True), (9, 1, True)]
    found = run(tmp_path, [*rows, (4, 30, False), (4, 20, True), (3, 84, False)])
    assert found.views["worse"].stays.select("subject_id", "worse").rows() == [(1, 1), (3, 0), (4, 1)]
    assert found.quarantine is not None
    counts = dict(found.quarantine.filter(pl.col("modality") == "labels").select("reason", "count").iter_rows())
    expected = {REPEATED: 1, CONTRADICTED: 2, OUTSIDE: 2, UNKNOWN: 1, DEAD: 1}
    assert counts == {f"worse: {reason}": count for reason, count in expected.items()}
    assert sum(expected.values()) + 3 == len(rows) + 3, "every label is in one place"
    flow = found.flow.filter(pl.col("task") == "worse")
    assert flow.row(-1)[1:] == ("samples: labels with a prediction time within the stay", 3, 3)


def test_a_file_without_a_usable_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"tasks\.worse\.file: none of the 1 labels of .* \(mostly: prediction_time out"
    ):
        run(tmp_path, [(1, 1000, True)])


@pytest.mark.parametrize("kind", ["hash", "folds"])
def test_samples_of_a_subject_are_in_one_split(tmp_path: Path, kind: Any) -> None:
    found = run(tmp_path, [(n, hour, hour > 20) for n in (1, 2, 3) for hour in (5, 15, 25, 35)])
    views = {name: view.stays for name, view in found.views.items()}
    division = assign_views(views, SplitsConfig(kind=kind, folds=3 if kind == "folds" else None))
    every = pl.concat([stays.select("stay_id", "subject_id") for stays in views.values()]).unique("stay_id")
    splits = division.stays.join(every, on="stay_id").group_by("subject_id").agg(pl.col("split").n_unique())
    assert splits["split"].to_list() == [1, 1, 1, 1]


def test_the_data_sets_own_splits_are_taken(tmp_path: Path) -> None:
    found = run(tmp_path, [(1, 10, True), (2, 10, False)], splits={1: "held_out", 2: "train", 3: "tuning"})
    assert found.views["worse"].stays["split"].to_list() == ["test", "train"]
    assert dict(found.views["pretrain"].stays.select("subject_id", "split").iter_rows())[4] is None


def test_other_sources_have_no_labels_by_file(tmp_path: Path) -> None:
    file = labels(tmp_path / "labels.parquet", [(1, 1, True)])
    config = load("demo", {"tasks.worse.file": str(file)})
    with pytest.raises(ConfigError, match=r"tasks\.worse\.file is for sources mimic and meds, not synthetic"):
        extract_any(config, tmp_path, None)
    with pytest.raises(ConfigError, match="file has the labels and their times"):
        load("meds-mimic", {"tasks.worse.file": str(file), "tasks.worse.hours": 24})


def test_a_time_within_a_second_is_not_rounded_up(tmp_path: Path) -> None:
    """Half a second after hour 10 nothing of the next second may be seen."""
    events = [*patient(1), event(1, 1, HEART_RATE, 70)]
    late = {**event(1, 10, HEART_RATE, 99), "time": at(10) + timedelta(seconds=1)}
    folder = write_meds_files(tmp_path / "set", [*events, late])
    file = tmp_path / "labels.parquet"
    moment = at(10) + timedelta(milliseconds=600)
    pl.DataFrame({"subject_id": [1], "prediction_time": [moment], "boolean_value": [True]}).write_parquet(file)
    found = extract(
        MedsSource(path=folder), CohortConfig(), MODALITIES, [], 48, tmp_path / "scratch", None, {"worse": file}
    )
    series = found.views["worse"].modalities["vitals"]
    assert isinstance(series, SeriesRows)
    assert series.lengths.tolist() == [10]
    assert 99.0 not in series.values[:, series.columns.index("Heart rate")]
