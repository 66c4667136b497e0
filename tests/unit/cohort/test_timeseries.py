from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from picme.cohort.channel_sets import ChannelSet, load
from picme.cohort.stays import read_stays
from picme.cohort.timeseries import Observation, SeriesRows, build_series
from picme.config.cohort import CohortConfig
from picme.sources.mimic_ehr import Release
from tiny_release import at, chart, lab, stay, write_release

HEART, ARTERIAL, CUFF, GLUCOSE_LAB, EYES, FAHRENHEIT, CELSIUS = 220045, 220052, 220181, 50931, 220739, 223761, 223762
HOURS = {1: 60.0, 2: 50.5, 3: 20.0}
STAYS = [stay(number, hours) for number, hours in HOURS.items()]


def series(
    charts: list[dict[str, Any]],
    labs: list[dict[str, Any]] | None = None,
    hours: float = 48.0,
    channels: ChannelSet | None = None,
    stays: list[dict[str, Any]] = STAYS,
    published: bool = False,
) -> SeriesRows:
    """The series of all stays cut at `hours`."""
    with tempfile.TemporaryDirectory() as folder:
        release = Release.open(write_release(Path(folder) / "ehr", stays, charts, labs, ending=".csv"))
        frame = read_stays(release, CohortConfig(extraction="benchmark" if published else "default")).stays
        seconds = np.minimum(frame["seconds"].to_numpy(), round(hours * 3600))
        window = Observation("any", np.arange(frame.height), seconds)
        built, _ = build_series(
            release, channels or load("default"), frame, [window], Path(folder) / "scratch", published, max_bad=1.0
        )
        rows = built["any"].rows
        return SeriesRows(np.array(rows.values), rows.lengths, rows.columns, rows.continuous)


def cell(rows: SeriesRows, column: str, hour: int, index: int = 0) -> float:
    start = int(rows.lengths[:index].sum())
    return float(rows.values[start + hour, rows.columns.index(column)])


def test_hours_hold_what_was_charted_since_the_hour_before_and_carry_it_forward() -> None:
    rows = series([chart(1, 0, HEART, 80), chart(1, 1, HEART, 81), chart(1, 1.01, HEART, 90), chart(1, 4, HEART, 100)])
    assert [cell(rows, "Heart rate", hour) for hour in range(5)] == [81, 90, 90, 100, 100]
    assert [cell(rows, "mask->Heart rate", hour) for hour in range(5)] == [1, 1, 0, 1, 0]
    assert rows.lengths.tolist() == [48, 0, 0]


def test_before_the_first_measurement_stands_the_normal_value() -> None:
    rows = series([chart(1, 2.5, HEART, 120)])
    assert [cell(rows, "Heart rate", hour) for hour in range(4)] == [86, 86, 120, 120]
    assert cell(rows, "GCS eye opening->Spontaneously", 0) == 1
    assert cell(rows, "mask->GCS eye opening", 0) == 0


def test_each_hour_has_76_columns_and_one_category_per_categorical_channel() -> None:
    rows = series([chart(1, 2.5, EYES, "To Pain"), chart(1, 5.5, EYES, 3)])
    assert rows.values.shape[1] == len(rows.columns) == len(rows.continuous) == 76
    eyes = [index for index, name in enumerate(rows.columns) if name.startswith("GCS eye opening->")]
    assert (rows.values[:, eyes].sum(axis=1) == 1).all()
    assert cell(rows, "GCS eye opening->To Pain", 3) == 1
    assert cell(rows, "GCS eye opening->To Speech", 6) == 1


