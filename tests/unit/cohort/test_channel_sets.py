from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import yaml

from picme.cohort.channel_sets import Channel, ChannelSet, Conversion, load
from picme.cohort.readings import convert, sortable
from picme.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["default", "benchmark"])
def test_both_sets_have_59_value_columns_and_17_masks(name: str) -> None:
    channels = load(name)
    assert len(channels.columns) == 76
    assert sum(column.startswith("mask->") for column in channels.columns) == 17
    assert sum(channels.continuous) == 12


def test_the_default_takes_no_item_of_urine_or_other_fluids() -> None:
    other_fluids = {51478, 51491, 51094, 50831}
    assert other_fluids.isdisjoint(item.itemid for _, _, item in load("default").items("labevents"))
    assert other_fluids <= {item.itemid for _, _, item in load("benchmark").items("labevents")}


def test_the_published_items_are_those_of_the_extraction(shared_data: Path) -> None:
    used = pl.read_csv(shared_data / "parity" / "itemids_used.csv")
    ours = {item.itemid for table in ("chartevents", "labevents") for _, _, item in load("benchmark").items(table)}
    assert set(used["itemid"].to_list()) <= ours


def channel(**changes: Any) -> dict[str, Any]:
    return {"name": "A", "normal": 1, "items": [{"itemid": 1}], **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"channels": [channel(nromal=2)]}, "nromal"),
        ({"channels": [channel(), channel()]}, "'A' is there twice"),
        ({"channels": [channel(normal="x")]}, "normal must be a number"),
        ({"channels": [channel(kind="categorical", categories=["a", "b"])]}, "'1' is not one of its categories"),
        ({"channels": [channel(kind="categorical", categories=["1"])]}, "two or more different categories"),
        ({"channels": [channel(items=[{"itemid": 1}, {"itemid": 1}])]}, "names an item twice"),
        ({"channels": []}, "channels"),
        ([1], "expected keys read and channels"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence_with_the_key(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=message) as raised:
        load(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_name_has_a_near_match() -> None:
    with pytest.raises(ConfigError, match=r"'benchmrk' is neither a file nor known by name; did you mean 'benchmark'"):
        load("benchmrk")


def test_the_first_step_that_fits_is_made() -> None:
    steps = (
        Conversion(unit="mg/dL"),
        Conversion(above=10, subtract=10, multiply=3, divide=2),
        Conversion(at_most=1, multiply=100),
    )
    number = np.array([20.0, 20.0, 5.0, 0.5])
    unit = pl.Series(["mg/dl", None, None, "x"])
    np.testing.assert_allclose(convert(number, steps, unit), [20, 15, 5, 50])


def test_order_preserving_bits() -> None:
    values = np.array([-np.inf, -3.5, -0.0, 0.0, 1e-30, 1.0, 1.5, 1e30], np.float32)
    bits = sortable(values)
    assert (np.diff(bits.astype(np.int64)) >= 0).all()
    assert bits[2] == bits[3]
    assert (bits < 1 << 32).all()


def test_starts_are_numbers_or_category_indices() -> None:
    channels = ChannelSet(
        channels=(
            Channel(name="A", normal=2.5),
            Channel(name="B", kind="categorical", normal="y", categories=("x", "y"), texts={"why": "y"}),
        )
    )
    assert channels.starts.tolist() == [2.5, 1.0]
    assert channels.columns == ["A", "B->x", "B->y", "mask->A", "mask->B"]
    assert channels.channels[1].codes() == {"why": 1, "x": 0, "y": 1}
