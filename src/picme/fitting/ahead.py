"""Batches that are built in the background while a GPU computes."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    import torch

DEEP = 2
"""Batches that are ready beside the one in use."""

Plan = TypeVar("Plan")
Built = TypeVar("Built")


class Ahead(Generic[Plan, Built]):
    """The batches of an epoch, in order: on CUDA each is built by a thread while those before it are in use.

    On the CPU, where building and training share the cores, each is built when its turn comes.

    Args:
        plans: what each batch is built of.
        build: plan → batch on the device; must draw no random numbers of torch, so that the order of the two threads
            changes nothing.
        device: where the batches are used.
    """

    def __init__(self, plans: Sequence[Plan], build: Callable[[Plan], Built], device: torch.device) -> None:
        self._plans, self._build, self._device = plans, build, device

    def __len__(self) -> int:
        return len(self._plans)

    def __iter__(self) -> Iterator[Built]:
        if self._device.type != "cuda":
            yield from map(self._build, self._plans)
            return
        pending: deque[Future[Built]] = deque()
        with ThreadPoolExecutor(1) as pool:
            try:
                for plan in self._plans:
                    pending.append(pool.submit(self._build, plan))
                    if len(pending) > DEEP:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()
