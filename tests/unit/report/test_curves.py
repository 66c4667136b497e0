"""Figures with many curves open on the chosen strategy and its control; the others are a click away."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from picme.report.build import plates
from picme.report.facts import answers
from picme.report.numbers import text_of
from picme.report.words import combination_text, strategy_text, task_title


@pytest.mark.parametrize("figure", ["finetuning", "calibration", "decision-curve"])
def test_curves_of_the_chosen_strategy_and_its_control_are_shown_first(
    figure: str, tables: dict[str, pl.DataFrame], config: dict[str, Any]
) -> None:
    views = {view.choice: view for view in plates(tables, config)[figure].views}
    met = set()
    for item in answers(tables, config):
        assert item.control is not None
        wanted = {strategy_text(item.best["strategy"]), strategy_text(item.control.other["strategy"])}
        view = views.get((task_title(item.task), combination_text(item.best["combination"])))
        if view is None:
            continue
        traces = [trace for trace in view.spec["data"] if "visible" in trace and trace.get("name")]
        shown = {trace["name"] for trace in traces if trace["visible"] is True}
        hidden = {trace["name"] for trace in traces if trace["visible"] == "legendonly"}
        assert shown, item.task
        assert shown <= wanted
        assert hidden
        assert not hidden & wanted
        met.add(item.task)
    assert met, "no task has the figure"


def test_the_calibration_that_is_told_is_that_of_the_curves_shown(
    tables: dict[str, pl.DataFrame], config: dict[str, Any]
) -> None:
    text = text_of(plates(tables, config)["calibration"].views[0].reading)
    assert "for finetuned (Brier score" in text
    assert "for supervised (Brier score" in text
    assert "contrastive" not in text


def test_the_decision_curve_that_is_told_is_the_chosen_strategys(
    tables: dict[str, pl.DataFrame], config: dict[str, Any]
) -> None:
    (item, *_) = answers(tables, config)
    text = text_of(plates(tables, config)["decision-curve"].views[0].reading)
    assert strategy_text(item.best["strategy"]) in text.lower()
    assert strategy_text(item.control.other["strategy"]) not in text.lower()  # type: ignore[union-attr]


def test_a_decision_curve_that_is_nowhere_of_use_still_says_what_it_gains_at_most(
    tables: dict[str, pl.DataFrame], config: dict[str, Any]
) -> None:
    useless = tables["decision_curve"].with_columns(low=pl.lit(-1.0))
    reading = plates({**tables, "decision_curve": useless}, config)["decision-curve"].views[0].reading
    assert "At no threshold" in text_of(reading)
    assert 'data-from="decision_curve.net_benefit"' in str(reading)