def test_units_are_converted_and_unbelievable_values_left_out() -> None:
    rows = series(
        [
            chart(1, 0.5, FAHRENHEIT, 104.0),
            chart(1, 1.5, FAHRENHEIT, 36.8),  # Celsius in the Fahrenheit item: 2.7 °C is not believable
            chart(1, 2.5, CELSIUS, 38.5),
            chart(1, 0.5, 226707, 70),  # inches
            chart(1, 0.5, 226531, 220.0),  # pounds
            chart(1, 0.5, 223835, 40),  # percent
            chart(1, 1.5, 223835, 0.6),  # fraction
            chart(1, 0.5, 220179, "130/70"),
            chart(1, 1.5, 220052, 12),  # below the possible, within the believable
        ]
    )
    assert [cell(rows, "Temperature", hour) for hour in range(3)] == pytest.approx([40.0, 40.0, 38.5])
    assert cell(rows, "mask->Temperature", 1) == 0
    assert cell(rows, "Height", 0) == pytest.approx(177.8)
    assert cell(rows, "Weight", 0) == pytest.approx(99.7903, abs=1e-3)
    assert [cell(rows, "Fraction inspired oxygen", hour) for hour in range(2)] == pytest.approx([0.4, 0.6])
    assert cell(rows, "Systolic blood pressure", 0) == 130
    assert cell(rows, "Mean blood pressure", 1) == 14


HEIGHT, INCHES, KILOGRAMS, POUNDS, SATURATION = 226730, 226707, 226512, 226531, 220277


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("Height", chart(1, 0.5, HEIGHT, 0), None),
        ("Height", chart(1, 0.5, HEIGHT, 1.8), 180),
        ("Height", chart(1, 0.5, HEIGHT, 61), None),
        ("Height", chart(1, 0.5, HEIGHT, 70, valueuom="Inch"), 177.8),
        ("Height", chart(1, 0.5, INCHES, 1.8), 180),
        ("Height", chart(1, 0.5, INCHES, 180), 180),
        ("Height", chart(1, 0.5, INCHES, 150, valueuom="cm"), 150),
        ("Weight", chart(1, 0.5, KILOGRAMS, 0), None),
        ("Weight", chart(1, 0.5, KILOGRAMS, 1.8), None),
        ("Weight", chart(1, 0.5, KILOGRAMS, 80_000), 80),
        ("Weight", chart(1, 0.5, KILOGRAMS, 200, valueuom="lbs"), 90.718474),
        ("Weight", chart(1, 0.5, POUNDS, 90, valueuom="kg"), 90),
        ("Temperature", chart(1, 0.5, CELSIUS, 98.6), 37),
        ("Temperature", chart(1, 0.5, CELSIUS, 0), None),
        ("Glucose", chart(1, 0.5, 220621, 10, valueuom="mmol/L"), 180.16),
        ("Mean blood pressure", chart(1, 0.5, ARTERIAL, 0), None),
        ("Heart rate", chart(1, 0.5, HEART, 0), None),
        ("Respiratory rate", chart(1, 0.5, 220210, 0), None),
        ("Oxygen saturation", chart(1, 0.5, SATURATION, 0), None),
    ],
)
def test_zero_is_no_measurement_and_known_mistakes_of_unit_are_repaired(
    column: str, row: dict[str, Any], value: float | None
) -> None:
    other = CUFF if column != "Mean blood pressure" else HEART
    rows = series([chart(1, 0.5, other, 70), row])
    assert cell(rows, f"mask->{column}", 0) == (value is not None)
    normal = next(one.normal for one in load("default").channels if one.name == column)
    assert cell(rows, column, 0) == pytest.approx(normal if value is None else value)


def test_every_numeric_channel_has_a_range_without_zero() -> None:
    for one in load("default").channels:
        if one.kind == "continuous":
            assert one.outlier is not None and one.valid is not None, one.name
            assert not one.zero and float(one.normal) >= one.valid[0] >= one.outlier[0], one.name


def test_of_one_time_the_preferred_item_then_the_later_stored_then_the_greater() -> None:
    rows = series(
        [
            chart(1, 0.5, CUFF, 99),
            chart(1, 0.5, ARTERIAL, 70),
            chart(1, 1.5, ARTERIAL, 80, stored=1.6),
            chart(1, 1.5, ARTERIAL, 60, stored=5.0),
            chart(1, 2.5, ARTERIAL, 61),
            chart(1, 2.5, ARTERIAL, 62),
        ]
    )
    assert [cell(rows, "Mean blood pressure", hour) for hour in range(3)] == [70, 60, 62]


