"""Splits are by subject, stable, and as configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picme.cohort.splits import assign, by_fold, read_list
from picme.config.splits import SplitsConfig
from picme.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

SUBJECTS = st.lists(st.integers(10_000_000, 19_999_999), min_size=1, max_size=60)


def frame(subjects: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"subject_id": subjects}, schema={"subject_id": pl.Int64})


@given(SUBJECTS)
def test_hash_keeps_a_subject_in_one_split(subjects: list[int]) -> None:
    stays = frame(subjects + subjects[::-1])
    found = stays.with_columns(assign(stays, SplitsConfig(), pretraining=False))
    assert found["split"].null_count() == 0
    assert found.group_by("subject_id").agg(pl.col("split").n_unique())["split"].max() == 1


@given(SUBJECTS, SUBJECTS)
def test_hash_is_stable_when_subjects_are_added(subjects: list[int], more: list[int]) -> None:
    before = assign(frame(subjects), SplitsConfig(), pretraining=False)
    after = assign(frame(subjects + more), SplitsConfig(), pretraining=False)
    assert before.to_list() == after.to_list()[: len(subjects)]


def test_hash_has_the_configured_shares() -> None:
    counts = assign(frame(list(range(20_000))), SplitsConfig(train=0.6, val=0.3), pretraining=True).value_counts()
    shares = dict(counts.with_columns(pl.col("count") / 20_000).rows())
    assert shares == pytest.approx({"train": 0.6, "val": 0.3, "test": 0.1}, abs=0.01)


def test_published_lists(tmp_path: Path) -> None:
    held_out = list(range(1000, 1600))
    (tmp_path / "test.csv").write_text(
        "".join(f"{s},{int(s in held_out[:300])}\n" for s in range(2000)), encoding="utf-8"
    )
    (tmp_path / "val.csv").write_text(
        "".join(f"{s},{int(s in held_out[300:])}\n" for s in range(2000)), encoding="utf-8"
    )
    config = SplitsConfig(kind="lists", test_list=tmp_path / "test.csv", val_list=tmp_path / "val.csv")
    stays = frame(list(range(2000)))
    tuning = assign(stays, config, pretraining=False)
    before = assign(stays, config, pretraining=True)
    inside = [subject in held_out for subject in range(2000)]
    assert all((split is not None) == here for split, here in zip(tuning, inside, strict=True))
    assert all((split == "train") == (not here) for split, here in zip(before, inside, strict=True))
    tested = {s for s, split in zip(range(2000), tuning, strict=True) if split == "test"}
    assert tested == {s for s, split in zip(range(2000), before, strict=True) if split == "test"}
    assert len(tested) / 600 == pytest.approx(0.1, abs=0.04)


def test_sets_and_their_mistakes() -> None:
    stays = pl.DataFrame({"subject_id": range(400), "set": ["a"] * 200 + ["b"] * 100 + ["c"] * 100})
    config = SplitsConfig(kind="sets", train_sets=("a",), test_sets=("b",), val=0.2)
    found = assign(stays, config, pretraining=False).to_list()
    assert set(found[:200]) == {"train", "val"}
    assert set(found[200:300]) == {"test"}
    assert set(found[300:]) == {None}
    with pytest.raises(DataError, match="set 'x'"):
        assign(stays, SplitsConfig(kind="sets", train_sets=("a",), test_sets=("x",)), pretraining=False)
    with pytest.raises(DataError, match="does not come in sets"):
        assign(frame([1]), config, pretraining=False)


def test_a_broken_list_names_file_and_row(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("1,0\n2,yes\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"list\.csv row 2"):
        read_list(file)
    with pytest.raises(DataError, match="does not exist"):
        read_list(tmp_path / "none.csv")


def test_published_lists_of_the_benchmark_are_read(shared_data: Path) -> None:
    test = read_list(shared_data / "medfuse" / "testset_iv.csv")
    assert sum(test.values()) == 9409


@given(SUBJECTS, st.integers(3, 8), st.integers(0, 3))
def test_each_fold_tests_and_validates_every_subject_once(subjects: list[int], folds: int, seed: int) -> None:
    stays = frame(subjects + subjects[::-1])
    config = SplitsConfig(kind="folds", folds=folds, seed=seed)
    divided = [by_fold(stays, config, number).to_list() for number in range(folds)]
    assert divided[0] == assign(stays, config, pretraining=True).to_list()
    for of_stay in zip(*divided, strict=True):
        assert sorted(of_stay) == sorted(["test", "val", *["train"] * (folds - 2)])
    for splits in divided:
        assert len(set(zip(stays["subject_id"], splits, strict=True))) == stays["subject_id"].n_unique()


def test_folds_are_of_about_the_same_size_and_another_seed_gives_others() -> None:
    stays = frame(list(range(10_000)))
    first, other = (by_fold(stays, SplitsConfig(kind="folds", folds=5, seed=seed), 0) for seed in (0, 1))
    assert first.value_counts(normalize=True).sort("split")["proportion"].to_list() == pytest.approx(
        [0.2, 0.6, 0.2], abs=0.02
    )
    assert first.to_list() != other.to_list()


def test_there_are_five_folds_if_their_number_is_not_given_and_none_for_other_kinds() -> None:
    assert SplitsConfig.model_validate({"kind": "folds"}).folds == 5
    assert SplitsConfig().folds is None
    with pytest.raises(ValueError, match="folds is for kind 'folds', not 'hash'"):
        SplitsConfig(folds=5)
