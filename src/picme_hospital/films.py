"""The drawing of chest films.

A thorax is drawn on a coarse grid (ribs, spine, lungs, heart, diaphragm). The findings of the latent state are drawn
over it (opacities, heart size, effusion, devices). The picture is then enlarged, and noise is added at its final size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from picme_hospital.arguments import ImageStyle
    from picme_hospital.patients import Hospital

GRID = 144  # rows and columns of the grid on which a thorax is drawn
_Y, _X = np.meshgrid(
    np.linspace(-1, 1, GRID, dtype="float32"), np.linspace(-1, 1, GRID, dtype="float32"), indexing="ij"
)


def finding(h: Hospital, a: int, rng: np.random.Generator) -> dict[str, float]:
    """Return what a film of admission `a` shows: the latents of the image view with some noise, and the traits."""
    view, traits = h.latent.views["image"], h.latent.traits
    lung, heart = (float(view[name][a]) + 0.2 * rng.normal() for name in ("lung", "heart"))
    return {
        "lung": lung,
        "heart": heart,
        "effusion": 0.5 * (lung + heart) + float(traits["effusion"][a]),
        "age": float(view["age"][a]),
        "pads": float(view["pads"][a]),
        "side": float(traits["side"][a]),
        "female": float(h.female[h.subject[a]]),
        **{name: float(traits[name][a]) for name in ("intubated", "line", "pacemaker", "sternotomy")},
    }


def noise_tile(rng: np.random.Generator) -> np.ndarray:
    """Draw the film grain, (1024, 1024) float32, from which each film's noise is cut at a random place."""
    return rng.normal(size=(1024, 1024)).astype("float32")


def draw(
    shows: dict[str, float],
    view: str,
    shape: tuple[int, int],
    rng: np.random.Generator,
    grain: np.ndarray,
    style: ImageStyle | None = None,
) -> np.ndarray:
    """Draw a film.

    Args:
        shows: What the film shows, see `finding`.
        view: AP, PA or LATERAL.
        shape: Rows and columns of the film.
        rng: The source of variation in anatomy and pose.
        grain: The noise from which the film's is cut, see `noise_tile`.
        style: How the hospital's machines draw films; None for the usual way.

    Returns:
        The film, of shape `shape` and type uint8; it is bright where X-rays are absorbed.
    """
    thorax = _lateral(shows, rng) if view == "LATERAL" else _frontal(shows, rng, magnify=view == "AP")
    thorax = thorax * rng.normal(1.0, 0.03) + rng.normal(0, 0.015)
    if style is not None:
        thorax = 0.5 + style.contrast * (thorax - 0.5) + style.exposure
    picture = Image.fromarray(np.clip(thorax * 255, 0, 255).astype("uint8")).resize(
        (shape[1], shape[0]), Image.Resampling.BICUBIC
    )
    top, left = (int(k) for k in rng.integers(0, 500, 2))
    rows, columns = np.arange(shape[0]) + top, np.arange(shape[1]) + left
    if rows[-1] < 1024 and columns[-1] < 1024:
        noise = grain[top : top + shape[0], left : left + shape[1]]
    else:
        noise = grain[np.ix_(rows % 1024, columns % 1024)]
    return np.clip(
        np.asarray(picture, dtype="float32") + (4.0 * (style.grain if style else 1.0)) * noise, 0, 255
    ).astype("uint8")


def _soft(distance: np.ndarray, width: float) -> np.ndarray:
    """Return 1 where the distance is below 1 and 0 where it is above, with a linear edge of the given width."""
    return np.clip((1 - distance) / width + 0.5, 0, 1)


def _blob(x: float, y: float, wide: float, high: float) -> np.ndarray:
    """Return a Gaussian bump around (x, y) with the given half-widths, (GRID, GRID)."""
    column, row = np.exp(-(((_Y[:, :1] - y) / high) ** 2)), np.exp(-(((_X[:1] - x) / wide) ** 2))
    return np.asarray(column * row, dtype="float32")


