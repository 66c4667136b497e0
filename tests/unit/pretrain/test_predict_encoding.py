"""New stays are encoded on the device and in the precision of the study that is applied to them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from picme.modalities import view as view_module
from picme.predict.new_stays import NewStays, view_of
from picme.pretrain import trunk_cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_locked_part_runs_as_in_the_study(
    finished: Callable[..., tuple[Run, ViewData]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    run, _ = finished("encode", study={"precision": precision})
    asked: list[dict[str, Any]] = []

    def cached(*given: Any, **named: Any) -> Path:
        asked.append(named)
        return tmp_path

    monkeypatch.setattr(trunk_cache, "cache_features", cached)
    monkeypatch.setattr(view_module, "ViewData", lambda *given: SimpleNamespace(given=given))
    cell = run.design.cell("label", ("note", "report", "person"), "supervised")
    found: Any = view_of(run, NewStays(run.folder, run.prepared, run.config, tmp_path), cell)
    assert asked == [{"device": "cpu", "precision": precision}], "one modality has a locked part"
    assert found.given[3] == {"report": tmp_path}
    assert found.given[4] == run.prepared / "statistics.json", "normalised as the training stays were"
