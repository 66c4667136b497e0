"""Decoder of image files into one memory-mapped array of grey squares; JPEGs are read at a fraction of their size."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from picme.engine.faults import mapped
from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILTER = Image.Resampling.LANCZOS
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation → what turns the stored image upright."""
USED = 0.999
"""Share of an image's pixels whose bits count as used."""
MARKED = 0.03
"""Share of an image's pixels that may be a marker, which is set off by values that no pixel has."""
_BLOCK = 256


@dataclass
class DecodeResult:
    """The decoded images: where their array is, and which files could not be decoded.

    `images` is the `.npy` file, (n, size, size) uint8; `decoded` is (n,) bool, false where there was no path or the
    file is damaged; `damaged` maps an index to its reason, without the file's name.
    """

    images: Path
    decoded: np.ndarray
    damaged: dict[int, str]

    def counts(self) -> dict[str, int]:
        """Count the damaged files by reason."""
        reasons = sorted(self.damaged.values())
        return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def decode_images(
    paths: Sequence[Path | None], out: Path, size: int, workers: int = 1, max_damaged_share: float = 1.0
) -> DecodeResult:
    """Decode every image once into `out`.

    An image becomes grey, its shorter side is brought to `size` with the aspect kept, and its centre is cut out. A
    JPEG is decoded at the smallest of 1/8, 1/4, 1/2 of its size that still has the pixels needed, which skips most of
    the inverse cosine transform and of the resizing (libjpeg's scaled decoding, Pillow's draft mode); an anti-aliasing
    filter does the rest. Rows without an image are 0.

    Args:
        paths: one file per row, None where absent.
        out: the `.npy` file to write; it appears only when it is complete.
        size: side of the squares in pixels.
        workers: threads; decoding and resizing release the interpreter lock.
        max_damaged_share: share of damaged files above which they are an error.

    Raises:
        DataError: if too many files are damaged.
    """
    partial_file = out.with_name(f"{out.name}.partial")
    shape = (len(paths), size, size)
    if not paths:
        np.save(out, np.zeros(shape, np.uint8))
        return DecodeResult(out, np.zeros(0, bool), {})
    array = mapped(partial_file, np.uint8, shape)
    decoded = np.zeros(len(paths), dtype=bool)
    damaged: dict[int, str] = {}
    given = [(index, path) for index, path in enumerate(paths) if path is not None]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(given), _BLOCK):
            block = given[start : start + _BLOCK]
            found = pool.map(partial(_decode_or_reason, size=size), (path for _, path in block))
            for (index, _), image in zip(block, found, strict=True):
                if isinstance(image, str):
                    damaged[index] = image
                else:
                    array[index] = image
                    decoded[index] = True
    array.flush()
    del array
    if given and len(damaged) / len(given) > max_damaged_share:
        partial_file.unlink()
        reasons = ", ".join(sorted(set(damaged.values())))
        raise DataError(
            f"{len(damaged)} of {len(given)} image files cannot be decoded ({reasons}); "
            f"at most a share of {max_damaged_share:g} is tolerated (max_damaged_share)"
        )
    partial_file.replace(out)
    return DecodeResult(out, decoded, damaged)


def decode_image(path: Path, size: int) -> np.ndarray:
    """Decode one file to an array (size, size) of uint8.

    Raises:
        OSError, ValueError, SyntaxError: if the file is damaged.
    """
    # Read in one go: faster than the decoder's pieces of 64 KB, and kinder to network disks.
    with Image.open(BytesIO(path.read_bytes())) as image:
        width, height = image.size
        scale = size / min(width, height)
        wide, high = max(size, round(width * scale)), max(size, round(height * scale))
        # The decoder rounds sizes up; its box keeps the edges where they are in the full image.
        drafted = image.draft("L", (wide, high))
        _, _, right, bottom = drafted[1] if drafted is not None else (0, 0, width, height)
        # Resize and crop in one step: the box of the centre, in pixels of the image as decoded.
        left, top = (wide - size) // 2 * right / wide, (high - size) // 2 * bottom / high
        box = (left, top, left + size * right / wide, top + size * bottom / high)
        square = _grey(image).resize((size, size), FILTER, box=_inside(box, right, bottom))
        # The centre stays the centre when a camera's picture is turned upright. (A TIFF is turned by being loaded.)
        orientation = 1
        with suppress(OSError, ValueError, SyntaxError, struct.error):  # whole pixels beside damaged EXIF
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return np.asarray(square.transpose(TURNS[orientation]) if orientation in TURNS else square, dtype=np.uint8)


def _inside(box: tuple[float, float, float, float], right: float, bottom: float) -> tuple[float, float, float, float]:
    """Clip a box to the image, which a rounding error may put its edge outside of."""
    return box[0], box[1], min(box[2], right), min(box[3], bottom)


def _grey(image: Image.Image) -> Image.Image:
    """Convert to 8-bit grey, white as light as it is to be seen; deeper images are scaled by the range that they use.

    Of up to 16 bits those that the image uses count, since scanners store 12 in a container of 16; a few brighter
    pixels do not, nor do more of them that are far brighter than all others, such as burnt-in letters. Other integers
    and floats are scaled from their minimum to their maximum.
    """
    whole = np.asarray(image) if image.mode.startswith("I") else None
    if whole is not None and whole.size and int(whole.min()) >= 0 and int(whole.max()) < 1 << 16:
        below = np.cumsum(np.bincount(whole.ravel(), minlength=1 << 16)) / whole.size
        bits = next(n for n in range(8, 17) if below[(1 << n) - 1] >= USED or _marked_above(below, n))
        grey = np.minimum(whole.astype(np.int64) >> (bits - 8), 255).astype(np.uint8)
        return Image.fromarray(255 - grey if _white_is_zero(image) else grey)
    if image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(high - low):
            raise ValueError("pixels are not finite")
        return Image.fromarray(((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8))
    grey = image.convert("L")
    return ImageOps.invert(grey) if image.info.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _marked_above(below: np.ndarray, bits: int) -> bool:
    """Tell whether what is above so many bits is a marker: few pixels, and none within two bits more."""
    inside = below[(1 << bits) - 1]
    return bits <= 14 and bool(inside >= 1 - MARKED and below[(1 << (bits + 2)) - 1] == inside)


def _white_is_zero(image: Image.Image) -> bool:
    """Tell whether a deep image says that 0 is white (DICOM's MONOCHROME1); Pillow inverts such TIFFs of 8 bits."""
    tags = getattr(image, "tag_v2", {})
    said = tags.get(ExifTags.Base.PhotometricInterpretation, image.info.get("PhotometricInterpretation"))
    return said in (0, "MONOCHROME1")


def _decode_or_reason(path: Path, size: int) -> np.ndarray | str:
    """Decode one file, or say in a few words why that fails."""
    try:
        return decode_image(path, size)
    except FileNotFoundError:
        return "file is missing"
    except UnidentifiedImageError:
        return "not an image"
    except Image.DecompressionBombError:
        return "too many pixels"
    except (OSError, ValueError, SyntaxError, EOFError, ZeroDivisionError, struct.error) as error:
        return "truncated" if "truncated" in str(error) else "cannot be decoded"
