from __future__ import annotations

import polars as pl
import pytest

from picme.sources.cells import are_numbers, equal, ids, in_order, nearly_numbers, numbers, patterns


def test_ids_stay_what_they_are() -> None:
    assert ids(pl.Series(["000001", " 1 ", "1.0", "7.5", "1e3", "A1", "", None])).to_list() == [
        "000001", "1", "1", "7.5", "1e3", "A1", None, None,
    ]  # fmt: skip
    # One id with decimals leaves the others of a column of floats whole.
    assert ids(pl.Series([1.0, 7.5, None, 400.0])).to_list() == ["1", "7.5", None, "400"]
    assert ids(pl.Series([3, 1])).to_list() == ["3", "1"]
    assert in_order(pl.Series(["10", "2", "01", None, "2", "1"])).to_list() == ["1", "2", "01", "10"]


@pytest.mark.parametrize(
    ("cells", "expected", "odd"),
    [
        (["1", " 2.5 ", "NA", "", "-", None, "nan"], [1, 2.5, None, None, None, None, None], 0),
        (["true", "FALSE"], [1, 0], 0),
        (["81,5", "7,38", "1,234", "70"], [81.5, 7.38, 1.234, 70], 0),
        (["1,234", "70"], [None, 70], 1),  # either 1.234 or 1234: no other cell tells
        (["0,123", "5"], [0.123, 5], 0),
        (["> 89", "70"], [None, 70], 1),
        (["1e300", "inf", "5"], [None, None, 5], 2),
    ],
)
def test_cells_as_numbers(cells: list[str | None], expected: list[float | None], odd: int) -> None:
    found = numbers(pl.Series(cells, dtype=pl.String))
    assert found.values.to_list() == expected
    assert found.odd.sum() == odd


def test_numbers_of_a_file_have_borders_too() -> None:
    found = numbers(pl.Series([1.0, float("nan"), 1e300, float("inf"), None]))
    assert found.values.to_list() == [1, None, None, None, None]
    assert found.odd.to_list() == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([str(age) for age in range(20, 89)] + ["> 89"] * 9, True),
        ([str(age) for age in range(20, 89)] + ["> 89"] * 60, False),
        (["1", "2", "1", "3A"], False),
        (["1", "2", "NA"], True),
        (["001", "250", "414"], False),  # codes: leading zeros are part of them
        ([str(code) for code in range(250, 300)] + ["V10"] * 3, False),
        ([str(value) for value in range(200)] + ["8O"], True),  # a slip
        ([f"{value / 10:.1f}" for value in range(20, 60)] + ["05"], True),  # a slip
        ([f"{value / 10:.1f}" for value in range(20, 60)] + ["05", "07"], False),
        ([f"{value}.9" for value in range(250, 290)] + ["038.9", "042"], False),  # ICD-9
        ([str(value) for value in range(250, 290)] + ["042"], False),
        (["NA", None], True),
        (["F", "M"], False),
    ],
)
def test_a_column_is_of_numbers_or_of_words(cells: list[str | None], expected: bool) -> None:
    column = pl.Series(cells, dtype=pl.String)
    assert are_numbers(column, numbers(column)) == expected


def test_patterns_tell_no_cell() -> None:
    cells = pl.Series(["> 89", "> 90", "Anna Müller, 1912", "7", "x1", "é"])
    odd = pl.Series([True, True, True, False, True, True])
    assert patterns(cells, odd) == {"> 9": 2, "a": 1, "a a, 9": 1, "another": 1}


@pytest.mark.parametrize(
    ("cells", "marks", "expected"),
    [
        (["-1,0", "5,04", "-1", "-10"], [-1.0], [True, False, True, False]),
        (["999.", "999.00", "9990", "0999"], [999], [True, True, False, False]),
        (["Unknown", " UNKNOWN ", "unknown to us", None], ["unknown"], [True, True, False, False]),
        (["true", "1", "0"], [1], [False, True, False]),
        (["00", "0", "0.0"], [0], [False, True, True]),
        (["00", "0"], ["00"], [True, False]),
        (["7", "x"], [], [False, False]),
    ],
)
def test_marks_are_equal_as_numbers_or_words(
    cells: list[str | None], marks: list[object], expected: list[bool]
) -> None:
    assert equal(pl.Series(cells, dtype=pl.String), marks).to_list() == expected


def test_marks_among_numbers_of_a_file() -> None:
    assert equal(pl.Series([-1.0, 2.0, None]), [-1, "unknown"]).to_list() == [True, False, False]
    assert equal(pl.Series([-1, 2]), ["-1,0"]).to_list() == [True, False]
    assert equal(pl.Series([True, False]), [1]).to_list() == [False, False]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([f"4.{place} %" for place in range(10)], {"9.9 %": 10}),
        (["1,234", "900", "1,100", "850"], {"9,9": 2}),
        (["<4.2", "5.1", "6.1", "7.1"], {"<9.9": 1}),
        (["60 mg", "70 mg", "80 mg", "NA"], {"9 a": 3}),
        (["1", "2", "1", "3A"], {}),
        (["001", "250 %"], {}),
        (["20-30", "30-40"], {}),
        (["F", "M", "5 %"], {}),
        (["1", "2"], {}),
    ],
)
def test_numbers_but_for_a_pattern(cells: list[str], expected: dict[str, int]) -> None:
    column = pl.Series(cells)
    assert nearly_numbers(column, numbers(column)) == expected