def test_urine_does_not_feed_blood_channels_and_both_capillary_items_do() -> None:
    rows = series(
        [chart(1, 0.5, 224308, "Abnormal >3 Seconds")],
        [lab(1, 0.5, 51478, 1000), lab(1, 0.5, 51491, 5.0), lab(1, 1.5, GLUCOSE_LAB, 140)],
    )
    assert cell(rows, "mask->Glucose", 0) == 0
    assert cell(rows, "mask->pH", 0) == 0
    assert cell(rows, "Glucose", 1) == 140
    assert cell(rows, "Capillary refill rate->1.0", 0) == 1


def test_a_lab_without_admission_is_attached_by_time_and_a_chart_row_of_another_stay_is_not() -> None:
    rows = series([chart(1, 0.5, HEART, 80, stay_id=77)], [lab(1, 0.5, GLUCOSE_LAB, 140, hadm_id=None)])
    assert cell(rows, "Glucose", 0) == 140
    assert cell(rows, "mask->Heart rate", 0) == 0


def test_a_stay_of_no_length_has_no_hours_and_disturbs_no_other() -> None:
    stays = [stay(1, 0.0), stay(2, 3.0)]
    rows = series([chart(1, 0, HEART, 200), chart(2, 1.5, HEART, 70)], stays=stays)
    assert rows.lengths.tolist() == [0, 3]
    assert rows.values[:, rows.columns.index("Heart rate")].tolist() == [86, 70, 70]


def test_published_rules_attach_by_admission_and_take_the_text_maximum() -> None:
    names = load("benchmark")
    charts = [chart(1, 0.5, ARTERIAL, "87"), chart(1, 0.5, CUFF, "108"), chart(1, 0.5, EYES, "None")]
    charts += [chart(2, 0.5, ARTERIAL, "87"), chart(2, 0.5, CUFF, "108")]  # a subject without any text
    charts += [chart(1, 1.5, 223835, "0.5"), chart(1, 0.5, 226707, "70"), chart(1, 2.5, HEART, "80", stored=90.0)]
    labs = [lab(1, 0.5, GLUCOSE_LAB, "140", hadm_id=None), lab(1, 1.5, 51491, "5"), lab(1, 2.5, 50931, ">500")]
    rows = series(charts, labs, channels=names, published=True)
    assert cell(rows, "Mean blood pressure", 0) == 87
    assert cell(rows, "Mean blood pressure", 0, index=1) == 108
    assert cell(rows, "Fraction inspired oxygen", 1) == pytest.approx(0.005)
    assert cell(rows, "Height", 0) == 70
    assert cell(rows, "mask->Glucose", 0) == 0
    assert cell(rows, "pH", 1) == 5
    assert cell(rows, "mask->Glucose", 2) == 0
    assert cell(rows, "Heart Rate", 2) == 80
    assert cell(rows, "Glascow coma scale eye opening->None", 0) == 1


EVENT = st.tuples(
    st.sampled_from(sorted(HOURS)),
    st.integers(-120, 70 * 60),
    st.sampled_from([HEART, ARTERIAL, CUFF, EYES, GLUCOSE_LAB]),
    st.integers(1, 4) | st.integers(30, 120),
    st.none() | st.integers(-30, 3000),
)


