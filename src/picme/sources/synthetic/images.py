"""Drawn chest X-rays in the layout of MIMIC-CXR-JPG 2.0, with its metadata, split and CheXpert tables.

A thorax is drawn on a coarse grid (ribs, spine, lungs, heart, diaphragm), the findings of the latent are laid over it
(opacities, heart size, effusion, devices), and the picture is enlarged and given noise at its final size.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from PIL import Image

from picme.sources.synthetic.files import stream, write_table
from picme.sources.synthetic.patients import DAY, Hospital

if TYPE_CHECKING:
    from pathlib import Path

    from picme.sources.synthetic.studies import Studies

GRID = 144
QUALITY = 90
SIZES = (320, 512)
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
_Y, _X = np.meshgrid(
    np.linspace(-1, 1, GRID, dtype="float32"), np.linspace(-1, 1, GRID, dtype="float32"), indexing="ij"
)


def write_images(h: Hospital, studies: Studies, folder: Path, size: tuple[int, int] | None) -> int:
    """Draw every imaged study below `folder`/files and write the three tables; returns the number of images.

    Args:
        h: the hospital. studies: its studies.
        folder: of MIMIC-CXR-JPG.
        size: rows and columns of every image; None for sizes that vary as those of cropped films do.
    """
    rng = stream(h.seed, "images")
    shown = np.flatnonzero(studies.imaged)
    rows: list[tuple[object, ...]] = []
    bases = _noise_tiles(rng)
    for s in shown:
        a = int(studies.admission[s])
        own = stream(h.seed, "image", int(s))
        subject = int(h.subject_id[h.subject[a]])
        study = folder / "files" / f"p{subject // 1_000_000}" / f"p{subject}" / f"s{studies.study_id[s]}"
        study.mkdir(parents=True, exist_ok=True)
        for view in ("AP",) if studies.portable[s] else ("PA", "LATERAL"):
            shape = size or (int(own.integers(*SIZES)), int(own.integers(*SIZES)))
            picture = draw(finding(h, a, own), view, shape, own, bases)
            dicom = "-".join(f"{int(part):08x}" for part in own.integers(0, 2**32, 5))
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY)
            (study / f"{dicom}.jpg").write_bytes(buffer.getvalue())
            rows.append(
                (
                    dicom,
                    subject,
                    int(studies.study_id[s]),
                    view,
                    shape[0],
                    shape[1],
                    int(studies.time[s]),
                    int(own.integers(1000)),
                    a,
                )
            )
    if rows:
        _damage(folder, rows, rng)
    _write_metadata(h, folder, rows)
    return len(rows)


def _damage(folder: Path, rows: list[tuple[object, ...]], rng: np.random.Generator) -> None:
    """Cut the end off a few files, as broken downloads are."""
    for k in rng.choice(len(rows), size=max(1, len(rows) // 1000), replace=False):
        dicom, subject, study = rows[k][:3]
        path = folder / "files" / f"p{int(str(subject)) // 1_000_000}" / f"p{subject}" / f"s{study}" / f"{dicom}.jpg"
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 3])


def _write_metadata(h: Hospital, folder: Path, rows: list[tuple[object, ...]]) -> None:
    names = ("dicom_id", "subject_id", "study_id", "view", "Rows", "Columns", "time", "ms", "admission")
    strings = {"dicom_id", "view"}
    frame = pl.DataFrame(rows, schema=[(n, pl.String if n in strings else pl.Int64) for n in names], orient="row")
    day = (pl.col("time") // DAY * DAY * 1_000_000).cast(pl.Datetime("us"))
    second = pl.col("time") % DAY
    clock = second // 3600 * 10000 + second // 60 % 60 * 100 + second % 60
    ap, lateral = pl.col("view") == "AP", pl.col("view") == "LATERAL"
    write_table(
        folder / "mimic-cxr-2.0.0-metadata.csv.gz",
        frame.select(
            "dicom_id",
            "subject_id",
            "study_id",
            pl.when(ap)
            .then(pl.lit("CHEST (PORTABLE AP)"))
            .otherwise(pl.lit("CHEST (PA AND LAT)"))
            .alias("PerformedProcedureStepDescription"),
            pl.col("view").alias("ViewPosition"),
            "Rows",
            "Columns",
            day.dt.strftime("%Y%m%d").alias("StudyDate"),
            # The release writes the time as a number, so midnight loses its zeros.
            pl.format("{}.{}", clock, pl.col("ms").cast(pl.String).str.zfill(3)).alias("StudyTime"),
            pl.when(ap)
            .then(pl.lit("CHEST (PORTABLE AP)"))
            .otherwise(pl.lit("CHEST (PA AND LAT)"))
            .alias("ProcedureCodeSequence_CodeMeaning"),
            pl.when(ap)
            .then(pl.lit("antero-posterior"))
            .when(lateral)
            .then(pl.lit("lateral"))
            .otherwise(pl.lit("postero-anterior"))
            .alias("ViewCodeSequence_CodeMeaning"),
            pl.when(ap)
            .then(pl.lit("Recumbent"))
            .otherwise(pl.lit("Erect"))
            .alias("PatientOrientationCodeSequence_CodeMeaning"),
        ),
    )
    fold = (pl.col("subject_id") % 100).replace_strict({0: "validate", 1: "test"}, default="train").alias("split")
    write_table(folder / "mimic-cxr-2.0.0-split.csv.gz", frame.select("dicom_id", "study_id", "subject_id", fold))
    write_table(folder / "mimic-cxr-2.0.0-chexpert.csv.gz", _chexpert(h, frame))


def _chexpert(h: Hospital, frame: pl.DataFrame) -> pl.DataFrame:
    """Labels as a report labeller gives them: 1 mentioned, 0 denied, -1 uncertain, empty not mentioned."""
    studies = frame.unique("study_id", keep="first", maintain_order=True)
    a = studies["admission"].to_numpy()
    seen = h.latent.views["radiology"]
    lung, heart, infection = (seen[name][a] for name in ("lung", "heart", "infection"))
    effusion = 0.5 * (lung + heart) + h.latent.traits["effusion"][a]
    devices = h.latent.traits["intubated"][a] | h.latent.traits["line"][a] | h.latent.traits["pacemaker"][a]

    def graded(view: np.ndarray) -> np.ndarray:
        return np.array([0.0, np.nan, -1.0, 1.0])[np.digitize(view, (-0.2, 0.3, 0.6))]

    columns = {name: np.full(len(a), np.nan) for name in FINDINGS}
    columns |= {
        "Cardiomegaly": graded(heart),
        "Edema": graded(heart - 0.3),
        "Lung Opacity": graded(lung),
        "Consolidation": graded(lung - 0.5),
        "Atelectasis": graded(lung + 0.2),
        "Pneumonia": graded(infection),
        "Pleural Effusion": graded(effusion),
        "Support Devices": np.where(devices, 1.0, np.nan),
        "No Finding": np.where((lung < -0.2) & (heart < -0.2) & ~devices, 1.0, np.nan),
    }
    return studies.select("subject_id", "study_id").with_columns(
        pl.Series(name, values).fill_nan(None) for name, values in columns.items()
    )


def finding(h: Hospital, a: int, rng: np.random.Generator) -> dict[str, float]:
    """What one film of admission `a` shows: latents of its view with a little noise of the day, and the traits."""
    view, traits = h.latent.views["image"], h.latent.traits
    lung, heart = (float(view[name][a]) + 0.2 * rng.normal() for name in ("lung", "heart"))
    return {
        "lung": lung,
        "heart": heart,
        "effusion": 0.5 * (lung + heart) + float(traits["effusion"][a]),
        "age": float(view["age"][a]),
        "side": float(traits["side"][a]),
        "female": float(h.female[h.subject[a]]),
        **{name: float(traits[name][a]) for name in ("intubated", "line", "pacemaker", "sternotomy")},
    }


def _noise_tiles(rng: np.random.Generator) -> np.ndarray:
    """Grain, drawn once and cut from at random places: (1024, 1024) float32."""
    return rng.normal(size=(1024, 1024)).astype("float32")


def draw(
    shows: dict[str, float], view: str, shape: tuple[int, int], rng: np.random.Generator, grain: np.ndarray
) -> np.ndarray:
    """One film.

    Args:
        shows: see `finding`.
        view: AP, PA or LATERAL.
        shape: rows, columns.
        rng: of anatomy and pose. grain: noise to cut from.

    Returns:
        `shape` uint8, bright where X-rays are absorbed.
    """
    thorax = _lateral(shows, rng) if view == "LATERAL" else _frontal(shows, rng, magnify=view == "AP")
    thorax = thorax * rng.normal(1.0, 0.03) + rng.normal(0, 0.015)
    picture = Image.fromarray(np.clip(thorax * 255, 0, 255).astype("uint8")).resize(
        (shape[1], shape[0]), Image.Resampling.BICUBIC
    )
    top, left = (int(k) for k in rng.integers(0, 500, 2))
    rows, columns = np.arange(shape[0]) + top, np.arange(shape[1]) + left
    if rows[-1] < 1024 and columns[-1] < 1024:
        noise = grain[top : top + shape[0], left : left + shape[1]]
    else:
        noise = grain[np.ix_(rows % 1024, columns % 1024)]
    return np.clip(np.asarray(picture, dtype="float32") + 4.0 * noise, 0, 255).astype("uint8")


def _soft(distance: np.ndarray, width: float) -> np.ndarray:
    """1 inside (distance < 1), 0 outside, with an edge of some width."""
    return np.clip((1 - distance) / width + 0.5, 0, 1)


def _blob(x: float, y: float, wide: float, high: float) -> np.ndarray:
    """(GRID, GRID) Gaussian."""
    column, row = np.exp(-(((_Y[:, :1] - y) / high) ** 2)), np.exp(-(((_X[:1] - x) / wide) ** 2))
    return np.asarray(column * row, dtype="float32")


def _frontal(shows: dict[str, float], rng: np.random.Generator, magnify: bool) -> np.ndarray:
    """(GRID, GRID) float, 0 … 1. The patient's right is on the left of the film."""
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
    # Heart: its share of the thorax grows with the latent; a bedside film magnifies it.
    radius = min(max(0.28 + 0.09 * shows["heart"] + (0.02 if magnify else 0), 0.14), 0.6)
    middle, tall = 0.06 + 0.35 * radius, 0.26 + 0.4 * radius
    heart = _soft(np.square((x - middle) / radius) + np.square((y - 0.30) / tall), 0.35)
    air = air * (1 - heart)
    ribs = 0.5 + 0.5 * np.sin(24 * (y + 0.35 * out * out + np.float32(rng.normal(0, 0.02))))
    film = 0.66 * body - 0.47 * air + 0.07 * air * ribs * ribs
    film += 0.13 * _soft(out / 0.09, 0.6) + 0.07 * heart  # spine; heart denser than the soft parts
    film += 0.07 * _soft(np.square(x / 0.22) + np.square((y + 0.62) / 0.5), 0.9)
    # Aortic knob: wider and calcified with age.
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
    """Tube, line and pacemaker: bright and sharp."""
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
    return film


def _lateral(shows: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """A lateral film: one lung field, the heart in front, the spine behind."""
    x, y = _X - rng.normal(0, 0.03), _Y - rng.normal(0, 0.03)
    film = 0.7 * _soft(np.hypot(x / 0.8, (y - 0.2) / 1.25) ** 4, 0.3)
    lung = _soft(np.hypot(x / 0.58, (y + 0.05) / 0.72) ** 3, 0.5)
    film -= 0.4 * lung
    film += 0.2 * _soft(np.abs(x - 0.45) / 0.12, 0.5)
    film += 0.3 * _soft(np.hypot((x + 0.2) / (0.25 + 0.05 * shows["heart"]), (y - 0.3) / 0.3) ** 2, 0.4)
    return np.asarray(film + lung * 0.07 * max(shows["lung"] + 0.6, 0.0))
