"""Splits by time and by group: no subject in two splits, nothing lost in silence, the order of time kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from picme.cohort.by_column import cut, divide
from picme.cohort.leakage import subjects_across_splits, violations
from picme.cohort.splits import assign, assign_views
from picme.config.loading import validate
from picme.config.splits import SplitsConfig
from picme.errors import ConfigError, DataError, PicmeError
from picme.pipeline import run

if TYPE_CHECKING:
    from pathlib import Path

    from picme.plan import Run

ORDER = {"train": 0, "val": 1, "test": 2}
VISITS = st.lists(st.tuples(st.integers(1, 25), st.one_of(st.none(), st.integers(2008, 2022))), min_size=4, max_size=60)


def frame(visits: list[tuple[int, Any]]) -> pl.DataFrame:
    rows = [{"stay_id": number, "subject_id": subject, "when": value} for number, (subject, value) in enumerate(visits)]
    return pl.DataFrame(rows, infer_schema_length=None)


def divided(visits: list[tuple[int, Any]], **keys: Any) -> pl.DataFrame:
    stays = frame(visits)
    division = divide(stays, SplitsConfig(column="when", **keys))
    assert division.stays["stay_id"].to_list() == stays["stay_id"].to_list()
    assert division.stays.filter(pl.col("left").is_not_null())["left"].is_in(division.reasons).all()
    return stays.join(division.stays, on="stay_id")


def no_subject_twice_and_all_counted(found: pl.DataFrame) -> None:
    inside = found.filter(pl.col("split").is_not_null())
    assert inside.group_by("subject_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert (found["split"].is_null() == found["left"].is_not_null()).all()
    assert not violations(subjects_across_splits({"one": found}))


@given(VISITS, st.integers(0, 5))
def test_time_keeps_order_and_subjects(visits: list[tuple[int, int | None]], seed: int) -> None:
    try:
        found = divided(visits, kind="time", seed=seed)
    except DataError:
        return
    no_subject_twice_and_all_counted(found)
    inside = found.filter(pl.col("split").is_not_null())
    last = {name: inside.filter(pl.col("split") == name)["when"].max() for name in ORDER}
    first = {name: inside.filter(pl.col("split") == name)["when"].min() for name in ORDER}
    assert max(last["train"], last["val"]) < first["test"]  # type: ignore[type-var, operator]
    if found["when"].drop_nulls().n_unique() > 2:
        assert last["train"] < first["val"]  # type: ignore[operator]
    # The test period is whole: whoever has a stay in it is in test with that stay.
    assert (found.filter(pl.col("when") >= first["test"])["split"] == "test").all()


@given(VISITS, st.integers(0, 5))
def test_groups_keep_subjects(visits: list[tuple[int, int | None]], seed: int) -> None:
    try:
        found = divided(visits, kind="group", seed=seed)
    except DataError:
        return
    no_subject_twice_and_all_counted(found)
    inside = found.filter(pl.col("split").is_not_null())
    groups = inside.group_by("when").agg(pl.col("split").unique())["split"].to_list()
    assert all("test" not in each or len(each) == 1 for each in groups)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=12))
def test_a_cut_leaves_no_part_empty(sizes: list[int]) -> None:
    validation, test = cut(sizes, 0.7, 0.1)
    assert 0 < validation < test < len(sizes)


def test_a_cut_is_as_near_to_the_shares_as_it_can() -> None:
    assert cut([10] * 10, 0.7, 0.1) == (7, 8)
    assert cut([30, 25, 25, 20], 0.6, 0.2) == (2, 3)


def test_the_latest_stay_decides_and_the_earlier_ones_leave() -> None:
    visits = [(1, "2008 - 2010"), (1, "2017-2019"), (2, "2008 - 2010"), (3, "2014 - 2016"), (4, None), (2, None)]
    found = divided(visits, kind="time")
    assert found["split"].to_list() == [None, "test", "train", "val", None, None]
    assert found["left"].to_list() == [
        "no stay of the subject in a later split", None, None, None, "with a value in when", "with a value in when",
    ]  # fmt: skip


def test_stays_of_one_split_stay_together_over_periods() -> None:
    visits = [(1, 2001), (1, 2002), (2, 2003), (3, 2004), (3, 2005)]
    found = divided(visits, kind="time", test_from="2004", val_from=2003)
    assert found["split"].to_list() == ["train", "train", "val", "test", "test"]


def test_two_periods_draw_validation_from_the_earlier() -> None:
    found = divided([(n, "2011 - 2013" if n < 300 else "2014 - 2016") for n in range(400)], kind="time")
    counts = dict(found["split"].value_counts().iter_rows())
    assert counts["test"] == 100
    assert counts["val"] / 300 == pytest.approx(0.125, abs=0.05)


@pytest.mark.parametrize("typed", [False, True])
def test_dates_of_own_tables(typed: bool) -> None:
    visits = [(n, f"2019-{1 + n // 28:02d}-{1 + n % 28:02d}") for n in range(280)]
    stays = frame(visits)
    if typed:
        stays = stays.with_columns(pl.col("when").str.to_date())
    config = SplitsConfig(kind="time", column="when", test_from="2019-09-01", val_from="2019-08-01")
    found = stays.with_columns(assign(stays, config, pretraining=False))
    assert found.filter(pl.col("split") == "test")["when"].cast(pl.String).min() == "2019-09-01"
    assert found.filter(pl.col("split") == "val")["when"].cast(pl.String).min() == "2019-08-01"
    shares = stays.with_columns(assign(stays, SplitsConfig(kind="time", column="when"), pretraining=False))
    assert dict(shares["split"].value_counts().iter_rows()) == {"train": 196, "val": 28, "test": 56}


def test_named_groups_and_whoever_lies_in_two_splits() -> None:
    visits = [(1, "A"), (2, "B"), (3, "C"), (4, "A"), (4, "C"), (5, "A"), (5, "D"), (6, "")]
    found = divided(visits, kind="group", test_groups=["C"], val_groups=["B"])
    assert found["split"].to_list() == ["train", "val", "test", None, None, "train", "train", None]
    assert found.filter(pl.col("subject_id") == 4)["left"].unique().to_list() == ["subject in groups of one split only"]


def test_validation_within_the_other_hospitals() -> None:
    found = divided([(n, n % 4) for n in range(800)], kind="group", test_groups=[3])
    assert set(found.filter(pl.col("when") == 3)["split"]) == {"test"}
    rest = found.filter(pl.col("when") != 3)["split"]
    assert (rest == "val").mean() == pytest.approx(0.125, abs=0.04)


def test_drawn_groups_are_whole_and_follow_the_seed() -> None:
    visits = [(n, f"unit {n % 10}") for n in range(500)]
    found = divided(visits, kind="group")
    assert found.group_by("when").agg(pl.col("split").n_unique())["split"].max() == 1
    assert dict(found["split"].value_counts().iter_rows()) == {"train": 350, "val": 50, "test": 100}
    assert found["split"].equals(divided(visits, kind="group")["split"])
    assert any(not found["split"].equals(divided(visits, kind="group", seed=seed)["split"]) for seed in (1, 2, 3))


def test_all_views_are_divided_at_once() -> None:
    every = frame([(1, 2001), (1, 2005), (2, 2003), (3, 2001), (4, 2005)])
    task = every.filter(pl.col("stay_id") != 1)
    config = SplitsConfig(kind="time", column="when")
    division = assign_views({"task": task, "pretrain": every}, config)
    found = division.stays.filter(pl.col("view") == "task")
    # The subject is in test for pretraining, so the one stay that the task has of it must not train.
    assert found["split"].to_list() == [None, "val", "train", "test"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"kind": "group", "test_groups": ["Northh"]}, "no stay is in a group 'Northh'; did you mean 'North'"),
        ({"kind": "time"}, "30 of 30 stays have no time in column 'when'"),
        ({"kind": "group", "column": "wenn"}, "no column 'wenn'; did you mean 'when'"),
        ({"kind": "group", "test_groups": ["North", "South"]}, "leave no subject in train"),
    ],
)
def test_mistakes_are_one_sentence(keys: dict[str, Any], words: str) -> None:
    stays = frame([(n, "North" if n % 2 else "South") for n in range(30)])
    with pytest.raises(DataError, match=words):
        divide(stays, SplitsConfig(**{"column": "when", **keys}))


def test_a_period_that_is_none_is_one_sentence_with_the_nearest() -> None:
    stays = frame([(n, f"20{8 + 3 * (n % 4):02d} - 20{10 + 3 * (n % 4):02d}") for n in range(80)])
    config = SplitsConfig(kind="time", column="when", test_from="2071 - 2019")
    with pytest.raises(DataError, match="no stay lies at or after '2071 - 2019'; did you mean '2017 - 2019'"):
        divide(stays, config)
    with pytest.raises(ConfigError, match="'soon' is no time"):
        divide(stays, SplitsConfig(kind="time", column="when", test_from="soon"))


def test_values_of_few_subjects_are_not_quoted() -> None:
    stays = frame([(n, "North" if n % 2 else "South") for n in range(30)] + [(99, "Ward of Mr Smith")])
    with pytest.raises(DataError) as error:
        divide(stays, SplitsConfig(kind="group", column="when", test_groups=("Ward of Mr Smit",)))
    assert "Smith" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"kind": "group"}, "needs column"),
        ({"column": "site"}, "column is for kind 'time' or 'group'"),
        ({"kind": "time", "test_groups": ["A"]}, "test_groups is for kind 'group'"),
        ({"kind": "group", "column": "site", "val_groups": ["A"]}, "val_groups needs test_groups"),
        ({"kind": "group", "column": "site", "val_groups": ["A"], "test_groups": ["A"]}, "in test_groups and in val"),
        ({"kind": "time", "val_from": 2019}, "val_from needs test_from"),
        ({"kind": "time", "train": 0.9, "val": 0.1}, "must add up to less than 1"),
    ],
)
def test_contradictions_in_the_configuration(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SplitsConfig(**keys)


def prepared(config: dict[str, Any], folder: Path) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Prepare a study; check what every division must keep to."""
    study: Run = run(validate(config), folder, until="prepare", quiet=True)
    views = study.prepared / "views"
    cohorts = {view.name: pl.read_parquet(view / "cohort.parquet") for view in views.iterdir()}
    assert not violations(subjects_across_splits(cohorts))
    flow = pl.read_parquet(study.prepared / "cohort_flow.parquet")
    for name, cohort in cohorts.items():
        assert flow.filter(pl.col("task") == name)["stays"][-1] == cohort["split"].is_not_null().sum()
    return cohorts, flow


