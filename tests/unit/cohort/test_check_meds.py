"""What `picme prepare` refuses of MEDS data, `picme check` refuses with the same sentence, and status 1."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner

from picme.cli import app
from picme.cohort.check_meds import check
from picme.cohort.label_files import CONTRADICTED, DEAD, OUTSIDE, UNKNOWN
from picme.config.loading import load
from picme.errors import PicmeError
from picme.pipeline import run
from picme.prepare.ready import judge_sources
from tiny_meds import HEART_RATE, at, event, patient, write_meds_files

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config


def hospital(folder: Path, **options: Any) -> Path:
    """Thirty patients with a heart rate, every third of whom dies; enough for each split to have both outcomes."""
    rows = [row for n in range(1, 31) for row in [*patient(n, died=n % 3 == 0), event(n, 1, HEART_RATE, 70)]]
    return write_meds_files(folder / "set", [row for row in rows if options.get("keep", lambda row: True)(row)])


def study(data: Path, **options: Any) -> Config:
    tasks: dict[str, Any] = {"mortality": {}, "phenotyping": None}
    return load("meds-mimic", {"source.path": str(data), "tasks": tasks, **options})


def refused(config: Config, out: Path) -> str:
    """The sentence of preparing, without the step that it names."""
    with pytest.raises(PicmeError) as said:
        run(config, out, "prepare", True)
    return str(said.value)


def test_check_says_nothing_of_a_study_that_prepares(tmp_path: Path) -> None:
    config = study(hospital(tmp_path))
    found = check(config)
    assert judge_sources(config, found) == []
    assert "cohort" not in found["item"].to_list()
    run(config, tmp_path / "run", "prepare", True)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no events", "has no events"),
        ("no stay", "no stay is in the events"),
        ("no time", "cannot be used: hospital admission: begin without a time"),
        ("no codes of stays", "no code is an ICU admission by the layout mimic-iv"),
        ("children", "no ICU stay is left after the exclusions"),
        ("nobody dies", "task mortality has not both classes of mortality among its training stays"),
    ],
)
def test_data_that_cannot_be_prepared_are_refused_by_check(fault: str, sentence: str, tmp_path: Path) -> None:
    data = hospital(tmp_path)
    file = data / "data/0.parquet"
    events = pl.read_parquet(file)
    code = pl.col("code")
    changed = {
        "no events": events.clear(),
        "no stay": events.filter(~code.str.starts_with("ICU_ADMISSION")),
        "no time": events.with_columns(time=pl.lit(None, pl.Datetime("us"))),
        "no codes of stays": events.with_columns(code.str.replace("ICU_ADMISSION", "BED")),
        "children": events.with_columns(
            pl.when(code == "MEDS_BIRTH").then(pl.lit(at(0) - timedelta(days=2000))).otherwise("time").alias("time")
        ),
        "nobody dies": events.filter(code != "MEDS_DEATH").with_columns(code.str.replace("//DIED", "//HOME")),
    }[fault]
    changed.write_parquet(file)
    if fault == "no codes of stays":
        (data / "metadata/codes.parquet").unlink()
    config = study(data)
    (said,) = judge_sources(config, check(config))
    assert sentence in said
    assert said in refused(config, tmp_path / "run")


def test_the_splits_that_the_configuration_needs_are_looked_for(tmp_path: Path) -> None:
    config = study(hospital(tmp_path), **{"source.subject_splits": True})
    (said,) = judge_sources(config, check(config))
    assert "subject_splits.parquet does not exist: set source.subject_splits to false" in said
    assert said in refused(config, tmp_path / "run")
    splits = pl.DataFrame({"subject_id": range(1, 31), "split": "held_out"})
    splits.write_parquet(tmp_path / "set/metadata/subject_splits.parquet")
    (said,) = judge_sources(config, check(config))
    assert said == "no stay of mortality is in the training split; choose other splits"
    splits.with_columns(split=pl.lit("train")).write_parquet(tmp_path / "set/metadata/subject_splits.parquet")
    assert judge_sources(config, check(config)) == []


def test_labels_that_cannot_be_used_are_counted_as_preparing_does(tmp_path: Path) -> None:
    good = [(n, 10.0, n % 3 == 0) for n in range(1, 31)]
    bad = [(1, 500.0, True), (99, 1.0, True), (98, 1.0, False), (3, 60.0, True), (4, 10.0, True)]
    subjects, hours, values = zip(*good, *bad, strict=True)
    times = [at(hour) for hour in hours]
    labels = pl.DataFrame({"subject_id": subjects, "prediction_time": times, "boolean_value": values})
    labels.write_parquet(tmp_path / "labels.parquet")
    tasks = {"mortality": None, "phenotyping": None, "worse": {"file": str(tmp_path / "labels.parquet")}}
    config = study(hospital(tmp_path), tasks=tasks)
    found = check(config)
    assert judge_sources(config, found) == []
    (row,) = found.filter(item="labels").iter_rows(named=True)
    assert (row["status"], row["rows"]) == ("differs", 35)
    reasons = {CONTRADICTED: 2, UNKNOWN: 2, OUTSIDE: 1, DEAD: 1}
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    assert row["detail"] == f"14 positive, 32 subjects; 6 of 35 cannot be used: {told}"
    done = run(config, tmp_path / "run", "prepare", True)
    left_out = pl.read_parquet(done.prepared / "quarantine.parquet").filter(modality="labels")
    assert dict(left_out.select("reason", "count").iter_rows()) == {f"worse: {why}": n for why, n in reasons.items()}
    labels.with_columns(prediction_time=pl.lit(None, pl.Datetime("us"))).write_parquet(tmp_path / "labels.parquet")
    (said,) = judge_sources(config, check(config))
    assert "column 'prediction_time' is empty in 35 of 35 rows" in said


def test_codes_that_feed_nothing_have_their_subjects_counted(tmp_path: Path) -> None:
    """A code of many events may be of few subjects; nobody's event is no subject's."""
    rows = [row for n in range(1, 13) for row in [*patient(n), event(n, 1, HEART_RATE, 70)]]
    rows += [event(n, hour, "COMMON", 1) for n in range(1, 13) for hour in range(1, 3)]
    rows += [event(12, hour, "RARE", 1) for hour in range(1, 31)]
    rows.append({**event(12, 1, "COMMON", 1), "subject_id": None})
    found = check(study(write_meds_files(tmp_path / "set", rows))).filter(item="unmapped code")
    assert found.select("name", "rows", "detail").rows() == [
        ("RARE", 30, "30 numbers, fewer than 10 subjects"),
        ("COMMON", 25, "25 numbers, 12 subjects"),
    ]


def test_check_ends_with_status_1(tmp_path: Path) -> None:
    data = hospital(tmp_path)
    file = data / "data/0.parquet"
    pl.read_parquet(file).clear().write_parquet(file)
    done = CliRunner().invoke(app, ["check", "meds-mimic", "--set", f"source.path={data}"])
    assert done.exit_code == 1
    assert f"cannot run: {data / 'data'} has no events" in done.stderr
