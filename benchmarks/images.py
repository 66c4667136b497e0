"""Chest X-rays to squares: picme's scaled decoding against Pillow's decode-then-resize on the same files.

    python benchmarks/images.py [--quick] [--workers N]

Both turn each JPEG (2500×3000, quality 95, about as large as MIMIC-CXR-JPG's 1.5 MB on average) into a grey 224×224
square with the same anti-aliasing filter. The reference decodes every pixel and then resizes; picme decodes at 1/8 of
the size and resizes what is left. `ratio` compares the processor time of one image, so that it owes nothing to threads
and little to other work on the machine: for each image the median of several rounds, the two by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from picme.cohort.decode import FILTER, decode_image, decode_images

if TYPE_CHECKING:
    from collections.abc import Callable

HEIGHT, WIDTH, SIZE, QUALITY = 3000, 2500, 224, 95


def write(paths: list[Path]) -> None:
    """Draw and save one image per path."""
    rng = np.random.default_rng(0)
    for path in paths:
        thorax(rng).save(path, quality=QUALITY)


def thorax(rng: np.random.Generator) -> Image.Image:
    """Draw a grey image with an X-ray's power spectrum (about 1/f^1.8), two dark lungs and detector noise."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequency[0, 0] = 1
    waves = (rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)) / frequency**1.8
    waves[0, 0] = 0
    texture = np.fft.irfft2(waves, s=(HEIGHT, WIDTH))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / np.array([HEIGHT, WIDTH])[:, None, None]
    lungs = sum(np.clip(1 - ((x - at) / 0.17) ** 2 - ((y - 0.5) / 0.33) ** 2, 0, 0.4) for at in (0.28, 0.72))
    grey = 150 + 35 * texture / texture.std() - 170 * lungs + rng.normal(0, 1.6, texture.shape)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def reference(path: Path) -> np.ndarray:
    """Decode every pixel, make it grey, resize the shorter side, cut out the centre."""
    with Image.open(path) as image:
        grey = image.convert("L")
    scale = SIZE / min(grey.size)
    resized = grey.resize((round(grey.width * scale), round(grey.height * scale)), FILTER)
    left, top = (resized.width - SIZE) // 2, (resized.height - SIZE) // 2
    return np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)))


def decode(path: Path) -> np.ndarray:
    """Decode one file the way picme does."""
    return decode_image(path, SIZE)


def seconds(job: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds that one run takes."""
    start = clock()
    job()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 images instead of 40")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of the second figure")
    arguments = parser.parse_args()
    n_images, rounds = (8, 7) if arguments.quick else (40, 5)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.jpg" for index in range(n_images)]
        # Images are drawn in another process: its large arrays would leave the allocator in a state that no decoding
        # process has.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(write, paths).result()
        megabytes = sum(path.stat().st_size for path in paths) / n_images / 1e6
        out = Path(folder) / "images.npy"
        squares = np.stack([reference(path) for path in paths])

        def ours(workers: int) -> None:
            decode_images(paths, out, SIZE, workers)

        def pillow(workers: int) -> None:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(reference, paths))

        ours(1)
        difference = np.abs(np.load(out).astype(int) - squares)
        times: dict[str, list[list[float]]] = {"pillow": [], "ours": []}
        for path in paths:
            for name in times:
                times[name].append([])
            for _ in range(rounds):
                for name, one in (("pillow", reference), ("ours", decode)):
                    times[name][-1].append(seconds(lambda one=one, path=path: one(path), time.process_time))
        per_image = {name: 1000 * float(np.mean(np.median(values, axis=1))) for name, values in times.items()}
        for name, job in (("pillow_parallel", pillow), ("ours_parallel", ours)):
            runs = [seconds(lambda job=job: job(arguments.workers)) for _ in range(rounds)]
            per_image[name] = 1000 * min(runs) / n_images
    print(f"{n_images} JPEGs of {WIDTH}×{HEIGHT}, {megabytes:.2f} MB each, to {SIZE}×{SIZE}; {rounds} rounds")
    print(f"one core: Pillow {per_image['pillow']:.1f} ms of processor time an image, picme {per_image['ours']:.1f} ms")
    print(
        f"{arguments.workers} threads: Pillow {per_image['pillow_parallel']:.1f} ms an image on the clock, "
        f"picme {per_image['ours_parallel']:.1f} ms"
    )
    print(f"difference: mean {difference.mean():.2f} of 255 grey levels, greatest {difference.max()}")
    print("what is left is the entropy coding of the JPEG, which no scaled decoding can skip")
    result = {
        "ratio": round(per_image["pillow"] / per_image["ours"], 2),
        "reference": "Pillow: decode, convert to grey, resize with the same filter; one core",
        "ratio_parallel": round(per_image["pillow_parallel"] / per_image["ours_parallel"], 2),
        "ratio_parallel_to_one_core": round(per_image["pillow"] / per_image["ours_parallel"], 2),
        "mean_absolute_difference": round(float(difference.mean()), 3),
        "max_absolute_difference": int(difference.max()),
        "milliseconds_per_image": {name: round(value, 2) for name, value in per_image.items()},
        "megabytes_per_image": round(megabytes, 2),
        "images": n_images,
        "rounds": rounds,
        "workers": arguments.workers,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
