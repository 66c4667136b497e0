"""Modality of images: each file is decoded once into a memory-mapped pool of grey pictures of one size."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
import torch

from picme.engine.faults import mapped
from picme.errors import DataError
from picme.modalities.base import PooledModality, load_array
from picme.schema import ImageRows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from picme.schema import Rows


class ImageModality(PooledModality):
    """Modality with one image per stay.

    Files: `index.npy` (stay,) int64 in the view, `images.npy` (item, side, side) uint8 in the pool. `items.parquet` has
    for each item a hash of its path, and the reason if it could not be read; such an item is absent.
    """

    default_encoder: ClassVar[str] = "image"

    def __init__(self, folder: Path, pool: Path) -> None:
        self.folder, self.pool = folder, pool
        self.index = load_array(folder / "index.npy")
        self.pixels = load_array(pool / "images.npy")
        about = json.loads((pool / "pool.json").read_text(encoding="utf-8"))
        self.n_items = int(about["items"])
        self.pool_digest = str(about["digest"])
        if len(self.pixels) != self.n_items or int(np.max(self.index, initial=-1)) >= self.n_items:
            raise DataError(f"{folder / 'index.npy'} and {pool / 'images.npy'} do not belong together")
        self.present = np.asarray(self.index >= 0)

    @staticmethod
    def write_views(
        rows: Mapping[str, Rows],
        folders: Mapping[str, Path],
        pool: Path,
        size: int = 224,
        max_damaged: float = 1.0,
        workers: int | None = None,
        **options: Any,
    ) -> pl.DataFrame:
        """Decode and write the views' images.

        Args:
            rows: see `modalities.write_views`.
            folders: see `modalities.write_views`.
            pool: see `modalities.write_views`.
            size: side in pixels.
            max_damaged: largest share of unreadable files.
            workers: threads that decode; one for each core by default.
            options: not used.

        Returns:
            Columns reason, count: the images that cannot be read.

        Raises:
            DataError: if the pool holds images of another size, or too many files cannot be read.
        """
        pool.mkdir(parents=True, exist_ok=True)
        known = _known_items(pool)
        if len(known) and (stored := load_array(pool / "images.npy").shape[1]) != size:
            raise DataError(f"{pool / 'images.npy'} holds images of {stored} pixels, expected {size}")
        indices, places, reasons, counts = _choose(rows, known, pool, size, max_damaged, workers or os.cpu_count() or 1)
        items = pl.DataFrame({"key": list(places), "reason": reasons}, schema=ITEM_SCHEMA)
        items.write_parquet(pool / "items.parquet")
        digest = hashlib.sha256("".join(items["key"]).encode() + str(size).encode())
        digest.update(_content(pool))
        (pool / "pool.json").write_text(
            json.dumps({"items": len(items), "digest": digest.hexdigest()}), encoding="utf-8"
        )
        for view, index in indices.items():
            folders[view].mkdir(parents=True, exist_ok=True)
            np.save(folders[view] / "index.npy", index)
        return pl.DataFrame(
            {"reason": sorted(counts), "count": [counts[reason] for reason in sorted(counts)]},
            schema={"reason": pl.String, "count": pl.Int64},
        )

    @classmethod
    def open(cls, folder: Path, pool: Path) -> Self:  # noqa: D102
        return cls(folder, pool)

    def spec(self) -> dict[str, Any]:
        """Return `side` in pixels and `channels`."""
        return {"side": int(self.pixels.shape[1]), "channels": 1}

    def item_batch(self, items: np.ndarray) -> dict[str, torch.Tensor]:
        """Return `pixels` (batch, 1, side, side) uint8, black where absent."""
        items = np.asarray(items)
        pixels = np.zeros((len(items), 1, *self.pixels.shape[1:]), dtype=np.uint8)
        held = np.flatnonzero(items >= 0)
        pixels[held, 0] = self.pixels[items[held]]
        return {"pixels": torch.from_numpy(pixels)}

    def plain(self, rows: np.ndarray) -> pl.DataFrame:
        """Return the mean brightness of each of 8 x 8 fields."""
        side = self.pixels.shape[1] // 8
        found = np.full((len(rows), 8, 8), np.nan)
        for place, item in enumerate(self.index[rows]):
            if item >= 0:
                found[place] = self.pixels[item, : 8 * side, : 8 * side].reshape(8, side, 8, side).mean(axis=(1, 3))
        fields = {f"field {row + 1}.{column + 1}": found[:, row, column] for row in range(8) for column in range(8)}
        return pl.DataFrame(fields).fill_nan(None)

    def described(self, rows: np.ndarray) -> pl.DataFrame:
        """Return the mean brightness of each image, its contrast (standard deviation), and its grain.

        Grain is the mean absolute difference of neighbours in a row. All are in units of white.
        """
        found = np.full((len(rows), 3), np.nan)
        for place, item in enumerate(self.index[rows]):
            if item >= 0:
                pixels = self.pixels[item].astype(np.float32) / 255
                found[place] = pixels.mean(), pixels.std(), np.abs(np.diff(pixels, axis=1)).mean()
        return pl.DataFrame(found, schema=["brightness", "contrast", "grain"]).fill_nan(None)

    def _recipe(self) -> tuple[Any, ...]:
        return self.folder, self.pool

    @classmethod
    def _from_recipe(cls, folder: Path, pool: Path) -> ImageModality:
        return cls(folder, pool)


ITEM_SCHEMA = {"key": pl.String, "reason": pl.String}


def _known_items(pool: Path) -> pl.DataFrame:
    path = pool / "items.parquet"
    return pl.read_parquet(path) if path.is_file() else pl.DataFrame(schema=ITEM_SCHEMA)


def _choose(
    rows: Mapping[str, Rows], known: pl.DataFrame, pool: Path, size: int, max_damaged: float, workers: int
) -> tuple[dict[str, np.ndarray], dict[str, int], list[str | None], Counter[str]]:
    """Decode the image of each stay into the pool, or where it is damaged the stay's next one that is not.

    Returns:
        For each view the item of each stay (-1: none); for each item's key its place, and why it cannot be read; and
        counts of the damaged files.
    """
    places = {key: place for place, key in enumerate(known["key"])}
    indices: dict[str, np.ndarray] = {}
    wanted: dict[str, list[Path | None]] = {}
    candidates: dict[str, list[tuple[Path, ...]]] = {}
    for view, images in rows.items():
        if not isinstance(images, ImageRows):
            raise DataError(f"an image modality needs ImageRows, not {type(images).__name__}")
        wanted[view] = images.paths
        indices[view] = np.full(len(images.paths), -1, dtype=np.int64)
        others = images.others or [()] * len(images.paths)
        candidates[view] = [(one, *more) if one else () for one, more in zip(images.paths, others, strict=True)]
    reasons: list[str | None] = known["reason"].to_list()
    counts: Counter[str] = Counter()
    replaced: set[Path | None] = set()
    tolerated = max_damaged
    while any(map(any, candidates.values())):
        new: list[Path] = []
        waiting = [(view, row) for view, left in candidates.items() for row, paths in enumerate(left) if paths]
        for view, row in waiting:
            path = candidates[view][row][0]
            key = hashlib.sha256(str(path).encode()).hexdigest()[:32]
            if key not in places:
                places[key] = len(places)
                new.append(path)
            indices[view][row] = places[key]
        damaged = _decode(new, pool, size, tolerated, workers)
        reasons += [damaged.get(place) for place in range(len(new))]
        counts.update(damaged.values())
        # Where an image is damaged the stay's next one is tried, of which any number may be damaged.
        tolerated = 1.0
        for view, row in waiting:
            first, *more = candidates[view][row]
            lost = reasons[indices[view][row]] is not None
            if not lost and wanted[view][row] != first:
                replaced.add(wanted[view][row])
            indices[view][row] = -1 if lost else indices[view][row]
            candidates[view][row] = tuple(more) if lost else ()
    if not places:
        _decode([], pool, size, max_damaged, 1)
    if replaced:
        counts["damaged, and another image of the stay taken instead"] = len(replaced)
    return indices, places, reasons, counts


def _decode(paths: list[Path], pool: Path, size: int, max_damaged: float, workers: int) -> dict[int, str]:
    """Append images to the pool; return the reasons of those that cannot be read, by position in `paths`."""
    from picme.cohort.decode import decode_images

    target = pool / "images.npy"
    if not paths:
        if not target.is_file():
            np.save(target, np.zeros((0, size, size), dtype=np.uint8))
        return {}
    fresh = pool / ".fresh.npy"
    damaged: dict[int, str] = dict(decode_images(paths, fresh, size, workers, max_damaged).damaged)
    if target.is_file():
        old, new = load_array(target), load_array(fresh)
        joined = mapped(pool / ".joined.npy", np.uint8, (len(old) + len(new), size, size))
        joined[: len(old)], joined[len(old) :] = old, new
        joined.flush()
        del joined, old, new
        (pool / ".joined.npy").replace(target)
        fresh.unlink()
    else:
        fresh.replace(target)
    return damaged


def _content(pool: Path) -> bytes:
    """Return a hash over every seventh row and column of each image: another decoder or file gives another digest."""
    pixels = load_array(pool / "images.npy")
    digest = hashlib.sha256()
    for start in range(0, len(pixels), 256):
        digest.update(np.ascontiguousarray(pixels[start : start + 256, ::7, ::7]).tobytes())
    return digest.digest()
