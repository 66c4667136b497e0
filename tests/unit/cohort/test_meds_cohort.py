"""Cohorts from MEDS: the same as from the releases, and from codes of other hospitals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from picme.cohort.check_meds import check
from picme.cohort.meds import extract
from picme.cohort.mimic import extract as from_releases
from picme.config.cohort import CohortConfig, MimicSource
from picme.config.loading import load
from picme.config.meds import MedsSource
from picme.errors import ConfigError, DataError
from picme.prepare.ready import judge_sources
from picme.schema import Extraction, ImageRows, SeriesRows, TableRows, TextRows
from picme.sources.meds_order import NO_CODE, UNSORTED
from picme_hospital import CaseMix, ImageStyle, write_hospital, write_meds
from tiny_meds import HEART_RATE, at, event, patient, write_meds_files

if TYPE_CHECKING:
    from pathlib import Path

VITALS: dict[str, dict[str, Any]] = {"vitals": {"table": "chartevents"}, "who": {"table": "demographics"}}
FIVE: dict[str, dict[str, Any]] = {
    "discharge": {"table": "discharge"},
    "radiology": {"table": "radiology"},
    "image": {"table": "cxr"},
    "timeseries": {"table": "chartevents"},
    "demographics": {"table": "demographics"},
}
TASKS = ["mortality", "phenotyping"]


def run(
    folder: Path, modalities: dict[str, dict[str, Any]] = VITALS, tasks: list[str] = TASKS, **options: Any
) -> Extraction:
    source = MedsSource(path=folder, layout=options.pop("layout", None))
    return extract(source, CohortConfig(**options), modalities, tasks, 48, folder / "scratch", None, {})


def values(found: Extraction, view: str, modality: str, column: str) -> list[float]:
    rows = found.views[view].modalities[modality]
    assert isinstance(rows, SeriesRows)
    return np.asarray(rows.values)[:, rows.columns.index(column)].tolist()  # type: ignore[no-any-return]


def left_out(found: Extraction) -> dict[str, int]:
    assert found.quarantine is not None
    return dict(found.quarantine.select("reason", "count").iter_rows())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A hospital that differs from the usual one, in both forms."""
    folder = tmp_path_factory.mktemp("hospital")
    unusual: dict[str, Any] = {"case_mix": CaseMix({"age": -1.0}, mortality=0.4), "style": ImageStyle(contrast=0.6)}
    releases = write_hospital(folder / "releases", 60, seed=2, **unusual)
    return releases, write_meds(folder / "events", 60, seed=2, **unusual)


@pytest.mark.parametrize(
    "rules", [{"max_hours": 120}, {"extraction": "benchmark", "admit": "paper", "notes": {"mode": "paper"}}]
)
def test_the_synthetic_hospital_is_the_same_in_both_forms(
    written: tuple[Path, Path], tmp_path: Path, rules: dict[str, Any]
) -> None:
    releases, events = written
    source = MimicSource(ehr=releases / "ehr", notes=releases / "notes", cxr=releases / "cxr")
    cohort = CohortConfig(**rules)
    theirs = from_releases(source, cohort, FIVE, TASKS, 48, tmp_path / "releases", "anchor_year_group")
    mine = extract(MedsSource(path=events), cohort, FIVE, TASKS, 48, tmp_path / "events", "anchor_year_group", {})
    assert mine.flow.equals(theirs.flow)
    for name, view in theirs.views.items():
        own = mine.views[name]
        assert own.stays.equals(view.stays)
        assert (own.labels, own.groups) == (view.labels, view.groups)
        assert_equal_rows(own.modalities, view.modalities)
        for mode, rows in view.alternatives.items():
            assert_equal_rows(own.alternatives[mode], rows)


