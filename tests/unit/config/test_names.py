"""Names that become files are checked in one place, whatever they name."""

from __future__ import annotations

from typing import Any

import pytest

from picme.config.loading import load
from picme.errors import ConfigError

BAD = [
    "",
    ".",
    "..",
    "../x",
    "/tmp/x",
    "a/b",
    "a\0b",
    "a\nb",
    ".hidden",
    "a.",
    " a",
    "x" * 300,
    "é" * 60,
    "pretrain",
    "Pretrain",
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_a_file_of_the_run_is_refused(name: str) -> None:
    places: list[tuple[str, Any]] = [
        ("tasks", {name: {"labels": ["died"]}}),
        ("modalities", {name: {"kind": "tabular"}, "b": {"kind": "tabular"}}),
        ("finetune", {"fusions": {name: {"name": "concat"}}, "strategies": [name]}),
    ]
    for key, value in places:
        with pytest.raises(ConfigError, match=r"name|called|character") as caught:
            load("demo", {key: value})
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["tasks", "modalities"])
def test_two_names_that_one_disk_takes_for_one_are_refused(key: str) -> None:
    section = {"labels": ["died"]} if key == "tasks" else {"kind": "tabular"}
    with pytest.raises(ConfigError, match="capitals"):
        load("demo", {key: {"Death": section, "death": section}})


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "x" * 300])
def test_a_column_is_one_that_can_be_seen(name: str) -> None:
    for key, value in [
        ("tasks", {"death": {"labels": [name]}}),
        ("evaluate.groups", [name]),
        ("source", {"kind": "table", "path": "rows.csv", "groups": [name]}),
    ]:
        with pytest.raises(ConfigError, match=r"column|character"):
            load("demo", {key: value})


def test_usual_names_are_taken() -> None:
    tasks = {"in-hospital death": {"labels": ["Died (30 d), %"]}, "death_48.5h": {}, "Décès": {}}
    assert set(tasks) < set(load("demo", {"tasks": tasks}).tasks)
