"""Trunk cache: a trunk runs once for each item of a pool, for all combinations, strategies and seeds."""

from __future__ import annotations

import json
import shutil
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from picme.config.encoders import trunk_identity
from picme.encoders import build
from picme.engine.faults import mapped
from picme.errors import TrainingError
from picme.fitting.threads import torch_threads
from picme.modalities.batch import on_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from picme.config.base import Component
    from picme.modalities.base import PooledModality

GPU_SIDE = 2
"""Batches side by side on CUDA: one is read, and the output of another stored, while the GPU computes."""


def cache_features(
    modality: PooledModality,
    encoder_config: Component,
    spec: Mapping[str, Any],
    out: Path,
    batch_size: int | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> Path:
    """Run an encoder's trunk over all items of a pool, unless `out` has the same output already.

    Items are sorted by length, so that a batch is padded to its own longest, and batches of short items are larger. On
    the CPU, batches run side by side on one thread each, which is faster than one batch on all threads and is not
    slowed when other programs take their share; on CUDA, one is read while another is computed. A run that was killed
    goes on where it stopped. The folder holds `meta.json` and `features.npy` (item, …) float32; with one vector per
    token, `features.npy` is (sum of tokens, dim) and `offsets.npy` (item + 1,) is beside it. `CachedModality` reads
    them.

    Args:
        modality: any view of the pool, opened for this encoder.
        encoder_config: an encoder with a locked trunk.
        spec: the modality's `spec()`.
        out: folder for the output; afterwards it is complete, or not there at all.
        batch_size: items of the longest kind in a batch; 8 on a CPU, where more is slower, else 64.
        device: where the trunk runs.
        precision: `bf16` runs it under autocast: 2 to 3 times faster on CPUs with bf16 arithmetic; relative norm of the
            difference to `fp32` about 1 % for transformers, 5 % for convolutions. `auto` takes it where the device has
            such arithmetic.
        progress: called with items done and items in all.
        threads: batches side by side; by default torch's number of threads on the CPU, and `GPU_SIDE` on CUDA.

    Returns:
        `out`.

    Raises:
        TrainingError: if the encoder has no locked trunk, or its output is not finite.
        ConfigError: if the trunk cannot be loaded.
    """
    kind = device.partition(":")[0]
    half = has_bf16(kind) if precision == "auto" else precision == "bf16"
    meta: dict[str, Any] = {
        "trunk": trunk_identity(encoder_config),
        "pool": modality.pool_digest,
        "items": modality.n_items,
        "precision": "bf16" if half else "fp32",
    }
    if _is_current(out, meta):
        return out
    encoder = build(encoder_config, spec, embed_dim=1).eval().to(device)
    if not encoder.has_locked_trunk:
        raise TrainingError(f"encoder {encoder_config.name!r} has no locked part whose output could be kept")
    work = out.with_name(f"{out.name}.part")
    if not _is_current(work, meta, "started.json"):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / "started.json").write_text(json.dumps(meta), encoding="utf-8")

    def run(items: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return the features of some items, and whether each of them has one vector per token."""
        tensors = on_device(modality.item_batch(items), torch.device(device))
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=half):
            features = encoder.trunk_features(tensors).float().cpu().numpy()
        return features, "attention_mask" in tensors and features.ndim == 3

    size = batch_size or (8 if kind == "cpu" else 64)
    side = threads or (torch.get_num_threads() if kind == "cpu" else GPU_SIDE if kind == "cuda" else 1)
    about = _fill(modality, run, work, batches_by_length(modality.item_lengths, modality.n_items, size), side, progress)
    (work / "meta.json").write_text(json.dumps({**meta, **about}), encoding="utf-8")
    (work / "done.npy").unlink()
    (work / "started.json").unlink()
    shutil.rmtree(out, ignore_errors=True)
    work.replace(out)
    return out


def has_bf16(device: str) -> bool:
    """Return whether a kind of device computes in bf16 faster than in fp32."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def batches_by_length(lengths: np.ndarray | None, n_items: int, batch_size: int) -> list[np.ndarray]:
    """Return batches of items of similar length, longest first; batches of short items hold more items."""
    if lengths is None:
        return [np.arange(start, min(start + batch_size, n_items)) for start in range(0, n_items, batch_size)]
    order = np.argsort(-np.asarray(lengths), kind="stable")
    budget = batch_size * int(np.max(lengths, initial=1))
    batches: list[np.ndarray] = []
    start = 0
    while start < n_items:
        size = max(1, min(budget // max(1, int(lengths[order[start]])), 8 * batch_size))
        batches.append(order[start : start + size])
        start += size
    return batches


def _fill(
    modality: PooledModality,
    run: Callable[[np.ndarray], tuple[np.ndarray, bool]],
    work: Path,
    batches: list[np.ndarray],
    side: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Fill `work`, `side` batches at a time; return what `meta.json` says of the arrays."""
    # An empty entry shows the shape, so that batches finished before a kill need not run again.
    sample, ragged = run(np.array([-1]))
    store = _Store(work, modality, sample.shape[2:] if ragged else sample.shape[1:], ragged)
    left = [items for items in batches if not store.done[items].all()]
    done = modality.n_items - sum(len(items) for items in left)
    for items, features in _side_by_side(run, left, side):
        if not np.isfinite(features).all():
            raise TrainingError(
                f"a locked trunk gives values that are not finite in a pool of {modality.n_items} items: "
                "try precision fp32, or check the weights"
            )
        store.put(items, features)
        done += len(items)
        if progress is not None:
            progress(done, modality.n_items)
    store.close()
    return {"ragged": ragged, "shape": [int(size) for size in store.features.shape[1:]]}


def _side_by_side(
    run: Callable[[np.ndarray], tuple[np.ndarray, bool]], batches: list[np.ndarray], side: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches and their features in order.

    Each batch is computed on one thread, so that features do not depend on how many there are.
    """
    pending: deque[tuple[np.ndarray, Future[tuple[np.ndarray, bool]]]] = deque()
    with torch_threads(1):
        if side <= 1 or len(batches) <= 1:
            for items in batches:
                yield items, run(items)[0]
            return
        with ThreadPoolExecutor(side) as pool:
            for items in batches:
                pending.append((items, pool.submit(run, items)))
                if len(pending) >= 2 * side:
                    first, future = pending.popleft()
                    yield first, future.result()[0]
            while pending:
                first, future = pending.popleft()
                yield first, future.result()[0]


class _Store:
    """Arrays being filled; `done.npy` says which items are in them, and is flushed after the features."""

    def __init__(self, work: Path, modality: PooledModality, shape: tuple[int, ...], ragged: bool) -> None:
        self.ragged = ragged
        self.offsets: np.ndarray | None = None
        rows = modality.n_items
        if ragged:
            assert modality.item_lengths is not None
            self.offsets = np.concatenate([[0], np.cumsum(modality.item_lengths)]).astype(np.int64)
            np.save(work / "offsets.npy", self.offsets)
            rows = int(self.offsets[-1])
        self.features = _open(work / "features.npy", (rows, *shape), np.float32)
        self.done = _open(work / "done.npy", (modality.n_items,), np.bool_)

    def put(self, items: np.ndarray, features: np.ndarray) -> None:
        if self.offsets is None:
            self.features[items] = features
        else:
            for place, item in enumerate(items):
                start, end = self.offsets[item], self.offsets[item + 1]
                self.features[start:end] = features[place, : end - start]
        self.done[items] = True

    def close(self) -> None:
        for array in (self.features, self.done):
            if isinstance(array, np.memmap):
                array.flush()


def _open(path: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Open a memory-mapped array, reusing the file that is there if it fits.

    An empty array cannot be mapped and is saved at once.
    """
    if path.is_file():
        array: np.ndarray = np.load(path, mmap_mode="r+" if 0 not in shape else None)
        if array.shape == shape:
            return array
    if 0 in shape:
        empty = np.zeros(shape, dtype=dtype)
        np.save(path, empty)
        return empty
    return mapped(path, dtype, shape)


def _is_current(folder: Path, meta: Mapping[str, Any], name: str = "meta.json") -> bool:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all(found.get(key) == value for key, value in meta.items())
