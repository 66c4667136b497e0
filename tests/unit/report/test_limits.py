"""Limits are facts of the tables and the configuration, and no item of the checklist points at nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.report.limits import ITEMS, checklist, limits

if TYPE_CHECKING:
    from pathlib import Path


def said(tables: dict[str, pl.DataFrame], config: dict[str, Any]) -> str:
    return " ".join(sentence.striptags() for sentence in limits(tables, config)).replace("\u202f", "")


def test_the_checklist_has_all_items_and_its_links_lead_somewhere(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    section = page.partition('id="limits"')[2].partition("</section>")[0]
    links = re.findall(r'href="#([\w-]+)"', section)
    ids = set(re.findall(r'id="([\w-]+)"', page))
    assert len(links) > 20
    assert set(links) <= ids
    assert section.count('<td class="num">') == len(ITEMS) == 27
    assert all(
        "not told" in row for row in re.findall(r"<tr>.*?</tr>", section, re.DOTALL) if "Ethical approval" in row
    )
    assert all(not row["where"] for row in checklist(set()))


def test_few_outcomes_are_a_limit_and_many_are_not() -> None:
    def flow(events: int, stays: int) -> dict[str, pl.DataFrame]:
        row = {"task": "mortality", "step": "in test", "stays": stays, "split": "test", "events": events}
        return {"cohort_flow": pl.DataFrame([row])}

    assert "Mortality: 99 of 900 test stays have the outcome" in said(flow(99, 900), {})
    assert "99 of 150" in said(flow(99, 150), {})
    assert "have the outcome" not in said(flow(100, 900), {})
    assert "have the outcome" in said(flow(800, 899), {})


def test_limits_follow_the_configuration(tables: dict[str, pl.DataFrame]) -> None:
    assert "made by a program" in said({}, {"source": {"kind": "synthetic"}})
    assert "made by a program" not in said({}, {"source": {"kind": "mimic"}})
    assert "every modality" in said({}, {"require": "complete"})
    assert "later periods" in said({}, {"splits": {"kind": "time"}})
    assert "recorded after" in said({}, {"cohort": {"admit": "paper"}})
    broken = int(tables["leakage"]["violation"].fill_null(False).sum())
    assert ("audit found" in said(tables, {})) == (broken > 0)
