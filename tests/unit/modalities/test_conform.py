"""Stays of another source in the form of a model's: the same quantities under other names, units and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.errors import DataError
from picme.modalities import open_modality, write_views
from picme.modalities.quantities import conversion, quantity
from picme.schema import Rows, SeriesRows, TableRows
from picme.sources.hourly import series

if TYPE_CHECKING:
    from pathlib import Path

LENGTHS = np.array([3, 0, 4])
NAN = float("nan")


def opened(folder: Path, kind: str, rows: Rows) -> Any:
    write_views(kind, {"view": rows}, {"view": folder}, folder / "pool")
    return open_modality(kind, folder, folder / "pool")


def grid(*columns: list[float]) -> np.ndarray:
    return np.array(columns, dtype=np.float32).T


def numbers(folder: Path, values: np.ndarray, names: list[str], start: float = NAN, since: bool = False) -> Any:
    return opened(folder, "timeseries", series(values, LENGTHS, names, np.full(len(names), start), since))


def conformed(model: Any, given: dict[str, Any], own: str = "vitals") -> tuple[Any, dict[str, Any]]:
    rows, matches = model.conform({}, own, given)
    return rows, {match.variable: match for match in matches}


def known(match: Any) -> int:
    """The number of stays in which a variable is known."""
    return 0 if match.known is None else int(match.known.sum())


RATE = [80, NAN, 90, NAN, 70, NAN, NAN]
HEAT = [NAN, 37.0, NAN, 36.5, NAN, NAN, 38.0]


def test_other_names_units_and_order_give_the_very_series(tmp_path: Path) -> None:
    model = numbers(tmp_path / "model", grid(RATE, HEAT), ["HR", "Temp"], since=True)
    fahrenheit = [value * 1.8 + 32 for value in HEAT]
    other = numbers(
        tmp_path / "other", grid(fahrenheit, [1.0] * 7, RATE), ["Temperature (°F)", "x", "heart rate"], 36.6
    )
    rows, found = conformed(model, {"signs": other})
    assert rows.columns == model.columns
    np.testing.assert_allclose(rows.values, np.asarray(model.values), rtol=1e-5)
    assert rows.lengths.tolist() == LENGTHS.tolist()
    assert (found["HR"].given, found["HR"].converted, known(found["HR"])) == ("heart rate", None, 2)
    assert (found["Temp"].modality, found["Temp"].converted) == ("signs", "°f to °c")


def test_a_logarithm_is_made_and_undone(tmp_path: Path) -> None:
    plain, log = (
        [1.0, NAN, 2.0, 0.5, NAN, 4.0, NAN],
        [np.log(1.1), NAN, np.log(2.1), np.log(0.6), NAN, np.log(4.1), NAN],
    )
    logs = numbers(tmp_path / "log", grid(log), ["log Creatinine"])
    plains = numbers(tmp_path / "plain", grid(plain), ["creatinine"])
    molar = numbers(tmp_path / "molar", grid([value * 88.42 for value in plain]), ["Creatinine [umol/L]"])
    for model, given in ((logs, plains), (plains, logs), (logs, molar), (plains, molar)):
        rows, _ = conformed(model, {"labs": given})
        np.testing.assert_allclose(rows.values, np.asarray(model.values), rtol=1e-4)


def categories(folder: Path, codes: list[int], names: list[str]) -> Any:
    seen = np.array([code >= 0 for code in codes], dtype=np.float32)
    held, last = [], 0
    for hour, code in enumerate(codes):
        last = 1 if hour in (0, 3) else last  # the normal value stands at the start of each stay
        last = code if code >= 0 else last
        held.append(last)
    values = np.column_stack([np.eye(len(names))[held], seen]).astype(np.float32)
    columns = [*(f"GCS total->{name}" for name in names), "mask->GCS total"]
    return opened(folder, "timeseries", SeriesRows(values, LENGTHS, columns, [False] * len(columns)))


def test_categories_and_numbers_of_one_scale_become_one_another(tmp_path: Path) -> None:
    scale = categories(tmp_path / "scale", [0, -1, 1, -1, -1, 2, -1], ["15", "3", "8"])
    number = numbers(tmp_path / "number", grid([15, NAN, 3, NAN, NAN, 8, NAN]), ["GCS"])
    rows, found = conformed(number, {"other": scale})
    np.testing.assert_array_equal(rows.values, np.asarray(number.values))
    assert found["GCS"].converted == "number of the category"
    rows, _ = conformed(scale, {"other": number})
    np.testing.assert_array_equal(rows.values, np.asarray(scale.values))


def test_what_is_absent_is_missing_and_begins_as_in_training(tmp_path: Path) -> None:
    model = numbers(tmp_path / "model", grid(HEAT, RATE), ["Temp", "HR"], start=36.6)
    other = numbers(tmp_path / "other", grid(RATE), ["Pulse"])
    rows, found = conformed(model, {"other": other})
    assert (found["Temp"].modality, known(found["Temp"])) == (None, 0)
    np.testing.assert_array_equal(rows.values[:, 0], np.full(7, 36.6, np.float32))
    np.testing.assert_array_equal(rows.values[:, 2], np.zeros(7))
    np.testing.assert_array_equal(rows.values[:, 1], np.asarray(model.values)[:, 1])


def test_a_stay_without_any_of_the_variables_lacks_the_modality(tmp_path: Path) -> None:
    model = numbers(tmp_path / "model", grid(RATE, HEAT), ["HR", "Temp"])
    other = numbers(tmp_path / "other", grid([80, NAN, 90, NAN, NAN, NAN, NAN], [1.0] * 7), ["HR", "x"])
    rows, _ = conformed(model, {"other": other})
    assert rows.lengths.tolist() == [3, 0, 0]
    assert len(rows.values) == 3


def test_the_same_columns_are_taken_as_they_are_and_nothing_gives_nothing(tmp_path: Path) -> None:
    model = numbers(tmp_path / "model", grid(RATE, HEAT), ["HR", "Temp"])
    rows, found = conformed(model, {"other": model, "vitals": model})
    assert rows is None
    assert [found[name].modality for name in ("HR", "Temp")] == ["vitals", "vitals"]
    assert known(found["HR"]) == 2
    rows, found = conformed(model, {})
    assert rows is None and all(match.modality is None for match in found.values())


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    model = numbers(tmp_path / "model", grid(RATE), ["HR"])
    odd = numbers(tmp_path / "odd", grid(RATE), ["HR [parsec]"])
    assert conformed(model, {"x": odd})[1]["HR"].given == "HR [parsec]", "where the model's unit is not known"
    heat = numbers(tmp_path / "heat", grid(HEAT), ["Temp"])
    with pytest.raises(DataError, match=r"column 'Temp \[parsec\]' is in parsec, the model's in °c, and no conversion"):
        conformed(heat, {"x": numbers(tmp_path / "far", grid(HEAT), ["Temp [parsec]"])})
    scale = categories(tmp_path / "scale", [0, -1, 1, -1, -1, 2, -1], ["15", "3", "8"])
    with pytest.raises(DataError, match="'GCS total' has a category '9' that the model's 'GCS total' has not"):
        conformed(scale, {"x": categories(tmp_path / "nine", [0, -1, 1, -1, -1, 2, -1], ["15", "3", "9"])})
    words = categories(tmp_path / "words", [0, -1, 1, -1, -1, 2, -1], ["alert", "coma", "tube"])
    number = numbers(tmp_path / "number", grid(RATE), ["GCS"])
    with pytest.raises(DataError, match="'GCS total' has categories that are no numbers"):
        conformed(number, {"x": words})
    with pytest.raises(DataError, match="'GCS' is a number, the model's 'GCS total' has categories"):
        conformed(words, {"x": number})


def table(folder: Path, **columns: Any) -> Any:
    frame = pl.DataFrame(columns, strict=False)
    return opened(folder, "tabular", TableRows(frame, np.ones(len(frame), dtype=bool)))


def test_a_table_gets_the_models_columns_words_and_units(tmp_path: Path) -> None:
    model = table(tmp_path / "model", age=[60.0, 70.0] * 3, gender=["female", "male"] * 3, icu=["a", "b"] * 3)
    statistics = model.fit(np.arange(6))
    other = table(
        tmp_path / "other", race=["x", "y", "z"], Sex=["F", "m", "unknown"], **{"Age (days)": [21915.0, None, 365.25]}
    )
    rows, matches = model.conform(statistics, "person", {"demographics": other})
    assert rows.frame.columns == ["age", "gender", "icu"]
    assert rows.frame["age"].to_list() == pytest.approx([60.0, None, 1.0])
    assert rows.frame["gender"].to_list() == ["female", "male", None]
    assert rows.frame["icu"].to_list() == [None] * 3
    assert rows.present.tolist() == [True, True, True]
    told = {match.variable: (match.given, match.converted, known(match)) for match in matches}
    assert told == {
        "age": ("Age (days)", "days to years", 2),
        "gender": ("Sex", "the model's words", 2),
        "icu": (None, None, 0),
    }
    rows, matches = model.conform(statistics, "person", {"person": model})
    assert rows is None and [known(match) for match in matches] == [6, 6, 6]


PULSE = [98, NAN, 95, 97, NAN, 96, NAN]
ARTERY = [91, 90, NAN, NAN, 88, NAN, 89]


@pytest.mark.parametrize("names", [["SpO2", "SaO2", "K"], ["SaO2", "K", "SpO2"], ["K", "SaO2", "SpO2"]])
def test_synonyms_are_told_apart_by_their_names_in_whatever_order(tmp_path: Path, names: list[str]) -> None:
    """Of a series and of a table; potassium, which only its synonym names, is found as before."""
    columns = {"SpO2": PULSE, "SaO2": ARTERY, "K": RATE}
    model = numbers(tmp_path / "model", grid(PULSE, ARTERY, RATE), ["SpO2", "SaO2", "Potassium"])
    other = numbers(tmp_path / "other", grid(*(columns[name] for name in names)), names)
    rows, found = conformed(model, {"vitals": other})
    np.testing.assert_array_equal(rows.values, np.asarray(model.values))
    assert {name: match.given for name, match in found.items()} == {"SpO2": "SpO2", "SaO2": "SaO2", "Potassium": "K"}
    flat = table(tmp_path / "flat", SpO2=PULSE, SaO2=ARTERY, Potassium=RATE)
    given = table(tmp_path / "given", **{name: columns[name] for name in names})
    made, matches = flat.conform(flat.fit(np.arange(7)), "person", {"person": given})
    assert made.frame.equals(flat.frame)
    assert [match.given for match in matches] == ["SpO2", "SaO2", "K"]


def test_another_spelling_goes_before_a_synonym_and_no_column_is_read_twice(tmp_path: Path) -> None:
    model = numbers(tmp_path / "model", grid(PULSE, ARTERY), ["SpO2", "SaO2"])
    both = numbers(tmp_path / "both", grid(ARTERY, PULSE), ["sao2 (%)", "sp_o2"])
    rows, _ = conformed(model, {"a": both})
    np.testing.assert_array_equal(rows.values, np.asarray(model.values))
    one = numbers(tmp_path / "one", grid(PULSE), ["SpO2"])
    rows, found = conformed(model, {"a": one, "b": one})
    assert (found["SpO2"].modality, found["SaO2"].modality, known(found["SaO2"])) == ("a", None, 0)
    # The very name in another modality goes before a synonym in the modality of the same name.
    arterial = numbers(tmp_path / "arterial", grid(ARTERY), ["SaO2"])
    alone = numbers(tmp_path / "alone", grid(PULSE), ["SpO2"])
    rows, found = conformed(alone, {"vitals": arterial, "monitor": one})
    assert found["SpO2"].modality == "monitor"
    assert conformed(alone, {"vitals": arterial})[1]["SpO2"].given == "SaO2", "where nothing else is there"


def test_what_may_be_several_is_refused(tmp_path: Path) -> None:
    alone = numbers(tmp_path / "alone", grid(PULSE), ["Oxygen saturation"])
    both = numbers(tmp_path / "both", grid(ARTERY, PULSE), ["SpO2", "SaO2"])
    message = "the model's 'Oxygen saturation' may be 'SaO2' or 'SpO2' of the other source"
    with pytest.raises(DataError, match=message):
        conformed(alone, {"x": both})
    apart = [numbers(tmp_path / name, grid(PULSE), [name]) for name in ("SpO2", "SaO2")]
    with pytest.raises(DataError, match=message):
        conformed(alone, dict(zip("ab", apart, strict=True)))
    with pytest.raises(DataError, match="'Oxygen saturation' of the other source may be the model's 'SaO2' or 'SpO2'"):
        conformed(both, {"x": alone})
    person = table(tmp_path / "person", ethnicity=["x", "y"] * 3)
    given = table(tmp_path / "given", Race=["x", "y"] * 3, **{"race (self)": ["y", "x"] * 3})
    with pytest.raises(DataError, match=r"'ethnicity' may be 'Race' or 'race \(self\)' of the other source"):
        person.conform(person.fit(np.arange(6)), "person", {"person": given})


def test_quantities_are_told_by_name() -> None:
    assert quantity("HR").name == quantity("Heart Rate").name == quantity("heart_rate").name == "heart rate"
    assert quantity("log Glucose") == ("glucose", "mg/dl", True)
    assert quantity("Temperature (°F)").unit == quantity("temp [degF]").unit == "°f"
    assert quantity("NISysABP").name != quantity("SysABP").name, "a cuff is no arterial line"
    assert quantity("Blutdruck").name == "blutdruck"
    for one, other in (("weight (lb)", "Weight"), ("Weight", "weight (lb)")):
        scale, shift = conversion(quantity(one), quantity(other), one)
        assert scale == pytest.approx(0.45359237 if one.endswith(")") else 1 / 0.45359237) and shift == 0
    scale, shift = conversion(quantity("Temp"), quantity("Temp (F)"), "Temp")
    assert 37 * scale + shift == pytest.approx(98.6)


@pytest.mark.parametrize(
    ("given", "wanted", "value", "expected"),
    [
        ("BUN [mmol/L]", "BUN", 7.14, 20.0),
        ("Hemoglobin [mmol/L]", "Hemoglobin", 8.0, 12.9),
        ("Haemoglobin [g/L]", "Hgb", 120.0, 12.0),
        ("Bilirubin [umol/L]", "Bilirubin", 17.1, 1.0),
        ("lactate [mg/dL]", "Lactate", 18.0, 2.0),
        ("Na [mEq/L]", "Sodium", 140.0, 140.0),
    ],
)
def test_units_of_a_laboratory_are_converted(given: str, wanted: str, value: float, expected: float) -> None:
    assert quantity(given).name == quantity(wanted).name
    scale, shift = conversion(quantity(given), quantity(wanted), given)
    assert value * scale + shift == pytest.approx(expected, rel=0.01)


def test_a_unit_that_no_conversion_is_known_for_is_refused() -> None:
    with pytest.raises(DataError, match="column 'lactate \\[bananas\\]' is in bananas, the model's in mmol/l"):
        conversion(quantity("lactate [bananas]"), quantity("Lactate"), "lactate [bananas]")
