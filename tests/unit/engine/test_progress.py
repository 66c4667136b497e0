"""What progress says of the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from toy_steps import Later, Toy

from picme.engine.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.engine.step import Step

TOYS = [Toy(label="a"), Toy(label="b")]


@pytest.mark.parametrize(("steps", "ended", "line"), [
    ((TOYS[0], Later(label="c")), 1, "first 1/1, study 1/2"),
    ((*TOYS, Later(label="c")), 1, "first 1/2, study 1/3, more than 30 s left"),
    (TOYS, 1, "first 1/2, study 1/2, about 30 s left"),
])  # fmt: skip
def test_time_is_told_as_far_as_it_is_known(
    steps: Sequence[Step], ended: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picme.engine.progress.EVERY_SECONDS", 0.0)
    progress = Progress(quiet=False, workers=1)
    progress.plan(steps, reused=0)
    for step in steps[:ended]:
        progress.start(step)
        progress.end(step, {"seconds": 30.0})
    assert capsys.readouterr().err.splitlines()[-1] == line
