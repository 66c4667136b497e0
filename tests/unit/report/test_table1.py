"""The matrix of Table 1 shows each cell's own numbers, marks the best of each task, and says whose cohort it is."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
import pytest

from picme.report.blocks import MOST_ROWS, Column, DataTable
from picme.report.numbers import text_of
from picme.report.paper import score_of_paper
from picme.report.table1 import matrix


@pytest.fixture(scope="module")
def table(tables: dict[str, pl.DataFrame], config: dict[str, Any]) -> DataTable:
    made = matrix(tables, config)
    assert made is not None
    return made


def cells(table: DataTable) -> dict[tuple[str, str, str], str]:
    """What is shown by task, strategy and combination."""
    return {
        (column.group.lower(), column.title.replace(" ", "_"), row["combination"]): str(column.cell(row))
        for row in table.frame.iter_rows(named=True)
        for column in table.columns
        if column.group
    }


def test_every_cell_of_the_summary_stands_in_its_row_and_column(
    table: DataTable, tables: dict[str, pl.DataFrame]
) -> None:
    shown = cells(table)
    known = {(row["task"], row["strategy"], row["combination"]): row for row in tables["summary"].to_dicts()}
    assert {place for place, text in shown.items() if text} == set(known)
    for place, row in known.items():
        text = text_of(shown[place]).lstrip("★▲")
        if row["auroc_mean"] is None:
            assert text == "–"
            continue
        expected = f"{row['auroc_mean'] * 100:.1f}"
        if row["auroc_std"] is not None:
            expected += f" ± {row['auroc_std'] * 100:.1f}"
        paper = score_of_paper(place[2], place[1], place[0], "auroc")
        if paper is not None:
            expected += f" {row['auroc_mean'] * 100 - paper.mean:+.1f}".replace("-", "−")
        assert text == expected


def test_dots_say_which_modalities_a_row_has(table: DataTable) -> None:
    dots = [column for column in table.columns if column.dot]
    for row in table.frame.iter_rows(named=True):
        assert {column.title for column in dots if column.cell(row) == "●"} == set(row["combination"].split("+"))


def test_the_best_and_the_chosen_of_each_task_are_marked_by_signs(
    table: DataTable, tables: dict[str, pl.DataFrame]
) -> None:
    shown, summary = cells(table), tables["summary"]
    for task in ("mortality", "phenotyping"):
        own = summary.filter(pl.col("task") == task)
        best = own.filter(pl.col("auroc_mean") == own["auroc_mean"].max()).select("task", "strategy", "combination")
        chosen = own.filter("selected").select("task", "strategy", "combination")
        here = {place: text for place, text in shown.items() if place[0] == task}
        assert {place for place, text in here.items() if "▲" in text and "<b>" in text} == set(best.rows())
        assert {place for place, text in here.items() if "★" in text} == set(chosen.rows())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the paper’s figure in points, another cohort."),
        ({"source": {"kind": "mimic"}}, "the paper’s figure in points, another cohort."),
        ({"source": {"kind": "mimic"}, "cohort": {"admit": "paper"}}, "the paper’s figure in points."),
        ({"report": {"paper": False}}, None),
    ],
)
def test_the_reading_says_whether_the_cohort_is_the_papers(
    changes: dict[str, Any], words: str | None, tables: dict[str, pl.DataFrame], config: dict[str, Any]
) -> None:
    made = matrix(tables, {**config, **changes})
    assert made is not None
    text = text_of(made.reading)
    assert text.endswith(words) if words else "paper" not in text
    assert words or not [text for text in cells(made).values() if "derived:summary" in text]


def test_downloads_know_which_row_shows_which_cell(table: DataTable, tables: dict[str, pl.DataFrame]) -> None:
    given = table.payload()
    order = table.frame["combination"].to_list()
    assert [order[place] for place in given["of"]] == tables["summary"]["combination"].to_list()
    assert [re.findall(r"caption{(.*)}", part["head"])[0].rpartition(": ")[2] for part in given["latex"]] == [
        "Mortality",
        "Phenotyping",
    ]
    for part in given["latex"]:
        assert len(part["rows"]) == len(order)
        for line, combination in zip(part["rows"], order, strict=True):
            assert line.count(r"$\bullet$") == combination.count("+") + 1
            assert "derived" not in line
    assert "▲" not in str(given["latex"])


def test_rows_that_are_not_on_the_page_can_be_filtered_and_saved_too() -> None:
    frame = pl.DataFrame({"x": range(MOST_ROWS + 2)})
    given = DataTable("long", "Long", [Column("X", lambda row: f"no {row['x']}")], frame).payload()
    assert given["rest"] == [[f"no {MOST_ROWS}"], [f"no {MOST_ROWS + 1}"]]
    assert given["of"] is None
    assert len(given["latex"][0]["rows"]) == len(given["csv"].splitlines()) - 1 == MOST_ROWS + 2
