"""What picme says when the synthetic hospital cannot be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from picme.cli import app
from picme.config.loading import load
from picme.design.study import Design
from picme.engine.local import perform
from picme.engine.step import Context
from picme.engine.store import Store
from picme.errors import ConfigError
from picme_hospital import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path


def test_too_few_stays_at_the_command_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["synth", str(tmp_path / "x"), "--stays", "3"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == "synthetic hospital, stays: 3 should be greater than or equal to 20"
    assert not (tmp_path / "x").exists()


def test_events_are_written_to_a_folder_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the tables that the events are made of is left behind."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["synth", "x", "--stays", "20", "--format", "meds"])
    assert done.exit_code == 0, done.output
    assert sorted(item.name for item in (tmp_path / "x").iterdir()) == ["data", "images", "metadata", "truth.parquet"]


def test_impossible_arguments_in_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ArgumentError("synthetic hospital, stays: none")

    monkeypatch.setattr("picme_hospital.write_hospital", refuse)
    step = Design(load("demo")).hospital
    assert step is not None
    with pytest.raises(ConfigError, match=r"^synthetic hospital, stays: none$"):
        perform(step, Context(Store(tmp_path)), 1)
