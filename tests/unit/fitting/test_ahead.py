"""Batches built in the background: in order, a few ahead, and an error where its batch is asked for."""

from __future__ import annotations

import threading
from itertools import islice

import pytest
import torch

from picme.fitting.ahead import DEEP, Ahead

# The device says only whether a thread builds.
KINDS = pytest.mark.parametrize("device", [torch.device("cpu"), torch.device("cuda")], ids=str)


@KINDS
def test_batches_come_in_order_however_often_they_are_asked_for(device: torch.device) -> None:
    batches = Ahead(range(9), lambda plan: plan * plan, device)
    assert len(batches) == 9
    for _ in range(2):
        assert list(batches) == [plan * plan for plan in range(9)]


@KINDS
def test_a_few_are_built_ahead_on_cuda_and_none_on_the_cpu(device: torch.device) -> None:
    begun: list[int] = []
    threads: set[int] = set()
    reached = threading.Event()

    def build(plan: int) -> int:
        begun.append(plan)
        threads.add(threading.get_ident())
        if plan == DEEP:
            reached.set()
        return plan

    walk = iter(Ahead(range(20), build, device))
    next(walk)
    ahead = device.type == "cuda"
    assert reached.wait(5 if ahead else 0) == ahead
    walk.close()  # type: ignore[attr-defined]
    assert begun == list(range(DEEP + 1 if ahead else 1))
    assert (threading.get_ident() in threads) != ahead


@KINDS
def test_an_error_comes_with_its_batch(device: torch.device) -> None:
    walk = iter(Ahead([3, 2, 0, 1], lambda plan: 6 // plan, device))
    assert list(islice(walk, 2)) == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(walk)
