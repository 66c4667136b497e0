"""A study by cross-fitting says so in words, and its counts are of all stays, not of the first fold's splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_answer import CONFIG, study

from picme.report.available import availability, presence
from picme.report.build import page
from picme.report.numbers import text_of

FOLDS: dict[str, Any] = {**CONFIG, "splits": {"kind": "folds", "folds": 4, "train": 0.7}}
AVAILABLE = pl.DataFrame(
    [
        {"task": "mortality", "modality": "labs", "split": split, "stays_present": n, "stays_total": of}
        | {"cut_share": share, "tokens_total": 100 * n, "tokens_read": 90 * n}
        for split, n, of, share in (("train", 310, 500, 0.2), ("val", 60, 250, 0.4), ("test", 95, 180, 0.3))
    ]
)
PRESENT = pl.DataFrame(
    [
        ("mortality", split, modalities, stays, outcome)
        for modalities, counts in {
            "labs": ((310, 30), (60, 9), (95, 8)),
            "": ((190, 10), (190, 20), (85, 11)),
            "vitals": ((12, 5), (7, None), (12, 4)),
        }.items()
        for split, (stays, outcome) in zip(("train", "val", "test"), counts, strict=True)
    ],
    schema=["task", "split", "modalities", "stays", "with_outcome"],
    orient="row",
)


def shown(table: Any) -> list[list[str]]:
    return [[text_of(cell["html"]).replace("\u00a0", " ") for cell in row["cells"]] for row in table.rows()]


def test_the_card_the_rules_and_the_masthead_say_it_in_words() -> None:
    flow = pl.DataFrame([{"task": "mortality", "step": "all", "stays": 930, "subjects": 900}])
    tables = {**study(), "cohort_flow": flow}
    text = text_of(page(Path("run"), tables, FOLDS, {}))
    assert text.count("4 folds; every stay is validated once and tested once") == 2
    assert "cross-fitting: 4 folds" in text
    assert "930 stays for mortality, each tested once by cross-fitting." in text
    assert "they judge how models are made here, and no single model" in text
    plain = text_of(page(Path("run"), tables, CONFIG, {}))
    assert "tested once" not in plain.replace("be tested once", "")


def test_availability_is_of_all_stays() -> None:
    table = availability({"availability": AVAILABLE}, FOLDS)
    assert shown(table) == [["labs", "50.0 % (465)"]]
    assert table is not None
    assert "Mortality: 930 stays" in text_of(str(table.reading))
    assert "Of all tokens the encoders read 90.0" in text_of(str(table.reading)), "no word on a share that is not shown"
    by_split = shown(availability({"availability": AVAILABLE}, CONFIG))
    assert by_split == [["labs", "62.0 % (310; cut 20.0 %)", "24.0 % (60; cut 40.0 %)", "52.8 % (95; cut 30.0 %)"]]


def test_patterns_are_of_all_stays_and_a_count_that_is_not_told_stays_so() -> None:
    assert shown(presence({"presence": PRESENT}, FOLDS)) == [
        ["Mortality", "labs", "465", "47 (10.1 %)"],
        ["Mortality", "none", "465", "41 (8.8 %)"],
        ["Mortality", "vitals", "31", ""],
    ]
    assert len(shown(presence({"presence": PRESENT}, CONFIG))) == PRESENT.height


@pytest.mark.parametrize(("kind", "words"), [("time", "by time"), ("group", "whole groups"), ("hash", "a hash")])
def test_other_divisions_are_told_in_words_too(kind: str, words: str) -> None:
    from picme.report.rules import rules

    assert words in dict(rules({"splits": {"kind": kind, "folds": None}}))["Splits"]
