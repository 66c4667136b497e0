from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.cohort.mimic import extract
from picme.config.cohort import CohortConfig, MimicSource
from picme.config.study import TaskConfig
from picme.errors import ConfigError, DataError
from picme.schema import Extraction, SeriesRows
from picme.sources.mimic_notes import read_notes
from picme.tasks import build
from tiny_release import at, chart, diagnosis, lab, stay, write, write_release

if TYPE_CHECKING:
    from pathlib import Path

HEART = 220045
STAYS = [
    stay(1, 60.0, deathtime="2150-01-03 12:00:00", hospital_expire_flag=0),
    stay(2, 100.0),
    stay(3, 20.0),
    stay(4, 70.0),
]
CHARTS = [chart(number, hour, HEART, 60 + hour) for number in (1, 2, 3) for hour in range(0, 100, 7)]
CHARTS += [chart(4, 50, HEART, 77)]
CODES = [diagnosis(1, "5849", 9), diagnosis(2, "I10", 10), diagnosis(3, "Z66", 10)]
MODALITIES: dict[str, dict[str, Any]] = {"vitals": {"table": "chartevents"}, "who": {"table": "demographics"}}


def run(folder: Path, modalities: dict[str, dict[str, Any]] = MODALITIES, **changes: Any) -> Extraction:
    options = {"stays": STAYS, "charts": CHARTS, "labs": [lab(2, 3, 50931, 150)], "diagnoses": CODES, **changes}
    config = options.pop("config", {})
    tasks = options.pop("tasks", ["mortality", "phenotyping"])
    release = write_release(folder / "ehr", ending=".csv", **options)
    return extract(MimicSource(ehr=release), CohortConfig(**config), modalities, tasks, 48, folder / "scratch")