def assert_equal_rows(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(mine) == list(theirs)
    for name, rows in theirs.items():
        own = mine[name]
        if isinstance(rows, SeriesRows):
            np.testing.assert_array_equal(own.values, rows.values)
            assert own.lengths.tolist() == rows.lengths.tolist()
            assert (own.columns, own.continuous) == (rows.columns, rows.continuous)
        elif isinstance(rows, TextRows):
            assert own.texts == rows.texts
        elif isinstance(rows, ImageRows):
            pairs = list(zip(own.paths, rows.paths, strict=True))
            assert sum(path is not None for path, _ in pairs) > 20
            for one, other in pairs:
                assert (one is None) == (other is None)
                assert one is None or one.read_bytes() == other.read_bytes()
        else:
            assert isinstance(rows, TableRows)
            assert own.frame.equals(rows.frame)


@pytest.mark.parametrize("extraction", ["default", "benchmark"])
def test_the_demo_is_the_same_in_both_forms(shared_data: Path, tmp_path: Path, extraction: Any) -> None:
    """54 and 112 stays, their labels and groups, and every cell of the hourly arrays."""
    for name in ("mimic-iv-demo-2.2", "mimic-iv-demo-meds"):
        if not (shared_data / name).is_dir():
            pytest.skip(f"open data not found: {shared_data / name}")
    cohort = CohortConfig(extraction=extraction)
    theirs = from_releases(
        MimicSource(ehr=shared_data / "mimic-iv-demo-2.2"), cohort, VITALS, TASKS, 48, tmp_path / "releases"
    )
    mine = extract(
        MedsSource(path=shared_data / "mimic-iv-demo-meds"), cohort, VITALS, TASKS, 48, tmp_path / "events", None, {}
    )
    assert mine.flow.equals(theirs.flow)
    for name, number in (("mortality", 54), ("phenotyping", 112), ("pretrain", 112)):
        view, own = theirs.views[name], mine.views[name]
        # The events name no stay, so stays are known by subject and time.
        keys = ["subject_id", "predicted"]
        order, own_order = (one.stays.with_row_index("at").sort(keys)["at"].to_numpy() for one in (view, own))
        assert view.stays.height == number
        known = [column for column in view.stays.columns if column not in ("stay_id", "ethnicity")]
        assert own.stays[own_order].select(known).equals(view.stays[order].select(known))
        rows, own_rows = view.modalities["vitals"], own.modalities["vitals"]
        assert isinstance(rows, SeriesRows)
        assert isinstance(own_rows, SeriesRows)
        assert own_rows.columns == rows.columns
        ends, own_ends = np.cumsum(rows.lengths), np.cumsum(own_rows.lengths)
        for one, other in zip(order, own_order, strict=True):
            cells = rows.values[ends[one] - rows.lengths[one] : ends[one]]
            own_cells = own_rows.values[own_ends[other] - own_rows.lengths[other] : own_ends[other]]
            np.testing.assert_array_equal(own_cells, cells)


def test_death_age_and_place_come_from_events(tmp_path: Path) -> None:
    rows = [*patient(1, died=True), *patient(2, born=2099, gender="M"), *patient(3, born=2140)]
    rows += [event(n, 1, HEART_RATE, 70) for n in (1, 2)]
    found = run(write_meds_files(tmp_path / "set", rows))
    view = found.views["mortality"]
    assert view.stays.select("subject_id", "mortality").rows() == [(1, 1), (2, 0)]
    assert view.stays["gender"].to_list() == ["female", "male"]
    assert view.stays["age_group"].to_list() == ["55–64", "45–54"]
    assert view.stays["died"].to_list() == [at(60), None]
    table = found.views["pretrain"].modalities["who"]
    assert isinstance(table, TableRows)
    assert table.frame["admission_type"].to_list() == ["urgent", "urgent"]
    assert table.frame["age"].to_list() == [60.0, 51.0], "the third is a child"


def test_a_birthday_later_in_the_year_makes_the_patient_younger(tmp_path: Path) -> None:
    rows = patient(1)
    rows[1] = {**rows[1], "time": at(24).replace(year=2090)}
    found = run(write_meds_files(tmp_path / "set", [*rows, event(1, 1, HEART_RATE, 70)]))
    table = found.views["pretrain"].modalities["who"]
    assert isinstance(table, TableRows)
    assert table.frame["age"].to_list() == [59.0], "born on 2 January 2090, admitted on 1 January 2150"


def test_a_transfer_between_units_is_left_out_as_from_the_releases(tmp_path: Path) -> None:
    rows = patient(1)
    rows[4] = {**rows[4], "code": "ICU_DISCHARGE//SICU"}
    found = run(write_meds_files(tmp_path / "set", [*rows, *patient(2), event(2, 1, HEART_RATE, 70)]))
    assert found.views["pretrain"].stays["subject_id"].to_list() == [2]


def test_what_is_odd_is_counted(tmp_path: Path) -> None:
    rows = [row for n in range(1, 30) for row in patient(n)]
    rows += [event(n, 1, HEART_RATE, 70) for n in range(1, 30)]
    rows = [row for row in rows if not (row["subject_id"] == 1 and row["code"] == "MEDS_BIRTH")]
    rows += [event(2, 5, HEART_RATE, 71), event(2, 4, HEART_RATE, 72), {**event(3, 2, "x"), "code": None}]
    rows += [event(4, None, HEART_RATE, 73), event(5, None, "MEDS_DEATH")]
    rows.sort(key=lambda row: row["subject_id"])  # events of a subject are not in order
    found = run(write_meds_files(tmp_path / "set", rows, ordered=False))
    counts = left_out(found)
    assert counts["subject without MEDS_BIRTH, so without an age"] == 1
    assert counts["death: no time"] == 1
    assert counts[f"events: {NO_CODE}"] == 1
    assert counts[f"events: {UNSORTED}"] > 29
    places = found.event_rows
    assert places is not None
    assert places["rows"].sum() == len(rows), "every event is in one place"
    assert dict(places.select("place", "rows").iter_rows()).items() >= {"no code": 1, "no time": 1}.items()
    assert 72.0 in values(found, "pretrain", "vitals", "Heart rate")


def test_the_same_measurement_twice_is_one_value_and_two_counted_rows(tmp_path: Path) -> None:
    """As in the tables of MIMIC: the array is as without the second one, and the places add up to all events."""
    rows = [*patient(1), event(1, 1, HEART_RATE, 70), event(1, 2, HEART_RATE, 71)]
    once = run(write_meds_files(tmp_path / "once", rows))
    twice = run(write_meds_files(tmp_path / "twice", [*rows, event(1, 1, HEART_RATE, 70), event(1, 1, HEART_RATE, 70)]))
    for name, view in once.views.items():
        assert_equal_rows(twice.views[name].modalities, view.modalities)
    for found, measured in ((once, 2), (twice, 4)):
        assert found.event_rows is not None
        places = dict(found.event_rows.select("place", "rows").iter_rows())
        assert places["measurement of a stay"] == measured
        assert sum(places.values()) == len(rows) + measured - 2


def test_too_many_of_one_fault_are_refused(tmp_path: Path) -> None:
    rows = [*patient(1), *patient(2)]
    without = [row for row in rows if not (row["subject_id"] == 1 and row["code"] == "MEDS_BIRTH")]
    with pytest.raises(DataError, match="1 of 2 rows cannot be used: subject without MEDS_BIRTH"):
        run(write_meds_files(tmp_path / "births", without))
    empty = [*rows, *({**event(1, 1, "x"), "code": None} for _ in range(5))]
    with pytest.raises(DataError, match=r"5 of 19 rows cannot be used: column 'code': empty"):
        run(write_meds_files(tmp_path / "codes", empty))
    open_ended = [row for row in rows if not (row["subject_id"] == 1 and row["code"].startswith("ICU_DISCHARGE"))]
    with pytest.raises(DataError, match="1 of 2 rows cannot be used: ICU stay: no end"):
        run(write_meds_files(tmp_path / "open", [*open_ended, event(1, 1, HEART_RATE, 70)]))
    with pytest.raises(DataError, match="no code is an ICU admission by the layout mimic-iv"):
        run(write_meds_files(tmp_path / "stays", [event(1, 1, HEART_RATE, 70)]))
    with pytest.raises(DataError, match=r"none of its \d+ codes belongs to an item of channel set default"):
        run(write_meds_files(tmp_path / "channels", rows))


def test_codes_that_codes_parquet_lacks_are_found(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", [*patient(1), event(1, 1, HEART_RATE, 70)])
    listed = pl.read_parquet(folder / "metadata/codes.parquet").filter(pl.col("code") != HEART_RATE)
    listed.write_parquet(folder / "metadata/codes.parquet")
    found = run(folder)
    assert 70.0 in values(found, "pretrain", "vitals", "Heart rate")
    assert "metadata/codes.parquet lacks the codes of 1 events; the events' own were used." in found.notes
    without = write_meds_files(tmp_path / "without", [*patient(1), event(1, 1, HEART_RATE, 70)], codes=False)
    assert any("codes.parquet is absent" in note for note in run(without).notes)
    pl.read_parquet(folder / "metadata/codes.parquet").clear().write_parquet(folder / "metadata/codes.parquet")
    found = run(folder)
    assert 70.0 in values(found, "pretrain", "vitals", "Heart rate")
    assert any("codes.parquet lacks the codes that begin stays" in note for note in found.notes)


CHANNELS = """
channels:
  - {name: pulse, normal: 80, zero: false, outlier: [0, 300], items: [{code: PULSE}]}
  - name: sugar
    normal: 100
    items:
      - {pattern: "SUGAR//(?P<unit>.*)", convert: {unit: mmol/L, multiply: 18}}
  - {name: mind, kind: categorical, normal: clear, categories: [clear, dim], texts: {drowsy: dim},
     items: [{code: MIND}]}
"""
LAYOUT = """
admission: IN
discharge: "OUT//(?P<discharge_location>.*)"
icu_admission: BED
icu_discharge: LEFT
static: ["SEX//(?P<gender>.*)"]
unit: unit
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A hospital with codes of its own."""
    rows = [
        event(1, None, "SEX//M"),
        {**event(1, 0, "MEDS_BIRTH"), "time": at(0).replace(year=2100)},
        event(1, -1, "IN"),
        event(1, 0, "BED"),
        event(1, 0.5, "PULSE", 90),
        event(1, 0.6, "PULSE", 0),
        event(1, 0.5, "SUGAR//mmol/L", 5),
        event(1, 1.5, "SUGAR//mg/dL", 110),
        event(1, 1.5, "MIND", text_value="Drowsy"),
        *(event(1, 2, "POTASSIUM", 4, unit="mmol/L") for _ in range(12)),
        event(1, 50, "LEFT"),
        event(1, 60, "OUT//HOME"),
    ]
    (tmp_path / "channels.yaml").write_text(CHANNELS, "utf-8")
    (tmp_path / "layout.yaml").write_text(LAYOUT, "utf-8")
    return write_meds_files(tmp_path / "set", rows, etl="OURS")


def test_codes_are_mapped_by_a_short_file(elsewhere: Path) -> None:
    found = run(
        elsewhere,
        tasks=["mortality"],
        channels=elsewhere.parent / "channels.yaml",
        layout=elsewhere.parent / "layout.yaml",
    )
    assert values(found, "mortality", "vitals", "pulse")[:2] == [90.0, 90.0]
    assert values(found, "mortality", "vitals", "sugar")[:2] == [90.0, 110.0]
    assert values(found, "mortality", "vitals", "mind->dim")[:2] == [0.0, 1.0]
    assert left_out(found)["pulse: 0, which is no measurement"] == 1
    assert found.views["mortality"].stays["gender"].to_list() == ["male"]


def test_check_lists_codes_that_feed_nothing(elsewhere: Path) -> None:
    config = load(
        "meds-mimic",
        {
            "source.path": str(elsewhere),
            "source.layout": str(elsewhere.parent / "layout.yaml"),
            "cohort.channels": str(elsewhere.parent / "channels.yaml"),
            "tasks": {"mortality": {}, "phenotyping": {}},
        },
    )
    found = check(config)
    unmapped = found.filter(pl.col("item") == "unmapped code").select("name", "rows", "detail").rows()
    assert unmapped == [("POTASSIUM", 12, "12 numbers, fewer than 10 subjects, unit mmol/L")]
    channels = dict(found.filter(pl.col("item") == "channel").select("name", "rows").iter_rows())
    assert channels == {"pulse": 2, "sugar": 2, "mind": 1}
    one = found.filter(pl.col("name") == "admissions")["detail"][0]
    assert "one hospital admission only" in one
    assert "splits by subject may not separate patients" in one
    tasks = dict(found.filter(pl.col("item") == "task").select("name", "status").iter_rows())
    assert tasks == {"mortality": "possible", "phenotyping": "impossible"}


def test_check_judges_each_modality_by_its_own_codes(tmp_path: Path) -> None:
    """Whatever it is called: two of one table read different codes, and one of them has none."""
    rows = [row for n in range(1, 31) for row in [*patient(n, died=n % 3 == 0), event(n, 1, HEART_RATE, 70)]]
    rows.append(event(30, 2, "NURSING", text_value="calm"))
    text = {"kind": "text", "table": "notes", "encoder": {"model": "unused"}}
    config = load(
        "meds-mimic",
        {
            "source.path": str(write_meds_files(tmp_path / "set", rows)),
            "tasks": {"mortality": {}, "phenotyping": None},
            "modalities.radiology": {**text, "codes": ["NURS.*"]},
            "modalities.doctor": {**text, "codes": ["DOCTOR"]},
        },
    )
    found = check(config)
    judged = found.filter(item="modality").select("name", "status").rows()
    assert judged == [
        ("timeseries", "possible"), ("demographics", "possible"), ("radiology", "possible"), ("doctor", "impossible")
    ]  # fmt: skip
    (said,) = judge_sources(config, found)
    assert said.startswith("modality 'doctor' cannot be made of these data: it cannot be read: ")
    assert "no code matches DOCTOR" in said


def test_check_says_nothing_of_single_admissions_where_a_subject_has_two(tmp_path: Path) -> None:
    rows = [*patient(1), *patient(1, begin=500)[2:], event(1, 1, HEART_RATE, 70)]
    config = load("meds-mimic", {"source.path": str(write_meds_files(tmp_path / "set", rows))})
    found = check(config)
    assert found.filter(pl.col("name") == "admissions")["detail"].to_list() == [None]
    assert found.filter(pl.col("name") == "icustays")["rows"].to_list() == [2]


def test_a_code_of_two_items_is_refused(elsewhere: Path) -> None:
    text = CHANNELS + "  - {name: again, normal: 1, items: [{pattern: 'PUL.*'}]}\n"
    (elsewhere.parent / "channels.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="feeds two items from code 'PULSE'"):
        run(
            elsewhere,
            tasks=["mortality"],
            channels=elsewhere.parent / "channels.yaml",
            layout=elsewhere.parent / "layout.yaml",
        )


def test_the_columns_of_eicu_are_those_of_mimic(tmp_path: Path) -> None:
    """Events made by hand in the codes of the extractor's configuration; no real eICU was at hand."""
    rows: list[dict[str, Any]] = []
    for subject in (1, 2):
        rows += [
            event(subject, None, "GENDER//Female"),
            event(subject, None, "RACE//Caucasian"),
            {**event(subject, 0, "MEDS_BIRTH"), "time": at(0).replace(year=2080)},
            event(subject, -5, "HOSPITAL_ADMISSION//Emergency Department//Midwest//t//>= 500", hadm_id="73"),
            event(subject, 0, "ICU_ADMISSION//Emergency Department//admit", hadm_id="73", icustay_id=f"14{subject}"),
            event(subject, 0, "ICU_ADMISSION_WEIGHT", 84.3),
            event(subject, 0.2, "VITALS//PERIODIC//HEARTRATE", 101),
            event(subject, 0.3, "VITALS//APERIODIC//BP//NONINVASIVE_SYSTOLIC", 120),
            event(subject, 0.4, "LAB//glucose//mg/dL", 180, text_value="180"),
            event(subject, 0.4, "LAB//FiO2//%", 40),
            event(subject, 0.4, "LAB//pH//UNK", 7.3),
            event(subject, 20, "DIAGNOSIS//ICD//9//038.9, A41.9"),
            event(subject, 60, "ICU_DISCHARGE//Alive//Floor", icustay_id=f"14{subject}"),
            event(
                subject, 70, "HOSPITAL_DISCHARGE//Expired//Death" if subject == 1 else "HOSPITAL_DISCHARGE//Alive//Home"
            ),
        ]
    folder = write_meds_files(tmp_path / "set", rows, etl="eICU_MEDS")
    found = run(folder, channels="eicu")
    view = found.views["mortality"]
    assert view.stays["stay_id"].to_list() == [141, 142]
    assert view.stays["mortality"].to_list() == [1, 0]
    assert view.stays["ethnicity"].to_list() == ["White", "White"], "eICU says Caucasian"
    septicemia = found.views["phenotyping"].stays["Septicemia (except in labor)"]
    assert septicemia.to_list() == [1, 1]
    series = view.modalities["vitals"]
    assert isinstance(series, SeriesRows)
    measured = {"Heart rate": 101, "Systolic blood pressure": 120, "Glucose": 180, "Fraction inspired oxygen": 0.4}
    for name, value in {**measured, "pH": 7.3, "Weight": 84.3}.items():
        assert values(found, "mortality", "vitals", name)[0] == pytest.approx(value), name
    mimic = tmp_path / "mimic"
    same = run(write_meds_files(mimic, [*patient(1), event(1, 1, HEART_RATE, 70)])).views["pretrain"]
    assert same.modalities["vitals"].columns == series.columns  # type: ignore[union-attr]


def test_texts_of_chosen_codes_are_read_whole_and_in_time(tmp_path: Path) -> None:
    rows = [
        *patient(1),
        event(1, 1, HEART_RATE, 70),
        event(1, 2, "NURSING", text_value="calm\nFINDINGS: none"),
        event(1, 30, "NURSING", text_value="restless"),
        event(1, 50, "NURSING", text_value="too late"),
        event(1, 3, "OTHER", text_value="not asked for"),
        event(1, 4, "NURSING", text_value=" "),
    ]
    folder = write_meds_files(tmp_path / "set", rows)
    modalities = {**VITALS, "nursing": {"table": "notes", "codes": ["NURS.*"]}}
    found = run(folder, modalities, ["mortality"])
    texts = found.views["mortality"].modalities["nursing"]
    assert isinstance(texts, TextRows)
    assert texts.texts == ["restless\n\ncalm\nFINDINGS: none"]
    assert left_out(found)["no text"] == 1
    assert found.audit is not None
    assert found.audit.filter("violation").is_empty()
    with pytest.raises(ConfigError, match=r"table 'notes' needs `codes`"):
        run(folder, {**VITALS, "nursing": {"table": "notes"}}, ["mortality"])
    with pytest.raises(DataError, match="no code matches DOCTOR, so there are no texts"):
        run(folder, {**VITALS, "nursing": {"table": "notes", "codes": ["DOCTOR"]}}, ["mortality"])


def test_images_are_read_below_the_data_sets_folder_alone(tmp_path: Path) -> None:
    rows = [
        *patient(1),
        event(1, 1, HEART_RATE, 70),
        event(1, 5, "IMAGE//CHEST//AP", image_path="films/a.png"),
        event(1, 20, "IMAGE//CHEST//AP", image_path="../outside.png"),
        event(1, 21, "IMAGE//CHEST//AP", image_path=str(tmp_path / "outside.png")),
        event(1, 22, "IMAGE//CHEST//AP"),
        event(1, 23, "IMAGE//CHEST//LATERAL", image_path="films/a.png"),
        event(1, 24, "IMAGE//CHEST//AP", image_path="films/missing.png"),
        event(1, 49, "IMAGE//CHEST//AP", image_path="films/late.png"),
    ]
    folder = write_meds_files(tmp_path / "set", rows)
    (folder / "films").mkdir()
    for file in (folder / "films/a.png", folder / "films/late.png", tmp_path / "outside.png"):
        Image.new("L", (8, 8)).save(file)
    found = run(folder, {**VITALS, "film": {"table": "cxr"}}, ["mortality"])
    images = found.views["mortality"].modalities["film"]
    assert isinstance(images, ImageRows)
    assert images.paths == [(folder / "films/a.png").resolve()]
    counts = left_out(found)
    assert counts["path outside the data set's folder"] == 2
    assert counts["no path"] == 1
    assert counts["image file is missing"] == 1
    assert counts["view not in cohort.images.views"] == 1


def test_columns_of_another_source_are_refused(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", [*patient(1), event(1, 1, HEART_RATE, 70)])
    with pytest.raises(ConfigError, match=r"modalities\.vitals\.table is 'vitals'; expected one of"):
        run(folder, {"vitals": {"table": "vitals"}})
    with pytest.raises(DataError, match="no code matches IMAGE"):
        run(folder, {**VITALS, "film": {"table": "cxr"}})
    with pytest.raises(ConfigError, match="items by `code` or `pattern` are for source meds"):
        (tmp_path / "channels.yaml").write_text(CHANNELS, "utf-8")
        ehr = write_hospital(tmp_path / "releases", 20, images=False) / "ehr"
        cohort = CohortConfig(channels=tmp_path / "channels.yaml")
        from_releases(MimicSource(ehr=ehr), cohort, VITALS, ["mortality"], 48, tmp_path / "scratch")
