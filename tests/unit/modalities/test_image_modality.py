from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from picme.errors import DataError
from picme.modalities import open_modality, write_views
from picme.modalities.image import ImageModality
from picme.schema import ImageRows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three flat pictures of brightness 50, 100, 150, and a damaged one."""
    made = []
    for brightness in (50, 100, 150):
        made.append(tmp_path / f"{brightness}.png")
        Image.fromarray(np.full((40, 30), brightness, dtype=np.uint8)).save(made[-1])
    made.append(tmp_path / "damaged.png")
    made[-1].write_bytes(made[0].read_bytes()[:40])
    return made


def brightness(modality: object, rows: list[int]) -> list[float]:
    pixels = modality.batch(np.array(rows))["pixels"]  # type: ignore[attr-defined]
    assert pixels.shape == (len(rows), 1, 16, 16)
    return [float(image.float().mean()) for image in pixels]


def test_a_file_is_decoded_once_and_shared(files: list[Path], tmp_path: Path) -> None:
    rows = {"a": ImageRows([files[0], None, files[1]]), "b": ImageRows([files[1], files[2], files[0]])}
    folders = {view: tmp_path / view for view in rows}
    assert write_views("image", rows, folders, tmp_path / "pool", size=16).is_empty()
    assert np.load(tmp_path / "pool" / "images.npy").shape == (3, 16, 16)
    first, second = (open_modality("image", folders[view], tmp_path / "pool") for view in rows)
    assert first.present.tolist() == [True, False, True]
    assert brightness(first, [2, 1, 0]) == [100, 0, 50]
    assert brightness(second, [0, 1, 2]) == [100, 150, 50]
    assert first.spec() == {"side": 16, "channels": 1}


def test_a_damaged_file_is_counted_and_absent(files: list[Path], tmp_path: Path) -> None:
    rows = ImageRows([files[0], files[3], files[3]])
    quarantine = ImageModality.write(rows, tmp_path / "a", tmp_path / "pool", size=16)
    assert quarantine["count"].to_list() == [1]
    assert "damaged.png" not in quarantine["reason"][0]
    image = ImageModality.open(tmp_path / "a", tmp_path / "pool")
    assert image.present.tolist() == [True, False, False]
    with pytest.raises(DataError):
        ImageModality.write(rows, tmp_path / "b", tmp_path / "other", size=16, max_damaged=0.1)


def test_a_pool_is_extended(files: list[Path], tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    ImageModality.write(ImageRows([files[0], files[3]]), tmp_path / "a", pool, size=16)
    before = ImageModality.open(tmp_path / "a", pool).pool_digest
    assert ImageModality.write(ImageRows([files[2], files[3], files[0]]), tmp_path / "b", pool, size=16).is_empty()
    added = ImageModality.open(tmp_path / "b", pool)
    assert added.n_items == 3
    assert brightness(added, [0, 1, 2]) == [150, 0, 50]
    assert brightness(ImageModality.open(tmp_path / "a", pool), [0, 1]) == [50, 0]
    assert added.pool_digest != before
    with pytest.raises(DataError, match="holds images of 16 pixels, expected 32"):
        ImageModality.write(ImageRows([files[1]]), tmp_path / "c", pool, size=32)


def test_files_of_other_sizes_become_squares_of_one(tmp_path: Path) -> None:
    files = []
    for height, width in ((40, 30), (300, 200), (16, 16), (9, 50)):
        files.append(tmp_path / f"{height}.png")
        Image.fromarray(np.full((height, width), height % 256, dtype=np.uint8)).save(files[-1])
    assert ImageModality.write(ImageRows(files), tmp_path / "a", tmp_path / "pool", size=16).is_empty()
    assert brightness(ImageModality.open(tmp_path / "a", tmp_path / "pool"), [0, 1, 2, 3]) == [40, 44, 16, 9]


def test_no_image_at_all(tmp_path: Path) -> None:
    ImageModality.write(ImageRows([None, None]), tmp_path / "a", tmp_path / "pool", size=16)
    image = ImageModality.open(tmp_path / "a", tmp_path / "pool")
    assert not image.present.any()
    assert brightness(image, [0, 1]) == [0, 0]


def test_pickles_as_its_path(files: list[Path], tmp_path: Path) -> None:
    ImageModality.write(ImageRows([files[0]] * 3), tmp_path / "a", tmp_path / "pool", size=16)
    sent = pickle.dumps(ImageModality.open(tmp_path / "a", tmp_path / "pool"))
    assert len(sent) < 1000
    assert brightness(pickle.loads(sent), [1]) == [50]


def test_a_damaged_film_gives_way_to_the_one_before(files: list[Path], tmp_path: Path) -> None:
    worse = tmp_path / "worse.png"
    worse.write_bytes(b"nothing")
    rows = {
        "a": ImageRows([files[3], files[0], None, worse], [(worse, files[1]), (files[2],), (), (files[3],)]),
        "b": ImageRows([files[3]], [(files[2],)]),
    }
    folders = {view: tmp_path / view for view in rows}
    found = write_views("image", rows, folders, tmp_path / "pool", size=16)
    assert dict(found.iter_rows()) == {
        "damaged, and another image of the stay taken instead": 1,
        "not an image": 2,
    }
    first, second = (open_modality("image", folders[view], tmp_path / "pool") for view in rows)
    assert first.present.tolist() == [True, True, False, False]
    assert brightness(first, [0, 1]) == [100, 50]
    assert brightness(second, [0]) == [150]