def own(folder: Path, **splits: Any) -> dict[str, Any]:
    """Own data: 120 visits of 60 subjects, in three sites, over twelve months."""
    numbers = list(range(120))
    pl.DataFrame(
        {
            "id": numbers,
            "who": [n % 60 for n in numbers],
            "site": ["ABC"[n % 60 % 3 if n % 20 else (n + n // 60) % 3] for n in numbers],
            "day": [f"2020-{1 + n // 10:02d}-15" for n in numbers],
            "x": [float(n) for n in numbers],
            "died": [n * 7 % 3 == 0 for n in numbers],
        }
    ).write_csv(folder / "stays.csv")
    return {
        "source": {"kind": "table", "path": str(folder / "stays.csv"), "id": "id", "subject": "who"},
        "modalities": {"a": {"kind": "tabular", "columns": ["x"]}, "b": {"kind": "tabular"}},
        "tasks": {"died": {}},
        "splits": splits,
    }


def test_own_tables_by_a_date_and_by_site(tmp_path: Path) -> None:
    config = own(tmp_path, kind="time", column="day", test_from="2020-11-01", val_from="2020-09-01")
    config["modalities"]["b"]["columns"] = ["site"]
    cohorts, flow = prepared(config, tmp_path / "time")
    inside = cohorts["died"].filter(pl.col("split").is_not_null())
    assert inside.filter(pl.col("split") == "test")["day"].min() == "2020-11-15"
    assert inside.filter(pl.col("split") == "train")["day"].max() < "2020-09-01"  # type: ignore[operator]
    assert "no stay of the subject in a later split" in flow["step"].to_list()
    config = own(tmp_path, kind="group", column="site", test_groups=["C"])
    config["modalities"]["b"]["columns"] = ["day"]
    cohorts, flow = prepared(config, tmp_path / "group")
    assert (cohorts["died"].filter(pl.col("site") == "C")["split"] == "test").all()
    assert "subject in groups of one split only" in flow["step"].to_list()


def test_the_column_of_the_splits_is_no_feature_unless_named(tmp_path: Path) -> None:
    config = own(tmp_path, kind="time", column="day")
    study: Run = run(validate(config), tmp_path / "run", until="prepare", quiet=True)
    table = pl.read_parquet(study.prepared / "views" / "died" / "b" / "table.parquet")
    assert table.columns == ["site"]


def test_own_tables_and_their_mistakes(tmp_path: Path) -> None:
    for splits, source, words in (
        ({"kind": "group", "column": "sites"}, {}, "no column 'sites' .splits.column.; did you mean 'site'"),
        ({"kind": "time"}, {}, "splits.column is missing"),
        ({"kind": "group", "column": "died"}, {}, "'died' is already an id or split column or a label"),
        ({"kind": "time", "column": "day"}, {"split": "site"}, "source.split gives the division"),
    ):
        config = own(tmp_path, **splits)
        config["modalities"]["b"]["columns"] = ["x"]
        config["source"] |= source
        with pytest.raises(PicmeError, match=words):
            run(validate(config), tmp_path / "run", until="prepare", quiet=True)


def synthetic(**splits: Any) -> dict[str, Any]:
    return {
        "source": {"kind": "synthetic", "stays": 150, "images": False},
        "modalities": {
            "timeseries": {"kind": "timeseries", "table": "chartevents"},
            "demographics": {"kind": "tabular", "table": "demographics"},
        },
        "tasks": {"mortality": {}},
        "splits": splits,
    }


@pytest.mark.parametrize(
    "splits",
    [
        {"kind": "time"},
        {"kind": "time", "column": "admission_years"},
        {"kind": "group", "column": "first_careunit"},
        {"kind": "group", "column": "gender"},
    ],
)
def test_the_synthetic_hospital(tmp_path: Path, splits: dict[str, Any]) -> None:
    cohorts, _ = prepared(synthetic(**splits), tmp_path / "run")
    column = splits.get("column", "anchor_year_group")
    inside = cohorts["pretrain"].filter(pl.col("split").is_not_null())
    parts = {name: inside.filter(pl.col("split") == name)[column] for name in ORDER}
    assert all(len(part) for part in parts.values())
    if splits["kind"] == "time":
        assert parts["train"].max() < parts["val"].min() < parts["test"].min()  # type: ignore[operator]
        assert parts["val"].max() < parts["test"].min()  # type: ignore[operator]
    else:
        assert not set(parts["test"]) & {*parts["train"], *parts["val"]}


@pytest.mark.parametrize("splits", [["splits.kind=time"], ["splits.kind=group", "splits.column=first_careunit"]])
def test_the_open_demo_of_mimic(shared_data: Path, tmp_path: Path, splits: list[str]) -> None:
    from typer.testing import CliRunner

    from picme.cli import app

    sets = [part for each in (f"source.ehr={shared_data / 'mimic-iv-demo-2.2'}", *splits) for part in ("--set", each)]
    found = CliRunner().invoke(app, ["check-leakage", "mimic-ehr", *sets, "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    assert "is in two splits of a view" in found.output
    cohort = pl.read_parquet(next((tmp_path / "run").glob("store/prepare/*/views/pretrain/cohort.parquet")))
    column = "anchor_year_group" if len(splits) == 1 else "first_careunit"
    tested = set(cohort.filter(pl.col("split") == "test")[column])
    assert tested
    assert not tested & set(cohort.filter(pl.col("split") != "test")[column])
