"""Refusal of networks that the main memory cannot hold, before their weights are drawn or trained."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch.nn.modules.module import register_module_parameter_registration_hook

from picme.engine.memory import check_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

TRAINED = 7
"""Copies that training adds to each weight: gradient, two of AdamW, the best epoch's, and three to resume from."""
STRIDE = 1 << 26
"""Bytes of weights between two looks at the memory, which take milliseconds."""


@contextmanager
def fitting_memory(what: str, keys: str) -> Iterator[None]:
    """Refuse a network that the block builds as soon as its weights exceed the memory.

    Memory is taken up only when a weight is drawn, so this comes before the process could be killed.

    Args:
        what: the network, such as `the encoder of modality 'image'`.
        keys: the keys of the configuration that make it smaller.

    Raises:
        DataError: from within the block.
    """
    held = checked = 0

    def count(module: nn.Module, name: str, weight: Tensor | None) -> None:
        nonlocal held, checked
        if weight is not None and weight.device.type == "cpu":
            held += weight.nbytes
            if held >= checked + STRIDE:
                check_memory(held, what, f"make {keys} smaller")
                checked = held

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def check_training(model: nn.Module) -> None:
    """Check that the weights of a model can be trained in main memory, where they lie in it.

    Raises:
        DataError: if not.
    """
    trained = sum(one.nbytes for one in model.parameters() if one.requires_grad and one.device.type == "cpu")
    check_memory(
        trained * TRAINED,
        f"training a model of {sum(one.numel() for one in model.parameters()):,} weights",
        "make the sizes of its encoders and heads smaller, or study.embed_dim",
    )
