"""The chapter on missing modalities: what its figures draw is the table's, for whatever part of the grid there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fabricate
import polars as pl
import pytest

from picme.report.figures.degradation import curves
from picme.report.figures.lattice import initials, lattice
from picme.report.figures.missing import grid
from picme.report.judgements import robustness
from picme.report.numbers import text_of

if TYPE_CHECKING:
    from picme.report.blocks import Choice, Plate

CONFIG = fabricate.config()
MODELS = ["any subset", "supervised", "supervised, dedicated", "gradient boosting", "late fusion", "presence only"]


def view(plate: Plate | None, *choice: str) -> Choice:
    assert plate is not None
    return next(one for one in plate.views if one.choice == choice)


def changed(table: pl.DataFrame, where: pl.Expr, **values: Any) -> dict[str, pl.DataFrame]:
    """The grid with some cells replaced."""
    return {
        "missing": table.with_columns(
            pl.when(where).then(pl.lit(value, table.schema[name])).otherwise(pl.col(name)).alias(name)
            for name, value in values.items()
        )
    }


def lines(found: Choice, panel: str = "x") -> dict[str, dict[str, Any]]:
    """The lines of one panel by name."""
    return {one["name"]: one for one in found.spec["data"] if "name" in one and one["xaxis"] == panel}


@pytest.fixture(scope="module")
def missing(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return tables["missing"]


@pytest.mark.parametrize(("metric", "title", "scale"), [("auroc", "AUROC", 100), ("brier", "Brier score", 1)])
def test_a_line_goes_through_the_values_of_its_mechanism_from_nothing_withheld(
    missing: pl.DataFrame, metric: str, title: str, scale: int
) -> None:
    found = view(curves({"missing": missing}, CONFIG), "Phenotyping", title)
    for panel, mechanism in (("x", "mcar"), ("x2", "mar"), ("x3", "mnar")):
        assert list(lines(found, panel)) == MODELS
        for name, strategy, trained_on in (
            ("any subset", "any_subset", "as is"),
            ("supervised, dedicated", "supervised", "dedicated"),
        ):
            rows = missing.filter(
                task="phenotyping", strategy=strategy, trained_on=trained_on, metric=metric
            ).rows_by_key("mechanism", named=True)
            expected = [*rows["natural"], *sorted(rows[mechanism], key=lambda row: row["rate"])]
            line = lines(found, panel)[name]
            assert line["x"] == [0, 20, 50, 80]
            assert line["y"] == [round(row["value"] * scale, 3) for row in expected]
            (band,) = [
                one
                for one in found.spec["data"]
                if "fill" in one and (one["legendgroup"], one["xaxis"]) == (line["name"], panel)
            ]
            assert band["x"] == [0, 20, 50, 80, 80, 50, 20, 0]
            ends = [row["low"] for row in expected] + [row["high"] for row in reversed(expected)]
            assert band["y"] == [round(value * scale, 3) for value in ends]
    assert lines(found)["supervised, dedicated"]["line"]["dash"] == "dash"
    assert lines(found)["supervised"]["line"]["dash"] == "solid"
    named = [one["name"] for one in found.spec["data"] if one["showlegend"]]
    assert named == MODELS, "each is in the legend once"


def test_there_is_no_band_where_there_is_no_interval(missing: pl.DataFrame) -> None:
    one = (pl.col("strategy") == "any_subset") & (pl.col("trained_on") == "as is") & (pl.col("rate") == 0.5)
    tables = changed(missing, one, low=None, high=None, no_interval="one <value>")
    found = view(curves(tables, CONFIG), "Mortality", "AUROC")
    bands = [t["x"] for t in found.spec["data"] if "fill" in t and t["legendgroup"] == "any subset"]
    assert bands == [[0, 20, 20, 0]] * 3, "a lone point at the end has no width"
    assert lines(found)["any subset"]["x"] == [0, 20, 50, 80]
    assert lines(found)["any subset"]["text"][2].endswith("no interval: one &lt;value&gt;")
    bare = {"missing": missing.with_columns(low=None, high=None)}
    assert not [t for t in view(curves(bare, CONFIG), "Mortality", "AUROC").spec["data"] if "fill" in t]


def test_one_mechanism_has_one_panel(missing: pl.DataFrame) -> None:
    only = missing.filter(~pl.col("mechanism").is_in(["mcar", "mnar"]))
    found = view(curves({"missing": only}, CONFIG), "Mortality", "AUROC")
    assert {one["xaxis"] for one in found.spec["data"]} == {"x"}
    layout = found.figure.layout
    assert layout.xaxis.domain == (0, 1)
    assert [note.text for note in layout.annotations] == ["More from stays that look<br>less severely ill (MAR)"]
    assert "under MAR (" in text_of(found.reading)
    assert "MNAR" not in text_of(found.reading)


def test_the_reading_names_the_strategy_that_loses_least(missing: pl.DataFrame) -> None:
    found = view(curves({"missing": missing}, CONFIG), "Mortality", "AUROC")
    at = {
        (row["strategy"], row["trained_on"], row["mechanism"], row["rate"]): row["value"]
        for row in missing.filter(task="mortality", metric="auroc").to_dicts()
    }
    for mechanism in ("mcar", "mar", "mnar"):
        falls = {
            (name, on): at[name, on, "natural", None] - at[name, on, mechanism, 0.8]
            for name, on in (("any_subset", "as is"), ("supervised", "as is"), ("supervised", "dedicated"))
        }
        name, on = min(falls, key=lambda key: falls[key])
        first, last = at[name, on, "natural", None], at[name, on, mechanism, 0.8]
        words = f"with {name.replace('_', ' ')}{', dedicated' * (on == 'dedicated')} under {mechanism.upper()}"
        assert f"{words} (from {first * 100:.1f} % to {last * 100:.1f} %)" in text_of(found.reading)
    # Less is better for a Brier score, and controls are counted where there is nothing else.
    worse = missing.filter(pl.col("strategy").is_in(["late_fusion", "presence_only"]))
    brier = text_of(view(curves({"missing": worse}, CONFIG), "Mortality", "Brier score").reading)
    assert "Brier score rises least with presence only under MCAR" in brier
    alone = missing.filter(strategy="supervised", trained_on="as is")
    single = view(curves({"missing": alone}, CONFIG), "Mortality", "AUROC")
    assert list(lines(single)) == ["supervised"]
    assert text_of(single.reading).count("with supervised under") == 3


def test_the_reading_says_where_presence_alone_is_above_chance(missing: pl.DataFrame) -> None:
    def said(**values: Any) -> str:
        tables = changed(missing, pl.col("strategy") == "presence_only", **values)
        return text_of(view(curves(tables, CONFIG), "Mortality", "AUROC").reading)

    row = missing.filter(
        task="mortality", strategy="presence_only", mechanism="mnar", rate=0.8, metric="auroc"
    ).to_dicts()[0]
    assert row["low"] > 0.5
    assert f"MNAR ({row['value'] * 100:.1f} %)." in said()
    assert "is not shown to tell more than chance" in said(low=0.5)
    assert "cannot be judged" in said(low=None)
    without = missing.filter(pl.col("strategy") != "presence_only")
    assert "chance" not in view(curves({"missing": without}, CONFIG), "Mortality", "AUROC").reading


def test_rows_of_the_grid_are_what_was_trained_on_and_columns_what_is_tested(missing: pl.DataFrame) -> None:
    gone = (pl.col("trained_on") == "0.5") & (pl.col("subset") == "+".join(fabricate.MODALITIES))
    plate = grid(changed(missing, gone, value=None), CONFIG)
    found = view(plate, "Mortality", "any subset", "MAR")
    (heat,) = found.spec["data"]
    assert heat["y"] == ["complete", "as is", "20 %", "50 %"]
    assert heat["x"] == ["complete", "as they are", "20 %", "50 %", "80 %"]
    rows = missing.filter(task="mortality", strategy="any_subset", metric="auroc").to_dicts()
    whole = "+".join(fabricate.MODALITIES)
    at = {
        (row["trained_on"], row["mechanism"], row["rate"]): row["value"]
        for row in rows
        if row["subset"] in (None, whole)
    }
    tested = [("subset", None), ("natural", None), ("mar", 0.2), ("mar", 0.5), ("mar", 0.8)]
    expected = [[round(at[on, *test] * 100, 2) for test in tested] for on in ("complete", "as is", "0.2", "0.5")]
    assert heat["z"][:3] == expected[:3]
    assert heat["z"][3] == [None, *expected[3][1:]]
    best = max(("complete", "as is", "0.2", "0.5"), key=lambda on: at[on, "mar", 0.8])
    words = f"trained on stays with {float(best) * 100:.0f} % withheld have the highest AUROC"
    assert words in text_of(found.reading)
    assert plate is not None
    assert {one.choice[1] for one in plate.views} == {"any subset"}, "the others have one row, dedicated models apart"
    assert {one.choice[2] for one in plate.views} == {"MCAR", "MAR", "MNAR"}


def test_an_edge_is_dashed_where_more_is_worse(tables: dict[str, pl.DataFrame]) -> None:
    found = view(lattice(tables, CONFIG), "Mortality", "supervised", "dedicated to each subset")
    rows = tables["missing"].filter(
        task="mortality", strategy="supervised", trained_on="dedicated", mechanism="subset", metric="auroc"
    )
    value = {frozenset(row["subset"].split("+")): row["value"] for row in rows.to_dicts()}
    *edges, nodes = found.spec["data"]
    place = {
        frozenset(text.partition("<br>")[0].split(" + ")): (x, y)
        for text, x, y in zip(nodes["customdata"], nodes["x"], nodes["y"], strict=True)
    }
    assert place.keys() == value.keys()
    assert len(set(place.values())) == 31
    assert all(place[one][1] == len(one) for one in place)
    colours = dict(zip(nodes["customdata"], nodes["marker"]["color"], strict=True))
    assert sorted(colours.values()) == sorted(round(number * 100, 2) for number in value.values())
    drawn = {}
    for edge in edges:
        x, y = edge["x"], edge["y"]
        drawn[edge["name"]] = {((x[i], y[i]), (x[i + 1], y[i + 1])) for i in range(0, len(x), 3)}
        assert ("dash" in edge["line"]) == (edge["name"] == "more is worse")
    steps = [(a, b) for a in value for b in value if a < b and len(b) == len(a) + 1]
    worse = {(place[a], place[b]) for a, b in steps if value[b] < value[a]}
    assert 0 < len(worse) < len(steps) == 75
    assert drawn == {
        "more is worse": worse,
        "more is not worse": {(place[a], place[b]) for a, b in steps} - worse,
    }
    share = tables["robustness"].filter(
        task="mortality", strategy="supervised", trained_on="dedicated", metric="auroc"
    )["more_is_worse"][0]
    assert f"Of 75 steps to one modality more, {round(share * 75)} make it worse" in text_of(found.reading)


def test_an_undefined_subset_is_hollow_and_joins_nothing(missing: pl.DataFrame) -> None:
    found = view(lattice({"missing": missing}, CONFIG), "Mortality", "late fusion", "of all modalities")
    hollow = found.spec["data"][-1]
    assert hollow["customdata"] == ["demographics<br>undefined: fewer than two values"]
    assert hollow["text"] == ["E<br>–"]
    assert sum(edge["x"].count(None) for edge in found.spec["data"][:-2]) == 75 - 4


def test_a_strategy_that_is_blind_to_the_modalities_has_no_lattice(missing: pl.DataFrame) -> None:
    plate = lattice({"missing": missing}, CONFIG)
    assert plate is not None
    assert "presence only" not in {one.choice[1] for one in plate.views}
    assert {one.choice[2] for one in plate.views if one.choice[1] == "any subset"} == {"of all modalities"}


def test_many_modalities_have_small_squares_without_text(missing: pl.DataFrame) -> None:
    labelled = lattice({"missing": missing}, CONFIG)
    assert labelled is not None
    assert "D: discharge, R: radiology, I: image, T: timeseries, E: demographics" in labelled.note
    names = ["".join(("m", sign)) for sign in "abcdef"]
    row = missing.filter(mechanism="subset", metric="auroc", strategy="any_subset", trained_on="as is").head(1)
    rows = [row.with_columns(subset=pl.lit(name), value=0.6 + index / 50) for index, name in enumerate(names)]
    plate = lattice({"missing": pl.concat(rows)}, {})
    assert plate is not None
    found = view(plate, "Mortality", "any subset", "of all modalities")
    (nodes,) = found.spec["data"]
    assert nodes["mode"] == "markers"
    assert "Letters" not in plate.note
    assert nodes["marker"]["size"] < 20


def test_initials_differ() -> None:
    assert initials(["discharge", "radiology", "demographics", "image"]) == dict(
        zip(("discharge", "radiology", "demographics", "image"), "DREI", strict=True)
    )
    assert initials(["a", "aa", "b2"]) == {"a": "A", "aa": "2", "b2": "B"}


def test_the_table_has_a_row_for_each_model_and_metric(tables: dict[str, pl.DataFrame]) -> None:
    made = robustness(tables, CONFIG)
    assert made is not None
    source = tables["robustness"]
    assert made.frame.height == source.select("task", "strategy", "trained_on", "metric").n_unique()
    titles = [column.title for column in made.columns]
    assert titles[4:] == ["Worst subset", "Mean under MCAR", "Mean under MAR", "Mean under MNAR", "More is worse"]
    for row, cells in zip(source.to_dicts(), made.rows(), strict=True):
        shown = [text_of(str(cell["html"])) for cell in cells["cells"]]
        area, low, high = row["area_mar"], row["area_mar_low"], row["area_mar_high"]
        if row["metric"] == "auroc":
            assert shown[6] == f"{area * 100:.1f} % ({low * 100:.1f}–{high * 100:.1f})"
        else:
            assert shown[6] == f"{area:.3f} ({low:.3f}–{high:.3f})"
        assert shown[4].endswith(row["worst_subset"].replace("+", " + "))
        assert shown[8] == f"{row['more_is_worse'] * 100:.1f} %"
    worst = source.filter(
        pl.col("strategy").is_in(["any_subset", "supervised"]), task="mortality", metric="auroc"
    ).sort("worst")
    assert f"{worst['worst'][-1] * 100:.1f} % on {worst['worst_subset'][-1]}" in text_of(made.reading)


def test_a_measure_that_was_not_made_has_no_column_and_one_that_lacks_a_dash(tables: dict[str, pl.DataFrame]) -> None:
    none = pl.lit(None, pl.Float64)
    few = tables["robustness"].with_columns(
        none.alias("area_mar"),
        none.alias("area_mnar"),
        none.alias("more_is_worse"),
        area=pl.when(pl.col("strategy") != "any_subset").then("area"),
    )
    made = robustness({"robustness": few}, CONFIG)
    assert made is not None
    assert [column.title for column in made.columns][4:] == ["Worst subset", "Mean under MCAR"]
    last = {row["strategy"]: cells["cells"][-1] for row, cells in zip(made.frame.to_dicts(), made.rows(), strict=True)}
    assert text_of(str(last["any_subset"]["html"])) == "–"
    assert last["any_subset"]["sort"] == ""
    assert text_of(str(last["supervised"]["html"])) != "–"


@pytest.mark.parametrize("make", [curves, grid, lattice, robustness])
def test_nothing_is_drawn_of_nothing(make: Any, tables: dict[str, pl.DataFrame]) -> None:
    assert make({}, CONFIG) is None
    empty = {name: tables[name].clear() for name in ("missing", "robustness")}
    assert make(empty, CONFIG) is None
    undefined = {"missing": tables["missing"].with_columns(value=None)}
    assert make(undefined, CONFIG) is None


def test_a_part_of_the_grid_draws_its_own_figures_only(missing: pl.DataFrame) -> None:
    subsets = {"missing": missing.filter(mechanism="subset")}
    assert curves(subsets, CONFIG) is None
    assert grid(subsets, CONFIG) is None
    assert lattice(subsets, CONFIG) is not None
    rates = {
        "missing": missing.filter((pl.col("mechanism") == "mcar") & pl.col("trained_on").is_in(["as is", "dedicated"]))
    }
    assert grid(rates, CONFIG) is None
    assert lattice(rates, CONFIG) is None
    found = view(curves(rates, CONFIG), "Mortality", "AUROC")
    assert lines(found)["any subset"]["x"] == [20, 50, 80]
    assert "No strategy has its AUROC both" in found.reading
