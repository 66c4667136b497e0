"""Batches of an epoch: the stays of each, equal in every process for equal seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picme.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch
    from torch import Tensor

# Number of batches that are drawn together and sorted by length: more of them give less padding, fewer of them more
# random batches.
BUCKET_BATCHES = 16


def shuffled(rows: np.ndarray, batch_size: int, seed: int, epoch: int, drop_last: bool = False) -> list[np.ndarray]:
    """Draw the random batches of an epoch, as arrays of row indices.

    Args:
        rows: (n,) row indices.
        batch_size: rows in a batch, 2 or more.
        seed: seed of the training.
        epoch: number of the epoch, whose order does not depend on earlier ones, so that a resumed run draws the same.
        drop_last: leave out what does not fill a batch; otherwise the last batch is smaller, and a single row left over
            joins the batch before it, so that no batch has one row.

    Raises:
        TrainingError: if a batch would have fewer than two rows.
    """
    return _cut(_generator(seed, epoch).permutation(np.asarray(rows)), batch_size, drop_last)


def length_buckets(
    lengths: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: int,
    rows: np.ndarray | None = None,
    drop_last: bool = False,
    bucket_batches: int = BUCKET_BATCHES,
) -> list[np.ndarray]:
    """Draw batches of stays of similar length, in random order, as arrays of row indices.

    Rows are shuffled, sorted by length within every `bucket_batches` batches, and cut. This reduces padding, and the
    stays that meet in a batch still change every epoch.

    Args:
        lengths: (stay,) length of every row of the view.
        rows: (n,) row indices; all by default.
        batch_size: see `shuffled`.
        seed: see `shuffled`.
        epoch: see `shuffled`.
        drop_last: see `shuffled`; the rows left out are random, not the longest.
        bucket_batches: number of batches sorted together.

    Raises:
        TrainingError: if a batch would have fewer than two rows.
    """
    generator = _generator(seed, epoch)
    order = generator.permutation(np.arange(len(lengths)) if rows is None else np.asarray(rows))
    batches = _cut(order, batch_size, drop_last)
    found: list[np.ndarray] = []
    for start in range(0, len(batches), bucket_batches):
        together = batches[start : start + bucket_batches]
        pooled = np.concatenate(together)
        pooled = pooled[np.argsort(np.asarray(lengths)[pooled], kind="stable")]
        # The batches keep the sizes they were cut to, so that only the epoch's last one differs.
        found += np.split(pooled, np.cumsum([len(batch) for batch in together])[:-1])
    return [found[position] for position in generator.permutation(len(found))]


def combined_lengths(lengths: Iterable[np.ndarray | None]) -> np.ndarray | None:
    """Return one length per stay: the mean over modalities of its share of the longest; None if none has any."""
    shares = [np.asarray(values) / max(1, int(np.max(values, initial=1))) for values in lengths if values is not None]
    return np.mean(shares, axis=0) if shares else None


def in_order(rows: np.ndarray, batch_size: int, lengths: np.ndarray | None = None) -> list[np.ndarray]:
    """Return batches for evaluation, in which every row is once; a batch of one is allowed.

    Rows are sorted by length where lengths are given.
    """
    rows = np.asarray(rows)
    if lengths is not None:
        rows = rows[np.argsort(np.asarray(lengths)[rows], kind="stable")]
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def on_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the tensors of a batch on a device.

    To CUDA they go through pinned memory, from which the GPU reads them itself while the processor goes on.
    """
    if device.type != "cuda":
        return {name: value.to(device) for name, value in batch.items()}
    return {name: value.pin_memory().to(device, non_blocking=True) for name, value in batch.items()}


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, epoch]))


def _cut(order: np.ndarray, batch_size: int, drop_last: bool) -> list[np.ndarray]:
    if batch_size < 2:
        raise TrainingError(
            f"batch_size is {batch_size}, expected 2 or more: a batch of one has nothing to compare with"
        )
    if len(order) < 2:
        raise TrainingError(f"{len(order)} training stays, expected 2 or more")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < batch_size:
        if drop_last:
            batches.pop()
        elif len(batches[-1]) == 1:
            last = batches.pop()
            batches[-1] = np.concatenate([batches[-1], last])
    return batches
