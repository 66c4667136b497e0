"""Calls of components that may be another package's: an error inside one, or an output of the wrong shape, names it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from picme.errors import TrainingError, naming

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def calling(what: str, **given: Tensor | Mapping[str, Tensor] | None) -> Iterator[None]:
    """Turn any error of the block into a sentence that names the component and the shapes it was given.

    Args:
        what: such as `encoder 'mine' of modality 'image'`.
        given: its tensors, by argument.

    Raises:
        TrainingError: if the block raises what is none of picme's own errors.
    """
    with naming(what, TrainingError, lambda: f"; it was given {_shapes(given)}"):
        yield


def check_shape(what: str, output: Any, expected: tuple[int, ...]) -> None:
    """Raise TrainingError, naming the component, if an output is no tensor of the expected shape."""
    actual = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if actual != expected:
        raise TrainingError(f"{what} gave {actual}, expected a tensor of shape {expected}")


def _shapes(given: Mapping[str, Any]) -> str:
    found = []
    for name, value in given.items():
        if isinstance(value, Tensor):
            found.append(f"{name} {tuple(value.shape)}")
        elif value is not None:
            found += [f"{name}[{key!r}] {tuple(item.shape)}" for key, item in value.items() if isinstance(item, Tensor)]
    return ", ".join(found)
