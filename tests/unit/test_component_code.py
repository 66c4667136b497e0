"""The code of another package's component counts in the keys of what it makes; picme's own version does not."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING

import pytest

import picme
from picme import registry
from picme.config.loading import load
from picme.design import outside
from picme.design.stale import why_stale
from picme.design.study import Design
from picme.engine import code
from picme.pipeline import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOSS = """
from typing import Literal

from mine_shared import SCALE
from picme.config.base import Component


def late():
    from .parts import FACTOR


class Loss:
    class Config(Component):
        name: Literal["mine"] = "mine"
"""
PAIR, TRIPLE = ("discharge", "radiology"), ("discharge", "radiology", "image")


def forget() -> None:
    """A new process reads a package's code again; so does this one after it has forgotten."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mine_losses", "mine_shared")]:
        del sys.modules[name]
    code.code_of.cache_clear()
    code._same_project.cache_clear()
    outside.outside.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "mine_losses"
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "loss.py").write_text(LOSS, encoding="utf-8")
    (folder / "parts.py").write_text("FACTOR = 1\n", encoding="utf-8")
    (folder / "weights.json").write_text("[1]\n", encoding="utf-8")
    (folder / "unrelated.py").write_text("", encoding="utf-8")
    (tmp_path / "mine_shared.py").write_text("SCALE = 1\n", encoding="utf-8")
    (tmp_path / "unrelated.json").write_text("[1]\n", encoding="utf-8")
    points = EntryPoints([EntryPoint("mine", "mine_losses.loss:Loss", "picme.objectives")])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_installed", lambda: points)
    registry.Registry.targets.cache_clear()
    forget()
    yield folder
    registry.Registry.targets.cache_clear()
    forget()


def design() -> Design:
    forget()
    return Design(load("demo", {"pretrain.objective": {"name": "mine"}}))


@pytest.mark.parametrize("file", ["loss.py", "parts.py", "__init__.py", "weights.json", "../mine_shared.py"])
def test_an_edited_loss_is_trained_again(package: Path, file: str) -> None:
    before = design()
    same, pair = before.pretrain(TRIPLE).key, before.pretrain(PAIR).key
    assert design().pretrain(TRIPLE).key == same
    (package / file).write_text((package / file).read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    after = design()
    assert after.pretrain(TRIPLE).key != same
    assert after.align(TRIPLE).key != before.align(TRIPLE).key
    assert after.pretrain(PAIR).key == pair, "its objective is picme's own"


LEFT = (
    ".loss.py.swp", ".hidden.json", "loss.swp", "weights.json~", "#weights.json#", "weights.json.orig",
    "__pycache__/loss.json", ".git/config", "build/weights.json",
)  # fmt: skip


@pytest.mark.parametrize("files", [("unrelated.py", "../unrelated.json"), LEFT], ids=["unrelated", "left by editors"])
def test_what_the_loss_does_not_read_makes_nothing_again(package: Path, files: tuple[str, ...]) -> None:
    same = design().pretrain(TRIPLE).key
    for file in files:
        (package / file).parent.mkdir(exist_ok=True)
        (package / file).write_text("# edited\n", encoding="utf-8")
    assert design().pretrain(TRIPLE).key == same


def test_installed_code_counts_by_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    code._same_project.cache_clear()
    monkeypatch.setattr(code, "packages_distributions", lambda: {"a": ["one"], "b": ["one", "two"], "c": ["two"]})
    assert code._same_project("a", "b")
    assert not code._same_project("a", "c")
    assert not code._same_project("a", "nowhere")
    code._same_project.cache_clear()


def test_a_plan_says_that_the_code_changed(package: Path, tmp_path: Path) -> None:
    run = Run(load("demo", {"pretrain.objective": {"name": "mine"}}), tmp_path / "run")
    with run.store.attempt(run.design.pretrain(TRIPLE)):
        pass
    (package / "loss.py").write_text(LOSS + "\n# edited\n", encoding="utf-8")
    said = why_stale([design().pretrain(PAIR), design().pretrain(TRIPLE)], run.store, run.tree, run.tree)
    assert said == "the code of pretrain.objective (mine) has changed"
    assert why_stale([run.design.pretrain(PAIR)], run.store, run.tree, run.tree) is None, "there was none before"


def test_a_finished_run_is_opened_with_the_code_it_was_made_with(package: Path) -> None:
    made = design()
    key = made.pretrain(TRIPLE).key
    (package / "loss.py").write_text(LOSS + "\n# edited\n", encoding="utf-8")
    forget()
    record = {"raw": made.raw, "code": made.code}
    assert Design(made.config, record).pretrain(TRIPLE).key == key


def test_the_version_of_picme_makes_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Design(load("demo")).pretrain(TRIPLE).key
    monkeypatch.setattr(picme, "__version__", "99.0")
    assert Design(load("demo")).pretrain(TRIPLE).key == before


def test_a_raised_version_of_a_step_makes_it_and_its_readers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Design(load("demo"))
    keys = before.prepare.key, before.pretrain(TRIPLE).key, before.align(TRIPLE).key
    monkeypatch.setattr(type(before.pretrain(TRIPLE)), "version", 2)
    after = Design(load("demo"))
    assert after.prepare.key == keys[0]
    assert after.pretrain(TRIPLE).key != keys[1]
    assert after.align(TRIPLE).key != keys[2]
