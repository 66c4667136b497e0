"""An error inside a component of somebody else's, or an output of the wrong shape, names the component."""

from __future__ import annotations

import pytest
import torch

from picme.errors import TrainingError
from picme.fitting.component import calling, check_shape


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