def test_views_have_their_stays_labels_groups_and_lengths(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert set(result.views) == {"mortality", "phenotyping", "pretrain"}
    mortality, phenotyping, pretrain = (result.views[name] for name in ("mortality", "phenotyping", "pretrain"))
    assert mortality.stays["stay_id"].to_list() == [30001, 30002]
    assert mortality.stays["mortality"].to_list() == [1, 0]
    assert mortality.labels == ["mortality"]
    assert phenotyping.stays["stay_id"].to_list() == [30001, 30002, 30003]
    assert len(phenotyping.labels) == 25
    assert phenotyping.stays["Essential hypertension"].to_list() == [0, 1, 0]
    assert pretrain.stays["stay_id"].to_list() == [30001, 30002, 30003, 30004]
    assert pretrain.labels == []
    assert all(view.groups == ["gender", "ethnicity", "age_group"] for view in result.views.values())
    lengths = {name: view.modalities["vitals"].lengths.tolist() for name, view in result.views.items()}  # type: ignore[union-attr]
    # The fourth stay has its first measurement after 48 hours: absent there, and no stay for mortality.
    assert lengths == {"mortality": [48, 48], "phenotyping": [60, 100, 20], "pretrain": [48, 48, 20, 0]}
    for view in result.views.values():
        series = view.modalities["vitals"]
        assert isinstance(series, SeriesRows)
        assert len(series.values) == series.lengths.sum()
        assert len(view.modalities["who"].frame) == view.stays.height  # type: ignore[union-attr]


def test_every_exclusion_is_a_line_of_the_flow(tmp_path: Path) -> None:
    flow = run(tmp_path).flow
    assert flow.columns == ["task", "step", "stays", "subjects"]
    lines = flow.filter(pl.col("task") == "mortality").select("step", "stays").rows()
    assert lines[-2:] == [("at least 48 hours in the ICU", 3), ("measurements within the window", 2)]
    assert flow.filter(pl.col("task") == "phenotyping").row(-1)[1:] == ("diagnoses coded", 3, 3)


def test_who_died_by_the_prediction_time_is_not_in_the_task_though_the_bed_was_kept(tmp_path: Path) -> None:
    stays = [*STAYS, stay(5, 60.0, deathtime=at(47)), stay(6, 60.0, dod="2150-01-02"), stay(7, 60.0, dod="2150-01-03")]
    charts = [*CHARTS, *(chart(number, 1, HEART, 80) for number in (5, 6, 7))]
    result = run(tmp_path / "a", stays=stays, charts=charts)
    assert result.views["mortality"].stays["stay_id"].to_list() == [30001, 30002, 30007]
    lines = result.flow.filter(pl.col("task") == "mortality").select("step", "stays").rows()
    assert lines[-3:-1] == [("at least 48 hours in the ICU", 6), ("alive after 48 hours", 4)]
    published = run(tmp_path / "b", stays=stays, charts=charts, tasks=["mortality"], config={"extraction": "benchmark"})
    assert {30005, 30006} < set(published.views["mortality"].stays["stay_id"]), "the published rules keep them"


def gone(result: Extraction) -> list[tuple[str, int, bool]]:
    """What the audit says of stays that are over at the prediction time."""
    assert result.audit is not None
    rows = result.audit.filter(pl.col("check") == "gone_at_prediction")
    return rows.select("detail", "count", "violation").rows()


def test_the_audit_sees_who_is_dead_or_discharged_at_the_prediction_time(tmp_path: Path) -> None:
    stays = [*STAYS, stay(5, 60.0, deathtime=at(47)), stay(6, 60.0, dod="2150-01-02"), stay(7, 60.0, dischtime=at(40))]
    charts = [*CHARTS, *(chart(number, 1, HEART, 80) for number in (5, 6, 7))]
    own = run(tmp_path / "a", stays=stays, charts=charts)
    assert own.views["mortality"].stays["stay_id"].to_list() == [30001, 30002]
    assert {"predicted", "died", "dischtime"} < set(own.views["mortality"].stays.columns)
    assert [row[1:] for row in gone(own)[:2]] == [(0, False), (0, False)]
    published = run(tmp_path / "b", stays=stays, charts=charts, tasks=["mortality"], config={"extraction": "benchmark"})
    dead, left = gone(published)
    assert dead[1:] == (2, False)
    assert left[1:] == (1, False)
    assert "published extraction" in dead[0] and "mortality" in dead[0]
    assert not any(str(number) in dead[0] + left[0] for number in range(30001, 30008))


def test_planted_stays_that_are_over_at_the_prediction_time_are_violations(tmp_path: Path) -> None:
    from picme.cohort.audit import gone_by, kept_by

    stays = run(tmp_path).views["mortality"].stays
    assert [row[1] for row in gone_by(stays)] == [0, 0]
    planted = stays.with_columns(
        died=pl.when(pl.int_range(pl.len()) == 0).then("predicted").otherwise(None), dischtime="predicted"
    )
    assert [(row[1], row[3]) for row in gone_by(planted)] == [(1, True), (stays.height, True)]
    later = stays.with_columns(died=pl.col("predicted") + pl.duration(seconds=1))
    assert gone_by(later)[0][1:4:2] == (0, False)
    death, phenotypes = (build(name, TaskConfig()) for name in ("mortality", "phenotyping"))
    rules = CohortConfig()
    for rule in (kept_by(True, death, rules), kept_by(False, phenotypes, rules)):
        assert [row[3] for row in gone_by(planted, rule)] == [False, False]
    assert kept_by(False, death, rules) is None


def test_a_stay_planted_in_the_prepared_files_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from picme.cohort.leakage import leakage_table
    from picme.config.study import TaskConfig
    from picme.prepare.check import check_leaks

    view = run(tmp_path).views["mortality"].stays.with_columns(split=pl.lit("train"))
    folder = tmp_path / "prepared" / "views" / "mortality"
    folder.mkdir(parents=True)
    leakage_table().write_parquet(tmp_path / "prepared" / "leakage.parquet")
    step: Any = SimpleNamespace(cohort=CohortConfig(), tasks={"mortality": TaskConfig()}, modalities={}, source=None)
    for judge in ("contents.judge_contents", "statistics.judge_statistics"):  # there is no modality here
        monkeypatch.setattr(f"picme.prepare.{judge}", lambda *given: leakage_table())
    view.write_parquet(folder / "cohort.parquet")
    assert check_leaks(step, tmp_path / "prepared")[1] == []
    view.with_columns(died=pl.col("predicted").dt.offset_by("-1h")).write_parquet(folder / "cohort.parquet")
    table, sentences = check_leaks(step, tmp_path / "prepared")
    assert sentences == ["gone_at_prediction: 2, mortality: dead at the prediction time, of 2 stays"]
    assert "30001" not in str(table.to_dicts())


def test_nothing_after_the_cut_off_is_used_and_the_audit_says_so(tmp_path: Path) -> None:
    audit = run(tmp_path).audit
    assert audit is not None
    latest = audit.filter(pl.col("check") == "latest_time")
    assert latest["modality"].to_list() == ["vitals"] * 3
    assert not latest["violation"].any()
    assert audit.filter(pl.col("check") == "label")["count"].to_list() == [1]


def test_the_published_rules_let_later_stored_values_through_and_the_audit_names_them(tmp_path: Path) -> None:
    charts = [*CHARTS, chart(1, 40, HEART, 200, stored=49)]
    audit = run(tmp_path, charts=charts, config={"extraction": "benchmark"}).audit
    assert audit is not None
    late = audit.filter(pl.col("detail").str.starts_with("mortality:")).row(0, named=True)
    assert late["count"] == 1
    assert "1 values were stored after it" in late["detail"]


@pytest.mark.parametrize("admit", ["prospective", "paper"])
def test_each_note_table_is_read_once_for_all_views(
    tmp_path: Path, admit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def counted(path: Path, table: str, *rest: Any) -> pl.DataFrame:
        reads.append(table)
        return read_notes(path, table, *rest)

    monkeypatch.setattr("picme.cohort.notes.read_notes", counted)
    notes = [
        {"note_id": f"{hour}", "subject_id": 10000 + number, "hadm_id": 20000 + number, "note_type": "RR",
         "charttime": at(hour), "storetime": at(hour), "text": f"of hour {hour}"}
        for number, hour in ((1, 5), (1, 50), (2, 90))
    ]  # fmt: skip
    for table in ("discharge", "radiology"):
        write(tmp_path / "note" / f"{table}.csv", notes, tuple(notes[0]))
    release = write_release(tmp_path / "ehr", STAYS, CHARTS, diagnoses=CODES, ending=".csv")
    modalities = {"summary": {"table": "discharge"}, "reports": {"table": "radiology"}, "again": {"table": "radiology"}}
    config = CohortConfig(admit=admit, notes={"mode": admit})
    source = MimicSource(ehr=release, notes=tmp_path)
    result = extract(source, config, modalities, ["mortality", "phenotyping"], 48, tmp_path / "scratch")
    assert sorted(reads) == ["discharge", "radiology"]
    texts = {name: view.modalities["reports"].texts[:2] for name, view in result.views.items()}  # type: ignore[union-attr]
    whole = ["of hour 50\n\nof hour 5", "of hour 90"]
    start = whole if admit == "paper" else ["of hour 5", None]
    assert texts == {"mortality": start, "phenotyping": whole, "pretrain": start}


def test_max_hours_caps_the_series_of_every_view(tmp_path: Path) -> None:
    result = run(tmp_path, config={"max_hours": 50})
    lengths = {name: view.modalities["vitals"].lengths.tolist() for name, view in result.views.items()}  # type: ignore[union-attr]
    assert lengths == {"mortality": [48, 48], "phenotyping": [50, 50, 20], "pretrain": [48, 48, 20, 0]}


def test_a_study_without_phenotyping_needs_no_diagnoses(tmp_path: Path) -> None:
    release = write_release(tmp_path / "ehr", STAYS, CHARTS, ending=".csv")
    (release / "hosp" / "diagnoses_icd.csv").unlink()
    source, config = MimicSource(ehr=release), CohortConfig()
    result = extract(source, config, MODALITIES, ["mortality"], 48, tmp_path / "a")
    assert set(result.views) == {"mortality", "pretrain"}
    with pytest.raises(DataError, match="table 'diagnoses_icd' not found"):
        extract(source, config, MODALITIES, ["phenotyping"], 48, tmp_path / "b")


def test_a_definitions_file_gives_a_table_of_agreement(tmp_path: Path) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text("Essential hypertension: {codes: ['4019'], id: 98, use_in_benchmark: true}")
    agreement = run(tmp_path / "a", config={"definitions": path}).label_agreement
    assert agreement is not None
    assert agreement.rows() == [("Essential hypertension", 1, 0, 0)]
    swapped = run(tmp_path / "b", config={"phenotypes": path}, tasks=["phenotyping"])
    assert swapped.views["phenotyping"].labels == ["Essential hypertension"]
    assert swapped.label_agreement is not None
    assert swapped.label_agreement.rows() == agreement.rows()


def test_unusable_event_rows_are_counted_up_to_a_share(tmp_path: Path) -> None:
    charts = [*CHARTS, chart(1, 1, HEART, 80, charttime="noon"), chart(1, 1, HEART, "high"), chart(1, 1, HEART, 5000)]
    charts += [chart(1, 1, HEART, 0), chart(1, 1, 226730, 1.8)]
    charts += [chart(1, 2, HEART, 80, storetime="later"), chart(1, 2, HEART, 80, subject_id="x")]
    result = run(tmp_path / "a", charts=charts)
    assert result.quarantine is not None
    counts = {row["reason"]: row["count"] for row in result.quarantine.iter_rows(named=True)}
    assert counts["chartevents: column 'charttime': expected a date and time like 2180-07-23 12:36:00"] == 1
    assert counts["chartevents: column 'storetime': expected a date and time like 2180-07-23 12:36:00"] == 1
    assert counts["chartevents: column 'subject_id': expected a whole number"] == 1
    assert counts["Heart rate: value not readable"] == 1
    assert counts["Heart rate: outside 0 to 390"] == 1
    assert counts["Heart rate: 0, which is no measurement"] == 1
    assert counts["Height: unit repaired"] == 1
    with pytest.raises(DataError, match=r"chartevents\.csv: 1 of 53 rows .*column 'subject_id'"):
        run(tmp_path / "b", charts=charts, config={"max_bad_rows": 0.001})


@pytest.mark.parametrize(
    ("modalities", "error", "message"),
    [
        (
            {"x": {"table": "chartevent"}},
            ConfigError,
            r"modalities\.x\.table is 'chartevent'.*did you mean 'chartevents'",
        ),
        ({"x": {}}, ConfigError, r"modalities\.x\.table"),
        ({"x": {"table": "radiology"}}, DataError, r"source\.notes is needed for modality 'x'"),
        ({"x": {"table": "cxr"}}, DataError, r"source\.cxr is needed for modality 'x'"),
    ],
)
def test_a_modality_that_cannot_be_built_is_named(
    tmp_path: Path, modalities: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path, modalities)


def test_an_unknown_task_and_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.mortalty .*did you mean 'mortality'"):
        run(tmp_path / "a", tasks=["mortalty"])
    release = write_release(tmp_path / "b", STAYS, CHARTS, ending=".csv")
    (release / "icu" / "chartevents.csv").unlink()
    with pytest.raises(DataError, match="table 'chartevents' not found"):
        extract(MimicSource(ehr=release), CohortConfig(), MODALITIES, ["mortality"], 48, tmp_path / "c")


def test_unknown_codes_are_quoted_only_where_they_are_codes(tmp_path: Path) -> None:
    odd = [diagnosis(1, "U099", 10), diagnosis(2, "Seen with Mrs. Smith", 10), diagnosis(3, "10000032", 10)]
    (note,) = (one for one in run(tmp_path, diagnoses=CODES + odd).notes if "diagnosis codes are in no group" in one)
    assert note.startswith("3 diagnosis codes")
    assert note.endswith(": ICD-10 U099")
