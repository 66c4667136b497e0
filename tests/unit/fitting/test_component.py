"""An error inside a component of somebody else's, or an output of the wrong shape, names the component."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from picme import encoders, finetune, objectives
from picme.errors import ConfigError, TrainingError
from picme.fitting.component import calling, check_shape
from picme.registry import Registry


def test_a_foreign_error_becomes_a_sentence_with_component_and_shapes() -> None:
    batch = {"values": torch.zeros(4, 7), "lengths": torch.zeros(4)}

    def fails() -> None:
        raise RuntimeError("the note says: John Doe")

    with (
        pytest.raises(TrainingError) as caught,
        calling("encoder 'mine' of modality 'notes'", batch=batch, present=torch.ones(4, 2)),
    ):
        fails()
    said = str(caught.value)
    assert said.startswith("encoder 'mine' of modality 'notes' failed with RuntimeError at fails:")
    assert "batch['values'] (4, 7), batch['lengths'] (4,), present (4, 2)" in said
    assert "John" not in said
    assert isinstance(caught.value.__cause__, RuntimeError), "kept for --debug"


def test_an_error_of_picme_stays_as_it_is() -> None:
    with pytest.raises(TrainingError, match=r"^not finite$"), calling("objective 'mine'"):
        raise TrainingError("not finite")


def test_an_interruption_passes() -> None:
    with pytest.raises(KeyboardInterrupt), calling("objective 'mine'"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("output", "words"), [(torch.zeros(4, 3), r"gave \(4, 3\)"), (None, "gave NoneType"), (1.0, "gave float")]
)
def test_a_wrong_output_is_named_with_what_was_expected(output: object, words: str) -> None:
    with pytest.raises(TrainingError, match=rf"fusion head 'mine' {words}, expected a tensor of shape \(4, 25\)"):
        check_shape("fusion head 'mine'", output, (4, 25))
    check_shape("fusion head 'mine'", torch.zeros(4, 25), (4, 25))


class _Broken:
    @classmethod
    def from_config(cls, *args: object, **options: object) -> object:
        raise KeyError("a value of the data")


@pytest.mark.parametrize(
    ("registry", "build", "what"),
    [
        (objectives.OBJECTIVES, lambda section: objectives.build(section, 3), "objective 'mine'"),
        (finetune.FUSIONS, lambda section: finetune.build(section, 3, 8, 1), "fusion head 'mine'"),
        (
            encoders.ENCODERS,
            lambda section: encoders.build(section, {}, 8, "notes"),
            "encoder 'mine' of modality 'notes'",
        ),
    ],
)
def test_a_component_that_cannot_be_built_is_named(registry, build, what, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda name: _Broken)
    with pytest.raises(ConfigError) as raised:
        build(SimpleNamespace(name="mine"))
    assert str(raised.value).startswith(f"building {what} failed with KeyError at from_config:")
    assert "a value" not in str(raised.value)


def test_a_component_whose_module_fails_is_named(monkeypatch, tmp_path):
    (tmp_path / "mine_failing.py").write_text("raise ValueError('a value of the data')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match=r"objectives 'mine' cannot be loaded from mine_failing:X: ValueError at"
    ) as said:
        Registry("objectives", {"mine": "mine_failing:X"}).load("mine")
    assert "a value" not in str(said.value)