def _frontal(shows: dict[str, float], rng: np.random.Generator, magnify: bool) -> np.ndarray:
    """Draw a frontal film, (GRID, GRID) float in 0 … 1; the patient's right is on the left of the film."""
    dx, dy, wide = (float(rng.normal(m, s)) for m, s in ((0, 0.02), (0, 0.03), (1, 0.03)))
    x, y = _X - np.float32(dx), _Y - np.float32(dy)
    out = np.abs(x)
    body = _soft(
        np.square(np.square(x / (0.88 if shows["female"] else 0.98)))
        + np.square(np.square(np.maximum((0.25 - y) / 1.22, 0))),
        0.35,
    )
    air = _soft(np.square((out - 0.43 * wide) / 0.35) + np.square((y + 0.02) / 0.74), 0.45)
    dome = 0.52 + 1.1 * np.square(out - 0.40)
    air = air * _soft(1 + (y - dome), 0.08)
    # The heart's share of the thorax grows with the latent; a bedside film (AP) magnifies it.
    radius = min(max(0.28 + 0.09 * shows["heart"] + (0.02 if magnify else 0), 0.14), 0.6)
    middle, tall = 0.06 + 0.35 * radius, 0.26 + 0.4 * radius
    heart = _soft(np.square((x - middle) / radius) + np.square((y - 0.30) / tall), 0.35)
    air = air * (1 - heart)
    ribs = 0.5 + 0.5 * np.sin(24 * (y + 0.35 * out * out + np.float32(rng.normal(0, 0.02))))
    film = 0.66 * body - 0.47 * air + 0.07 * air * ribs * ribs
    film += 0.13 * _soft(out / 0.09, 0.6) + 0.07 * heart  # the spine, and the heart, which is denser than soft tissue
    film += 0.07 * _soft(np.square(x / 0.22) + np.square((y + 0.62) / 0.5), 0.9)
    # The aortic knob becomes wider and calcified with age.
    film += (0.13 * min(max(shows["age"] + 1.2, 0.0), 3.5)) * _blob(0.17 + dx, -0.33 + dy, 0.13, 0.15)
    film += air * (max(shows["heart"] + 0.3, 0.0) * 0.08) * np.clip(1.2 - 2 * out, 0, 1)  # congestion
    sides = {-1.0: (1,), 0.0: (-1, 1), 1.0: (-1,)}[shows["side"]]
    opacity = max(shows["lung"] + 1.0, 0.0)
    mottle = Image.fromarray(rng.normal(size=(28, 28)).astype("float32")).resize((GRID, GRID), Image.Resampling.BICUBIC)
    haze = 0.085 + 0.035 * np.asarray(mottle)
    for side in sides:
        for _ in range(2):
            cx, cy, w, t = (rng.uniform(*r) for r in ((0.3, 0.55), (-0.15, 0.35), (0.16, 0.26), (0.16, 0.28)))
            haze = haze + 0.07 * _blob(side * cx, cy, w, t)
    film += air * (opacity * haze)
    level = 0.50 - 0.22 * max(shows["effusion"] + 0.2, 0.0)
    for side in sides:
        fluid = _soft(1 - (y - level + 0.5 * np.clip(side * x - 0.4, 0, 1)), 0.06) * (side * x > 0.05)
        film += fluid * air * np.maximum(0.62 - film, 0)
    if shows["female"]:
        film += 0.07 * _soft(np.square((out - 0.47) / 0.36) + np.square((y - 0.40) / 0.3), 0.3)
    return _devices(film, x, y, shows)


def _devices(film: np.ndarray, x: np.ndarray, y: np.ndarray, shows: dict[str, float]) -> np.ndarray:
    """Draw tube, central line, sternal wires, pacemaker and defibrillator electrodes as bright, sharp shapes."""
    if shows["intubated"]:
        film = np.where((np.abs(x - 0.02) < 0.014) & (y < -0.35), 0.97, film)
    if shows["line"]:
        film = np.where((np.abs(x + 0.16 - 0.1 * y) < 0.012) & (y < 0.0), 0.93, film)
    if shows["sternotomy"]:
        wires = (np.abs(x) < 0.035) & (np.abs((y + 0.5) % 0.2 - 0.1) < 0.025) & (np.abs(y) < 0.5)
        film = np.where(wires, 1.0, film)
    if shows["pacemaker"]:
        film = np.where((np.abs(x - 0.58) < 0.12) & (np.abs(y + 0.58) < 0.09), 1.0, film)
        film = np.where((np.abs(np.hypot(x - 0.6, y - 0.1) - 0.62) < 0.012) & (x < 0.5) & (y < 0.4), 0.95, film)
    if shows["pads"] > 0:  # the electrodes of a defibrillator, below the right clavicle and beside the apex
        for column, row in ((-0.5, -0.35), (0.62, 0.3)):
            film = np.where((np.abs(x - column) < 0.2) & (np.abs(y - row) < 0.24), 0.9, film)
    return film


def _lateral(shows: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Draw a lateral film, (GRID, GRID) float: one lung field, the heart in front and the spine behind."""
    x, y = _X - rng.normal(0, 0.03), _Y - rng.normal(0, 0.03)
    film = 0.7 * _soft(np.hypot(x / 0.8, (y - 0.2) / 1.25) ** 4, 0.3)
    lung = _soft(np.hypot(x / 0.58, (y + 0.05) / 0.72) ** 3, 0.5)
    film -= 0.4 * lung
    film += 0.2 * _soft(np.abs(x - 0.45) / 0.12, 0.5)
    film += 0.3 * _soft(np.hypot((x + 0.2) / (0.25 + 0.05 * shows["heart"]), (y - 0.3) / 0.3) ** 2, 0.4)
    return np.asarray(film + lung * 0.07 * max(shows["lung"] + 0.6, 0.0))
