"""The page: every number is the tables', everything is escaped, nothing is loaded from elsewhere."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, Any

import fabricate
import pages
import polars as pl
import pytest

from picme.report.build import MOST_BYTES, build, commands, page, plates
from picme.report.export import as_json
from picme.report.numbers import text_of
from picme.results.latex import escape
from picme.results.tables import TABLES

if TYPE_CHECKING:
    from pathlib import Path

ATTACKS = (
    "<script>alert(1)</script>", "{{7*7}}", "../../x", "=cmd()", "<img src=x onerror=alert(1)>", "a\"'b",
    r"\input{/etc/passwd}", "@SUM(A1)",
)  # fmt: skip


@pytest.fixture(scope="module")
def read(report: Path) -> pages.Page:
    return pages.read(report)


def test_every_number_in_the_text_is_in_its_table(read: pages.Page, tables: dict[str, pl.DataFrame]) -> None:
    assert pages.check_numbers(read, tables) > 2000


def test_every_row_of_a_table_shows_the_numbers_of_its_row(read: pages.Page, tables: dict[str, pl.DataFrame]) -> None:
    assert set(read.payload["tables"]) == set(pages.SHOWN), "a new table needs its source here"
    assert pages.check_rows(read, tables) > 500
    for key, name in (("every-cell", "summary"), ("fairness", "fairness"), ("label-agreement", "label_agreement")):
        assert len(read.rows[key]) == tables[name].height


def test_every_result_table_is_on_the_page(read: pages.Page, tables: dict[str, pl.DataFrame]) -> None:
    declared = {name for name, table in TABLES.items() if not table.per_stay}
    assert set(tables) == declared, "the fabricated study has every table"
    assert pages.tables_shown(read) == declared


def test_the_checks_of_numbers_can_fail(read: pages.Page, tables: dict[str, pl.DataFrame]) -> None:
    swapped = tables["summary"].with_columns(auroc_mean=pl.col("auroc_mean").reverse())
    with pytest.raises(AssertionError, match="table-1"):
        pages.check_rows(read, {**tables, "summary": swapped})
    with pytest.raises(AssertionError, match="summary"):
        pages.check_numbers(read, {**tables, "summary": tables["summary"].with_columns(auroc_mean=0.123)})


def test_every_number_in_a_figure_is_in_its_csv_and_every_csv_in_the_tables(
    read: pages.Page, tables: dict[str, pl.DataFrame]
) -> None:
    every = set().union(*pages.columns_of(tables).values())
    places = pages.columns_of({"tsne": tables["tsne"]})
    rounded = {round(value, 2) for value in places["tsne.x"] | places["tsne.y"]}
    for key, plate in read.payload["plates"].items():
        for view in plate["views"]:
            rows = list(csv.DictReader(io.StringIO(view["csv"])))
            cells = {float(text) for row in rows for text in row.values() if _is_number(text)}
            assert cells <= (every | rounded), key
            cells |= {round(value * scale, digits) for value in cells for scale in (1, 100) for digits in (2, 3, 4)}
            for trace in view["data"]:
                if trace.get("name") and not str(trace["name"]).startswith("paper"):
                    _check_trace(key, trace, cells)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_trace(key: str, trace: dict[str, Any], allowed: set[float]) -> None:
    """Values of a trace are cells, as they are or in percent; the other axis of a row plot is a place, not a value,
    as both axes of the lattice are."""
    rows = (
        "alignment",
        "modality-gap",
        "combinations",
        "seeds",
        "subgroups",
        "labels",
        "phenotype-types",
        "attribution",
    )
    axes = () if key == "lattice" else ("x",) if key in (*rows, "runtimes") else ("x", "y")
    for axis in axes:
        for value in trace.get(axis, []):
            assert value is None or not isinstance(value, float) or value in allowed, (key, trace["name"], axis, value)


def test_the_axes_of_moving_figures_are_in_the_csv_too(read: pages.Page) -> None:
    for view in read.payload["plates"]["tsne"]["views"]:
        rows = list(csv.DictReader(io.StringIO(view["csv"])))
        known = {(float(row["x"]), float(row["y"])) for row in rows}
        drawn = {
            pair for frame in view["frames"] for trace in frame for pair in zip(trace["x"], trace["y"], strict=True)
        }
        assert drawn == known
        epochs = sorted({int(row["epoch"]) for row in rows})
        assert view["names"] == [f"Epoch {epoch}" if epoch >= 0 else "Before training" for epoch in epochs]


def test_the_frame_before_training_is_called_that(tables: dict[str, pl.DataFrame], config: dict[str, Any]) -> None:
    early = tables["tsne"].with_columns(pl.col("epoch").replace({0: -1}))
    view = plates({**tables, "tsne": early}, config)["tsne"].views[0]
    assert view.frames[:2] == ("Before training", "Epoch 2")
    assert "from before training to epoch 11" in view.reading.striptags()


def test_words_outside_the_numbers_hold_no_result(read: pages.Page, tables: dict[str, pl.DataFrame]) -> None:
    """What is left of the text when marked numbers and names from the tables are taken out: only fixed phrases."""
    words = read.words.partition("How it was made Every number")[0]
    names = {
        str(value)
        for table in tables.values()
        for column in table.select(pl.selectors.string()).columns
        for value in table[column].drop_nulls().unique()
    }
    for name in sorted(names, key=len, reverse=True):
        if any(sign.isdigit() for sign in name):
            words = words.replace(name, "").replace(name.replace("_", " "), "")
    fixed = ("95 %", "50 %", "30 %", "100 %", "per 100 stays", "recall@5", "Table 1", "48 h", "2, 3, 4, 5", "Brier")
    plain = words.replace("\u00a0", " ")
    for phrase in fixed:
        plain = plain.replace(phrase, "")
    settings = {"18", "3", "1", "5", "10"}  # the study's rules (youngest age, seeds) and the lists of k and sizes
    left = [number for number in re.findall(r"\d+(?:\.\d+)?", plain) if number not in settings | {"2", "4", "9"}]
    assert left == []


def test_derived_numbers_follow_from_the_tables(read: pages.Page, tables: dict[str, pl.DataFrame]) -> None:
    flow = tables["cohort_flow"]
    lost = {
        float(a - b)
        for task in ("mortality", "phenotyping")
        for a, b in zip(*(flow.filter(pl.col("task") == task)["stays"].to_list()[i:][:3] for i in (0, 1)), strict=False)
    }
    shown = {float(raw) for origin, raw, _ in read.numbers if origin == "derived:cohort_flow"}
    assert shown
    assert shown <= lost
    shares = {row["stays_present"] / row["stays_total"] for row in tables["availability"].iter_rows(named=True)}
    shown = {float(raw) for origin, raw, _ in read.numbers if origin == "derived:availability"}
    assert shown == shares | {290 / 300, 289 / 300}
    assert {float(raw) for origin, raw, _ in read.numbers if origin == "availability.cut_share"} == {0.25, 0.375}


def test_published_figures_stand_beside_the_same_cell_only(read: pages.Page) -> None:
    from picme.report.paper import score_of_paper, types_of_paper

    found = score_of_paper("demographics+discharge", "contrastive", "mortality", "auroc")
    assert found is not None
    assert (found.mean, found.std) == (64.29, 0.91)
    assert score_of_paper("discharge+demographics", "random", "mortality", "auroc") is None
    five = "discharge+radiology+image+timeseries+demographics"
    assert types_of_paper(five, "gated")["acute"].mean == 71.3
    assert types_of_paper("discharge+radiology", "gated") == {}
    assert {float(raw) for origin, raw, _ in read.numbers if origin == "paper.table1"} >= {64.29, 0.91}


def test_alignment_and_run_times_of_the_paper_stand_beside_ours(
    tables: dict[str, pl.DataFrame], config: dict[str, Any], read: pages.Page
) -> None:
    views = {view.choice: view for view in plates(tables, config)["alignment"].views}

    def published(choice: tuple[str, str]) -> list[dict[str, Any]]:
        return [trace for trace in views[choice].spec["data"] if trace.get("name") == "paper"]

    batch = published(("Retrieval within batches of training size", "5"))
    assert sorted(batch[0]["x"]) == [40.0, 45.0]
    bars = next(t for t in views["Retrieval within batches of training size", "5"].spec["data"] if t["type"] == "bar")
    rows = [bars["hovertext"][bars["y"].index(place)].partition("<br>")[0] for place in batch[0]["y"]]
    assert {name.count("+") for name in rows} == {1, 2}
    assert all("discharge" in name and "radiology" in name for name in rows)
    assert not published(("Retrieval of a stay’s other modality", "5"))
    hidden = plates(tables, {**config, "report": {"paper": False}})["alignment"]
    assert all(trace.get("name") != "paper" for view in hidden.views for trace in view.spec["data"])
    # Both ends of a range are shown.
    assert [float(raw) for origin, raw, _ in read.numbers if origin == "paper.times"] == [3, 2.2, 6.5, 4.5, 3, 10, 2, 3]
    runs = tables["runtimes"].filter(pl.col("combination").str.count_matches(r"\+") == 2, pl.col("strategy") == "gated")
    gated = runs.filter(pl.col("task") == "mortality")["seconds"].mean()
    assert gated in {float(raw) for origin, raw, _ in read.numbers if origin == "derived:runtimes"}


def test_every_figure_is_a_valid_plotly_figure(tables: dict[str, pl.DataFrame], config: dict[str, Any]) -> None:
    made = plates(tables, config)
    assert set(made) == {
        "alignment", "modality-gap", "pairs", "tsne", "lambda", "attribution", "combinations", "subgroups",
        "phenotype-types", "labels", "calibration", "pretraining", "finetuning", "seeds", "label-efficiency", "search",
        "runtimes", "withheld", "trained-tested", "lattice", "decision-curve",
    }  # fmt: skip
    for plate in made.values():
        for view in plate.views[:2]:
            assert len(view.figure.data) == len(view.spec["data"])
            assert view.reading
            assert not view.data.is_empty()
            assert len(view.choice) == len(plate.choices)


def test_what_is_suppressed_is_nowhere_on_the_page(tables: dict[str, pl.DataFrame], config: dict[str, Any]) -> None:
    secret = 7777.25
    leaky = tables["subgroups"].with_columns(
        pl.when("suppressed").then(pl.lit(secret)).otherwise(pl.col(name)).alias(name)
        for name in ("n_stays", "n_subjects", "positives", "auroc", "low", "high", "gap", "gap_low", "gap_high")
    )
    made = plates({**tables, "subgroups": leaky}, config)["subgroups"]
    text = as_json(made.payload())
    assert "7777.25" not in text
    assert "777725" not in text
    assert "suppressed" in text


def test_gaps_are_told_with_their_intervals_or_the_reason(
    tables: dict[str, pl.DataFrame], config: dict[str, Any]
) -> None:
    (view, *_) = plates(tables, config)["subgroups"].views
    worse = view.data.filter(pl.col("gap_low") > 0)
    assert 0 < worse.height < view.data["gap"].count()
    assert f"{view.data['gap'].count()} gaps to all other stays, {worse.height} above zero" in text_of(view.reading)
    assert "6.0 points (" in text_of(view.reading)
    none = tables["subgroups"].with_columns(
        gap=None, gap_low=None, gap_high=None, gap_no_interval=pl.lit("fewer than 10 other stays")
    )
    (view, *_) = plates({**tables, "subgroups": none}, config)["subgroups"].views
    assert "No gap to all other stays can be judged" in view.reading
    assert "no gap: fewer than 10 other stays" in str(view.spec)


def test_nothing_is_loaded_from_elsewhere_and_the_page_is_small(report: Path, read: pages.Page) -> None:
    assert report.stat().st_size < 9e6
    for tag, given in read.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "action", "data"):
            address = given.get(name)
            assert address is None or address.startswith("#"), (tag, name, address)
        assert not [name for name in given if name.startswith("on")]
    policy = next(given["content"] for tag, given in read.tags if given.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


def test_lambda_is_never_called_importance(read: pages.Page) -> None:
    everything = read.words + as_json(read.payload)
    assert not re.search(r"(clinical|modality|feature)\s+importance", everything, flags=re.IGNORECASE)


@pytest.fixture(scope="module")
def small(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return fabricate.reduced(tables)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_missing_table_costs_its_section_only(
    name: str, small: dict[str, pl.DataFrame], config: dict[str, Any], tmp_path: Path
) -> None:
    text = page(tmp_path, {key: table for key, table in small.items() if key != name}, config, {})
    assert '<h2 id="answer-heading">' in text
    assert '<h2 id="made-heading">' in text


def test_empty_tables_say_so(small: dict[str, pl.DataFrame], config: dict[str, Any], tmp_path: Path) -> None:
    text = page(tmp_path, {key: table.clear() for key, table in small.items()}, config, {})
    assert "The study has no defined score" in text
    assert "No cohort flow was recorded" in text


def test_no_tables_at_all(tmp_path: Path) -> None:
    made = build(tmp_path, {}, {}, {}, tmp_path / "deep" / "report.html")
    assert "The study has no defined score" in pages.read(made).words


def test_nulls_in_every_column_do_not_stop_the_report(
    small: dict[str, pl.DataFrame], config: dict[str, Any], tmp_path: Path
) -> None:
    names = ("task", "combination", "strategy", "modality", "metric", "label", "split", "epoch", "seed", "method", "k")
    hollow = {
        key: table.head(200).with_columns(
            pl.lit(None).cast(kind).alias(name) for name, kind in table.schema.items() if name not in names
        )
        for key, table in small.items()
    }
    text = page(tmp_path, hollow, config, {})
    assert "nan" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL).lower().split()


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_strings_are_harmless(
    attack: str, small: dict[str, pl.DataFrame], config: dict[str, Any], tmp_path: Path
) -> None:
    hostile = {key: _hostile(table, attack) for key, table in small.items()}
    settings = {**config, "name": attack, "modalities": {attack: {}}, "source": {"kind": attack}}
    out = build(tmp_path, hostile, settings, {"picme": attack, attack: [attack]}, tmp_path / "report.html")
    found = pages.read(out)
    source = out.read_text(encoding="utf-8")
    visible = source[: source.index('id="payload"')]
    assert attack in found.words or attack.replace("+", " + ") in found.words
    assert "<script>alert" not in source
    assert "<img" not in visible
    assert " 49 " not in visible.replace("{{7*7}}", "")
    downloads = [view["csv"] for plate in found.payload["plates"].values() for view in plate["views"]]
    downloads += [given["csv"] for given in found.payload["tables"].values()]
    for text in downloads:
        assert not [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in "=@" and cell]
    printed = "".join(
        text
        for given in found.payload["tables"].values()
        for part in given["latex"]
        for text in (part["head"], *part["rows"])
    )
    assert escape(attack) in printed
    assert r"\input" not in printed
    assert [tag for tag, _ in found.tags].count("script") == 3
    assert not [tag for tag, given in found.tags if any(name.startswith("on") for name in given)]


def _hostile(table: pl.DataFrame, attack: str) -> pl.DataFrame:
    """Names and texts replaced, one column added whose name is the attack."""
    changed = [
        pl.when(pl.col(name) == table[name].drop_nulls()[0]).then(pl.lit(attack)).otherwise(pl.col(name)).alias(name)
        for name, kind in table.schema.items()
        if kind == pl.String and name not in ("metric", "split", "method") and table[name].drop_nulls().len()
    ]
    return table.with_columns(*changed, pl.lit(1.5).alias(attack))


def test_the_figures_are_kept_within_bounds(
    tables: dict[str, pl.DataFrame], config: dict[str, Any], tmp_path: Path
) -> None:
    many = pl.concat([tables["scores"].with_columns(seed=pl.col("seed") + 3 * index) for index in range(6)])
    out = build(tmp_path, {**tables, "scores": many}, config, {}, tmp_path / "report.html")
    found = pages.read(out)
    assert sum(len(as_json(plate).encode()) for plate in found.payload["plates"].values()) < MOST_BYTES * 1.02
    assert "left out; their numbers are in the tables" in found.words
    assert out.stat().st_size < 9e6


def test_the_same_tables_give_the_same_page(
    small: dict[str, pl.DataFrame], config: dict[str, Any], tmp_path: Path
) -> None:
    assert page(tmp_path, small, config, {}) == page(tmp_path, small, config, {})


def test_the_commands_install_what_ran_and_the_weights_it_read(tmp_path: Path) -> None:
    said = {"installed": "git+file:///a%20b@c0", "command": "picme run x.yaml", "git_changes": True}
    config = {"modalities": {"image": {"encoder": {"weights": "package:some_model"}}}}
    lines = commands(tmp_path / "mine", said, config)
    assert lines == [
        "# as it was run: picme run x.yaml",
        "# picme's checkout had changes that its commit lacks",
        "pip install git+file:///a%20b@c0 some-model",
        "picme run mine/config.yaml --out mine-again",
    ]
    assert not [line for line in commands(tmp_path, {"picme": "0.1.0"}, {}) if line.startswith("pip")], (
        "a version alone says not where it can be had"
    )
