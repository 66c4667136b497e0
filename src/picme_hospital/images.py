"""The release MIMIC-CXR-JPG 2.0: drawn chest films and the tables of metadata, split and CheXpert labels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from PIL import Image

from picme_hospital.files import stream, write_table
from picme_hospital.films import draw, finding, noise_tile
from picme_hospital.patients import DAY, Hospital

if TYPE_CHECKING:
    from pathlib import Path

    from picme_hospital.arguments import ImageStyle
    from picme_hospital.studies import Studies

QUALITY = 90  # of the JPEG files
SIZES = (320, 512)  # the smallest number of rows or columns of a film, and one more than the largest
# The labels of CheXpert, in the order of the release's columns.
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


def write_images(
    h: Hospital, studies: Studies, folder: Path, size: tuple[int, int] | None, style: ImageStyle | None = None
) -> int:
    """Draw the films of every imaged study below `folder`/files and write the three tables.

    Args:
        h: The hospital.
        studies: The hospital's radiology studies.
        folder: The folder of the release.
        size: Rows and columns of every film; None for sizes that vary like those of cropped films.
        style: How the hospital's machines draw films; None for the usual way.

    Returns:
        The number of films.
    """
    rng = stream(h.seed, "images")
    shown = np.flatnonzero(studies.imaged)
    rows: list[tuple[object, ...]] = []
    grain = noise_tile(rng)
    for s in shown:
        a = int(studies.admission[s])
        own = stream(h.seed, "image", int(s))
        subject = int(h.subject_id[h.subject[a]])
        study = folder / "files" / f"p{subject // 1_000_000}" / f"p{subject}" / f"s{studies.study_id[s]}"
        study.mkdir(parents=True, exist_ok=True)
        for view in ("AP",) if studies.portable[s] else ("PA", "LATERAL"):
            shape = size or (int(own.integers(*SIZES)), int(own.integers(*SIZES)))
            picture = draw(finding(h, a, own), view, shape, own, grain, style)
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
    """Truncate a few files like broken downloads. `rows` are those of the metadata; `folder` is that of the release."""
    for k in rng.choice(len(rows), size=max(1, len(rows) // 1000), replace=False):
        dicom, subject, study = rows[k][:3]
        path = folder / "files" / f"p{int(str(subject)) // 1_000_000}" / f"p{subject}" / f"s{study}" / f"{dicom}.jpg"
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 3])


def _write_metadata(h: Hospital, folder: Path, rows: list[tuple[object, ...]]) -> None:
    """Write the three tables, given one row for each film (its columns are `names` below)."""
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
            # The release writes the time as a number, so its leading zeros are lost.
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
    """Return the CheXpert labels of each study: 1 mentioned, 0 denied, -1 uncertain, empty not mentioned."""
    studies = frame.unique("study_id", keep="first", maintain_order=True)
    a = studies["admission"].to_numpy()
    seen = h.latent.views["radiology"]
    lung, heart, infection = (seen[name][a] for name in ("lung", "heart", "infection"))
    effusion = 0.5 * (lung + heart) + h.latent.traits["effusion"][a]
    devices = h.latent.traits["intubated"][a] | h.latent.traits["line"][a] | h.latent.traits["pacemaker"][a]

    def graded(view: np.ndarray) -> np.ndarray:
        """Return the labels of a finding, given its severity."""
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