def as_rows(events: list[tuple[int, int, int, int, int | None]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    charts, labs = [], []
    for number, minute, item, value, delay in events:
        stored = None if delay is None else (minute + delay) / 60
        row = (number, minute / 60, item, value, stored)
        if item == GLUCOSE_LAB:
            labs.append(lab(*row))
        else:
            charts.append(chart(*row))
    return charts, labs


def expected(events: list[tuple[int, int, int, int, int | None]], window: int) -> np.ndarray:
    """The series by loops over hours, straight from the rules; columns as in the default set."""
    channels = load("default")
    blocks = []
    for number, hours in HOURS.items():
        end = min(window * 60, round(hours * 60))
        found: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for who, minute, item, value, delay in events:
            known = minute if delay is None else minute + delay
            if who != number or minute < 0 or minute > end or known > end:
                continue
            for index, channel in enumerate(channels.channels):
                ranks = [one.itemid for one in channel.items]
                if item not in ranks:
                    continue
                number_value: float = value
                if channel.kind == "categorical":
                    if value not in channel.levels:
                        continue
                    number_value = channel.categories.index(channel.levels[value])
                elif channel.outlier and not channel.outlier[0] <= value <= channel.outlier[1]:
                    continue
                if channel.kind == "continuous" and channel.valid:
                    number_value = min(max(value, channel.valid[0]), channel.valid[1])
                hour = next(k for k in range(10_000) if minute <= (k + 1) * 60)
                found[hour, index].append((minute, -ranks.index(item), known, number_value))
        if not found:
            continue
        for hour in range(-(-end // 60)):
            row: list[float] = []
            for index, channel in enumerate(channels.channels):
                past = [k for k in range(hour, -1, -1) if (k, index) in found]
                value = max(found[past[0], index])[3] if past else channel.start
                if channel.kind == "categorical":
                    row += [float(value == code) for code in range(channel.width)]
                else:
                    row.append(value)
            row += [float((hour, index) in found) for index in range(len(channels.channels))]
            blocks.append(row)
    return np.array(blocks, np.float32).reshape(-1, 76)


SLOW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(events=st.lists(EVENT, max_size=40), window=st.sampled_from([5, 24, 48, 100]))
def test_equals_a_loop_over_hours(events: list[tuple[int, int, int, int, int | None]], window: int) -> None:
    got = series(*as_rows(events), hours=window)
    np.testing.assert_array_equal(got.values, expected(events, window))


@SLOW
@given(events=st.lists(EVENT, min_size=2, max_size=40), data=st.data())
def test_shuffled_rows_change_nothing(events: list[Any], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(events))
    np.testing.assert_array_equal(series(*as_rows(events)).values, series(*as_rows(shuffled)).values)


@SLOW
@given(
    events=st.lists(EVENT, max_size=20), later=st.lists(EVENT, min_size=1, max_size=20), window=st.sampled_from([5, 24])
)
def test_rows_charted_or_stored_after_the_cut_off_change_nothing(
    events: list[Any], later: list[Any], window: int
) -> None:
    """Each later event is charted after the window, or charted within it and stored after it."""
    future = []
    for number, minute, item, value, delay in later:
        end = min(window * 60, round(HOURS[number] * 60))
        if minute > end:
            future.append((number, minute, item, value, delay))
        else:
            future.append((number, minute, item, value, end - minute + 1 + abs(delay or 0)))
    before, after = series(*as_rows(events), hours=window), series(*as_rows(events + future), hours=window)
    np.testing.assert_array_equal(before.lengths, after.lengths)
    np.testing.assert_array_equal(before.values, after.values)


def test_parts_on_disk_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    events = [
        (int(n), int(m), HEART, int(v), None)
        for n, m, v in zip(
            generator.integers(1, 4, 300),
            generator.integers(0, 3000, 300),
            generator.integers(40, 150, 300),
            strict=True,
        )
    ]
    whole = series(*as_rows(events), hours=100)
    monkeypatch.setattr("picme.cohort.events.PART_HOURS", 1)
    parts = series(*as_rows(events), hours=100)
    np.testing.assert_array_equal(whole.values, parts.values)
    np.testing.assert_array_equal(whole.lengths, [60, 50 + 1, 20])
    np.testing.assert_array_equal(whole.lengths, parts.lengths)


def test_a_channel_set_of_ones_own_reads_any_event_table(tmp_path: Path) -> None:
    text = yaml.safe_dump(
        {
            "channels": [
                {"name": "Urine", "normal": 0, "items": [{"table": "outputevents", "itemid": 226559, "label": "Foley"}]}
            ]
        }
    )
    (tmp_path / "mine.yaml").write_text(text)
    folder = write_release(tmp_path / "ehr", STAYS, ending=".csv")
    rows = {"subject_id": [10001], "stay_id": [30001], "charttime": [at(3.5)], "itemid": [226559], "value": [250]}
    pl.DataFrame(rows).write_csv(folder / "icu/outputevents.csv")
    release = Release.open(folder)
    stays = read_stays(release, CohortConfig()).stays
    window = Observation("any", np.arange(3), np.full(3, 5 * 3600))
    built, _ = build_series(release, load(tmp_path / "mine.yaml"), stays, [window], tmp_path / "scratch")
    assert built["any"].rows.columns == ["Urine", "mask->Urine"]
    assert built["any"].rows.values[:, 0].tolist() == [0, 0, 0, 250, 250]
