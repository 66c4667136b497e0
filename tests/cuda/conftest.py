"""The device that these tests compare with the CPU."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/cuda/" in item.path.as_posix():
            item.add_marker(pytest.mark.cuda)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The first CUDA device; `PICME_TEST_DEVICE=cpu` tries the tests themselves, CPU against CPU."""
    name = os.environ.get("PICME_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(name)


@pytest.fixture(autouse=True)
def single_precision() -> Iterator[None]:
    """Convolutions and recurrent layers in float32 like the CPU's, not in TF32, whose relative error is about 1e-3."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
