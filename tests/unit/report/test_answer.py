"""The first screen says of each task what the value tables say, and warns where that rests on few events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fabricate
import polars as pl
import pytest

from picme.report import headline
from picme.report.answer import Screen, screens, sign_of, verdict_text
from picme.report.build import page
from picme.report.enough import enough
from picme.report.facts import answer, frame
from picme.report.figures.forest import axis
from picme.report.figures.front import front
from picme.report.numbers import text_of
from picme.report.value import acquisition, lattice, sufficient

Tables = dict[str, pl.DataFrame]

NOTHING = {"value": -0.001, "low": -0.004, "high": 0.003, "verdict": "nothing measurable", "at_most": 0.003}
WORTH = {
    "vitals": ({"value": 0.038, "low": 0.028, "high": 0.048, "verdict": "adds"}, (0.300, 0.281, 0.320)),
    "labs": (NOTHING, (0.208, 0.183, 0.232)),
    "fluids": ({"value": 0.004, "low": -0.004, "high": 0.013, "verdict": "undecided"}, (0.239, 0.218, 0.261)),
}
ABOUT = {"task": "mortality", "strategy": "supervised", "metric": "auroc", "source": "dedicated", "stays": "complete"}
ENOUGH = {
    "margin": 0.01,
    "combination": "vitals+labs",
    "best": "vitals+labs+fluids",
    "against": "vitals+labs+fluids",
    "needs_seeds": None,
    "none_needed": None,
    "difference": -0.002,
    "low": -0.006,
    "high": 0.002,
    "confirmed": True,
    "n_val": 900,
    "events_val": 120,
    "n_test": 1800,
    "events_test": 252,
}


def study(costs: tuple[float, float, float] = (1.0, 1.0, 1.0), **enough: Any) -> Tables:
    """A study of three modalities with value tables, whose row of `sufficient` differs from `ENOUGH` as told."""
    value = []
    for name, (beside, alone) in WORTH.items():
        value.append({**ABOUT, "quantity": "added", "modality": name, "at_most": None, **beside})
        by_itself = dict(zip(("value", "low", "high"), alone, strict=True))
        value.append({**ABOUT, "quantity": "alone", "modality": name, "verdict": "adds", "at_most": None, **by_itself})
    shared = [{**row, "strategy": "any_subset", "source": "shared", "value": 0.2} for row in value]
    pairs = [
        ("vitals", "labs", -0.05, -0.06, -0.04),
        ("vitals", "fluids", 0.01, -0.01, 0.03),
        ("labs", "fluids", 0.02, 0.01, 0.03),
    ]
    named = ("modality_a", "modality_b", "value", "low", "high")
    prices = dict(zip(WORTH, costs, strict=True))
    lattice = []
    for combination, score in (("vitals", 0.80), ("labs", 0.70), ("vitals+labs", 0.84), ("vitals+labs+fluids", 0.843)):
        paid = sum(prices[name] for name in combination.split("+"))
        ends = {"low": score - 0.02, "high": score + 0.02, "front": combination != "labs"}
        lattice.append({**ABOUT, "combination": combination, "added": None, "value": score, "cost": paid, **ends})
    gain = {"value": 0.1, "low": 0.05, "high": 0.15, "front": None}
    lattice += [{**ABOUT, "combination": "", "added": name, "cost": cost, **gain} for name, cost in prices.items()]
    cell = {"task": "mortality", "n_seeds": 3, "strategy": "supervised"}
    return {
        "summary": pl.DataFrame([{**cell, "combination": "vitals+labs+fluids", "auroc_mean": 0.84, "selected": True}]),
        "value": pl.DataFrame([*shared, *value], infer_schema_length=None),
        "interactions": pl.DataFrame([{**ABOUT, **dict(zip(named, pair, strict=True))} for pair in pairs]),
        "lattice": pl.DataFrame(lattice, infer_schema_length=None),
        "sufficient": pl.DataFrame([{**ABOUT, **ENOUGH, **enough}]),
    }


CONFIG: dict[str, Any] = {"modalities": {name: {} for name in WORTH}, "tasks": {"mortality": {}}}


def screen(tables: Tables, config: dict[str, Any] = CONFIG) -> Screen:
    (found,) = screens(tables, config)
    return found


def test_dedicated_models_tell_it_though_shared_ones_stand_first_in_the_table() -> None:
    told = screen(study()).told
    assert told is not None
    assert (told.strategy, told.shared) == ("supervised", False)
    assert [one.name for one in told.worth] == ["vitals", "fluids", "labs"]
    assert [one.added["value"] for one in told.worth] == [0.038, 0.004, -0.001]


def test_of_dedicated_models_those_tell_it_that_validation_chose() -> None:
    tables = study()
    stack = tables["value"].filter(strategy="supervised").with_columns(strategy=pl.lit("stacked"))
    tables["value"] = pl.concat([tables["value"], stack])
    for chosen, teller in (("stacked", "stacked"), ("supervised", "supervised"), ("any_subset", "supervised")):
        tables["summary"] = tables["summary"].with_columns(strategy=pl.lit(chosen))
        told = screen(tables).told
        assert told is not None and told.strategy == teller


def test_a_control_or_a_baseline_tells_it_only_where_nothing_else_does() -> None:
    """`random` stands first in the table, and validation chose none of both."""
    tables = study()
    tables["summary"] = tables["summary"].with_columns(selected=pl.lit(False))
    for others, teller in ((["random", "supervised"], "supervised"), (["gradient_boosting", "random"], None)):
        rows = [tables["value"].filter(strategy="supervised").with_columns(strategy=pl.lit(name)) for name in others]
        told = screen(tables | {"value": pl.concat(rows)}).told
        assert told is not None and told.strategy == (teller or others[0])


def test_the_paragraph_says_what_is_enough_and_what_each_adds() -> None:
    text = headline(study(), CONFIG)
    assert "Death in hospital: vitals + labs is enough." in text
    assert "no other combination is better by more than 1.0 points" in text
    assert "On test it has 84.0 % (82.0–86.0) AUROC (supervised)" in text.replace("\u00a0", " ")
    assert "(all kinds of data together) to it, AUROC changes by −0.2 points (−0.6 to +0.2), which confirms it" in text
    assert "these add to AUROC, in points: vitals +3.8 (+2.8 to +4.8)" in text
    assert "these add nothing measurable: labs −0.1 (−0.4 to +0.3)" in text
    assert "these are undecided: fluids +0.4 (−0.4 to +1.3)" in text
    assert "Few events" not in text


def test_what_test_does_not_confirm_is_not_called_enough_without_a_word() -> None:
    tables = study(low=-0.013, confirmed=False)
    assert "vitals + labs is enough on validation, which test does not confirm." in headline(tables, CONFIG)
    assert "does not rule out a loss of 1.0 points" in headline(tables, CONFIG)
    assert "Enough on validation; test does not confirm it" in page_of(tables)
    assert "test does not confirm it" not in page_of(study())


def test_undecided_has_the_stays_and_events_there_are_and_the_stays_that_would_tell() -> None:
    none = dict.fromkeys(("combination", "against", "difference", "low", "high", "confirmed"))
    tables = study(**none, needed=3120, n_val=250, events_val=31)
    text = headline(tables, CONFIG)
    assert "it is undecided which kinds of data are enough" in text
    assert "250 validation stays with 31 events cannot tell; at least about 3 120 would be needed" in text
    assert "The best on validation, all kinds of data together (supervised), has 84.3" in text
    assert "is enough" not in text


def test_models_that_differ_too_much_ask_for_seeds_and_not_for_stays() -> None:
    none = dict.fromkeys(("combination", "against", "difference", "low", "high", "confirmed"))
    tables = study(**none, needed=None) | {}
    tables["sufficient"] = tables["sufficient"].with_columns(needs_seeds=pl.lit(True))
    told = enough(frame(tables, "sufficient"), "mortality", "supervised")
    assert told is not None and "differ too much from seed to seed for any number of stays" in told["sentence"]
    assert "cannot tell, nor could more of them: the models differ too much" in headline(tables, CONFIG)


def test_where_nothing_beats_no_modality_none_is_named() -> None:
    none = dict.fromkeys(("combination", "against", "difference", "low", "high", "confirmed"))
    tables = study(**none)
    tables["sufficient"] = tables["sufficient"].with_columns(none_needed=pl.lit(True))
    told = enough(frame(tables, "sufficient"), "mortality", "supervised")
    assert told is not None and told["sentence"].startswith("None is needed on validation (mortality")
    assert "None is needed" in page_of(tables)
    (row,) = sufficient(tables, CONFIG).rows()  # type: ignore[union-attr]
    assert "none is needed" in [text_of(cell["html"]) for cell in row["cells"]]


def test_what_is_best_on_validation_is_compared_with_the_next_best() -> None:
    tables = study(best="vitals+labs", against="vitals+labs+fluids")
    told = enough(frame(tables, "sufficient"), "mortality", "supervised")
    assert told is not None and "the next best on validation, vitals+labs+fluids (" in told["sentence"]
    assert "from the next best on validation (all kinds of data together) to it" in headline(tables, CONFIG)


def test_more_stays_than_a_hospital_has_are_not_counted() -> None:
    none = dict.fromkeys(("combination", "against", "difference", "low", "high", "confirmed"))
    for needed, words in (
        (100_000, "at least about 100 000"),
        (100_001, "more than 100 000"),
        (1_902_507, "more than 100 000"),
    ):
        tables = study(**none, needed=needed)
        told = enough(frame(tables, "sufficient"), "mortality", "supervised")
        (cell,) = [row["cells"][-1]["html"] for row in sufficient(tables, CONFIG).rows()]  # type: ignore[union-attr]
        assert told is not None
        assert f"cannot tell; {words} would be needed" in headline(tables, CONFIG).replace("\u202f", " ")
        assert f": {words} validation stays would be needed." in told["sentence"].replace("\u202f", " ")
        assert text_of(cell).replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("val", "test", "words"),
    [
        (99, 252, "Few events: 99 on validation. Cross-fitting"),
        (120, 14, "Few events: 14 on test, too few to be more than a hint. Cross-fitting"),
        (60, 70, "Few events: 60 on validation and 70 on test. Cross-fitting"),
    ],
)
def test_few_events_are_warned_of_with_the_way_out(val: int, test: int, words: str) -> None:
    tables = study(events_val=val, events_test=test)
    assert words in headline(tables, CONFIG)
    warning = screen(tables).few
    assert warning is not None
    assert "splits.kind: folds" in warning
    by_folds = screen(tables, {**CONFIG, "splits": {"kind": "folds", "folds": 5}}).few
    assert by_folds is not None
    assert "splits.kind" not in by_folds


def test_enough_events_give_no_warning() -> None:
    assert screen(study(events_val=100, events_test=100)).few is None


def page_of(tables: Tables, config: dict[str, Any] = CONFIG) -> str:
    text = page(Path("run"), tables, config, {})
    return text[text.index('<section class="chapter answer"') : text.index('id="studied"')]


def test_the_card_has_stays_events_prevalence_and_every_verdict_in_words() -> None:
    text = text_of(page_of(study())).replace("\u00a0", " ").replace("\u202f", " ")
    assert "1 800 stays, 252 events (14.0 %)" in text
    assert "900 stays, 120 events (13.3 %)" in text
    assert "nothing measurable above 0.3" in text
    assert "a model for each subset" in text
    assert "finetune.combinations: all" not in text


def test_no_modality_is_struck_through(tables: Tables, config: dict[str, Any]) -> None:
    for shown in (page_of(study()), page_of({**tables, "value": tables["value"].clear()}, config)):
        assert "<s>" not in shown
        assert "<s " not in shown


def test_without_predictions_of_every_subset_the_page_says_how_to_get_them() -> None:
    tables = {name: table for name, table in study().items() if name == "summary"}
    found = screen(tables)
    assert found.told is None
    shown = text_of(page_of(tables))
    assert "finetune.combinations: all" in shown
    assert "any_subset" in shown
    assert "Best on validation" in shown


def test_a_gain_is_never_told_against_a_weak_single_modality_alone() -> None:
    row = {"task": "mortality", "strategy": "supervised", "n_seeds": 3, "selected": False}
    cells = [
        {**row, "combination": "a+b", "auroc_mean": 0.80, "selected": True, "validation_auroc": 0.9},
        {**row, "combination": "a", "auroc_mean": 0.617, "validation_auroc": 0.8},
        {**row, "combination": "b", "auroc_mean": 0.742, "validation_auroc": 0.7},
        {**row, "combination": "b", "auroc_mean": 0.79, "validation_auroc": 0.6, "strategy": "random"},
    ]
    tables = {"summary": pl.DataFrame(cells)}
    text = headline(tables, {})
    assert "18.3 points more than the single kind of data best on validation (a, supervised)" in text
    assert "5.8 points more than the single kind of data best on test (b, supervised)" in text
    shown = text_of(page_of(tables, {}))
    assert "+18.3" in shown
    assert "+5.8" in shown


def test_a_single_modality_best_on_both_is_named_once() -> None:
    row = {"task": "mortality", "strategy": "supervised", "n_seeds": 3, "selected": False}
    cells = [
        {**row, "combination": "a+b", "auroc_mean": 0.80, "selected": True, "validation_auroc": 0.9},
        {**row, "combination": "a", "auroc_mean": 0.75, "validation_auroc": 0.8},
        {**row, "combination": "b", "auroc_mean": 0.70, "validation_auroc": 0.7},
    ]
    found = answer({"summary": pl.DataFrame(cells)}, "mortality", {})
    assert found is not None
    assert found.highest is None
    assert "the single kind of data best on validation and on test (a, supervised)" in headline(
        {"summary": pl.DataFrame(cells)}, {}
    )


def test_intervals_lie_on_the_axis_where_their_numbers_are() -> None:
    told = screen(study()).told
    assert told is not None
    line = axis(told)
    assert line.low < -0.01
    assert line.high > 0.32
    assert line.ticks == pytest.approx([0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30])
    assert line.digits == 0

    def share(place: str) -> float:
        return float(place.removesuffix("%")) / 100

    for row in (each.added for each in told.worth):
        low, high = (line.low + share(place) * (line.high - line.low) for place in line.ends(row))
        assert (low, high) == pytest.approx((row["low"], row["high"]), abs=1e-4)
    bare = {"value": 0.1, "low": None, "high": None}
    assert line.ends(bare) == (line.at(0.1), line.at(0.1))


def test_verdicts_are_those_of_the_table() -> None:
    told = screen(study()).told
    assert told is not None
    words = {one.name: text_of(verdict_text(one)) for one in told.worth}
    assert words == {"vitals": "adds", "fluids": "undecided", "labs": "nothing measurable above 0.3"}


def test_the_sign_of_a_pair_follows_its_interval() -> None:
    told = screen(study()).told
    assert told is not None
    signs = {pair: sign_of(row) for pair, row in told.pairs.items()}
    assert signs == {("vitals", "labs"): "minus", ("vitals", "fluids"): "neither", ("labs", "fluids"): "plus"}
    assert sign_of({"value": 0.1, "low": None, "high": None}) == "neither"


def test_value_against_cost_is_drawn_only_where_costs_were_given() -> None:
    same, given = study(), study(costs=(0.0, 3.0, 1.0))
    assert front(same, [screen(same).told]) is None  # type: ignore[list-item]
    plate = front(given, [screen(given).told])  # type: ignore[list-item]
    assert plate is not None
    (view,) = plate.views
    rest, best = view.spec["data"]
    assert list(zip(best["x"], best["y"], strict=True)) == [(0.0, 80.0), (3.0, 84.0), (4.0, 84.3)]
    assert list(zip(rest["x"], rest["y"], strict=True)) == [(3.0, 70.0)]
    assert "vitals (80.0 %, 78.0–82.0 for 0); vitals + labs (84.0 %, 82.0–86.0 for 3)" in text_of(view.reading).replace(
        "\u00a0", " "
    )


@pytest.mark.parametrize(("cost", "words"), [(3.0, "3"), (0.5, "0.5"), (12.125, "12.125"), (None, "–")])
def test_costs_have_the_decimals_that_they_need(cost: float | None, words: str) -> None:
    row = {**ABOUT, "combination": "vitals", "value": 0.8, "cost": cost}
    step = {**ABOUT, "step": 1, "added": "vitals", "gain": 0.1, "cost": cost}
    tables = {"lattice": pl.DataFrame([row]), "acquisition": pl.DataFrame([step])}
    for table in (lattice(tables, CONFIG), acquisition(tables, CONFIG)):
        assert table is not None
        column = [one.title.startswith("Cost") for one in table.columns].index(True)
        assert text_of(table.rows()[0]["cells"][column]["html"]) == words


def test_what_validation_chose_moves_below_where_value_is_told(tables: Tables, config: dict[str, Any]) -> None:
    small = fabricate.reduced(tables)
    whole = page(Path("run"), small, config, {})
    assert whole.index('id="chosen"') > whole.index('id="studied"')
    bare = page(Path("run"), {**small, "value": small["value"].clear()}, config, {})
    assert 'id="chosen"' not in bare
