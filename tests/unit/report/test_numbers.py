"""Numbers carry their exact value and origin, and are rounded as a reader expects."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from picme.report.numbers import MISSING, count, interval, many, number, p_value, percent, say, seconds, signed, text_of


def test_percent_keeps_the_exact_value_and_its_origin() -> None:
    made = percent(0.81249, "summary.auroc_mean")
    assert made == '<data value="0.81249" data-from="summary.auroc_mean">81.2\u00a0%</data>'


@pytest.mark.parametrize("value", [None, float("nan")])
def test_an_undefined_number_is_a_dash_never_zero(value: float | None) -> None:
    for make in (percent, number, signed, count, p_value, seconds):
        assert make(value, "t.c") == MISSING
    assert interval(value, 0.5, "t.c") == MISSING


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0123, "+1.2"), (-0.0123, "−1.2"), (-0.0001, "0.0"), (0.0, "0.0"), (0.00049, "0.0")]
)
def test_a_difference_has_its_sign_and_zero_has_none(value: float, shown: str) -> None:
    assert text_of(signed(value, "t.c")) == shown


def test_a_negative_number_that_rounds_to_zero_has_no_sign() -> None:
    assert text_of(number(-0.0004, "t.c", 2)) == "0.00"
    assert text_of(number(-1.5, "t.c", 1)) == "−1.5"


@pytest.mark.parametrize(("value", "shown"), [(0.0004, "< 0.001"), (0.0312, "0.031"), (1.0, "1.000")])
def test_p_values(value: float, shown: str) -> None:
    assert text_of(p_value(value, "t.c")) == shown


@pytest.mark.parametrize(("value", "shown"), [(12.34, "12.3 s"), (600, "10.0 min"), (7200, "2.0 h")])
def test_durations_take_the_unit_that_reads_best(value: float, shown: str) -> None:
    assert text_of(seconds(value, "t.c")) == shown


def test_counts_have_thin_spaces_and_the_right_noun() -> None:
    assert count(1234567, "t.c") == '<data value="1234567" data-from="t.c">1\u202f234\u202f567</data>'
    assert text_of(many(1, "t.c", "group", "groups")) == "1 group"
    assert text_of(many(0, "t.c", "group", "groups")) == "0 groups"


def test_parts_of_a_sentence_are_escaped_unless_they_are_markup() -> None:
    made = say("{a} and {b}", a="<script>", b=Markup("<b>x</b>"))
    assert made == "&lt;script&gt; and <b>x</b>"
    assert text_of(made) == "<script> and x"
