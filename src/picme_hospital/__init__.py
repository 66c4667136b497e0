"""A synthetic hospital that writes releases in the file formats of MIMIC-IV, MIMIC-IV-Note and MIMIC-CXR-JPG.

Each admission has one hidden ("latent") state of health: organ systems, severity and age. The state determines vital
signs, laboratory results, diagnosis codes, the sentences of notes, the findings on drawn chest films, and death. Each
modality shows its own noisy part of the state, so the modalities complement one another and no single one suffices.
The true risks are written beside the data; no model can do better than they do. No record resembles a real person.

The package stands alone: it imports nothing of `picme`, which reads its files like those of a real release.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from picme_hospital.arguments import (
    MODALITIES,
    Absence,
    ArgumentError,
    CaseMix,
    ImageStyle,
    Planted,
    check_absence,
    check_case_mix,
    check_influence,
    check_style,
)

__all__ = [
    "MODALITIES",
    "Absence",
    "ArgumentError",
    "CaseMix",
    "ImageStyle",
    "Planted",
    "check_absence",
    "check_case_mix",
    "check_influence",
    "check_style",
    "write_events",
    "write_hospital",
    "write_meds",
]


def write_hospital(
    folder: Path,
    stays: int,
    seed: int = 0,
    images: bool = True,
    image_size: tuple[int, int] | None = None,
    planted: Planted | None = None,
    absence: Absence | None = None,
    case_mix: CaseMix | None = None,
    style: ImageStyle | None = None,
) -> Path:
    """Write a hospital's three releases and its true risks; the same arguments write the same bytes.

    The folder receives `ehr/hosp` and `ehr/icu` (MIMIC-IV 2.2, csv.gz), `notes` (MIMIC-IV-Note 2.2), `cxr`
    (MIMIC-CXR-JPG 2.0; only with `images`) and `truth.parquet`. The columns of `truth.parquet` are `stay_id`,
    `mortality_risk` and one for each phenotype; they hold the probability given the whole latent state, which no model
    sees. Files of the same name are overwritten.

    Args:
        folder: The folder to write to; it is made if it does not exist.
        stays: The number of ICU stays, at least 20. About 90 % of them pass the benchmark's exclusions (no ICU
            transfer, one stay per admission, adults), and about 80 % also last 48 hours.
        seed: The seed of every random number, 0 or more.
        images: Whether to draw chest films and to write the tables of MIMIC-CXR-JPG.
        image_size: Rows and columns of every film; by default they vary between 320 and 512.
        planted: What each modality tells of death, and what two tell together. By default the modalities overlap.
        absence: Which records do not exist; by default 3 % of each modality's, at random.
        case_mix: Which patients there are, and how many die; by default those of every other hospital.
        style: How the hospital's machines draw films; by default the usual way.

    Returns:
        `folder`.

    Raises:
        ArgumentError: If an argument is impossible; nothing is written then.
    """
    from picme_hospital.arguments import check
    from picme_hospital.images import write_images
    from picme_hospital.notes import write_notes
    from picme_hospital.patients import admit
    from picme_hospital.series import write_series
    from picme_hospital.studies import schedule
    from picme_hospital.tables import truth, write_tables

    absence = absence or Absence()
    check(stays, seed, planted, absence, case_mix, style)
    hospital = admit(stays, seed, planted, absence, case_mix)
    studies = schedule(hospital)
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(hospital, folder / "ehr")
    write_series(hospital, folder / "ehr")
    write_notes(hospital, studies, folder / "notes")
    if images:
        write_images(hospital, studies, folder / "cxr", image_size, style)
    truth(hospital).write_parquet(folder / "truth.parquet")
    return folder


def write_events(folder: Path, chart_rows: int, lab_rows: int, stays: int, seed: int = 0, threads: int = 2) -> None:
    """Write large event tables for measuring ingestion: `hosp` and `icu` of MIMIC-IV 2.2 directly below `folder`.

    Rows come in random order across stays. About 17 % of the chart rows and 5 % of the laboratory rows belong to items
    that the benchmark's channels use. Values are plausible but carry no latent state.

    Args:
        folder: The folder to write to; it is made if it does not exist.
        chart_rows: The number of rows of chartevents.
        lab_rows: The number of rows of labevents.
        stays: The number of ICU stays among which the rows are distributed.
        seed: The seed of every random number.
        threads: The number of chunks that are made at once; it does not change what is written.
    """
    from picme_hospital.events import write

    write(folder, chart_rows, lab_rows, stays, seed, threads)


def write_meds(
    folder: Path,
    stays: int,
    seed: int = 0,
    images: bool = True,
    image_size: tuple[int, int] | None = None,
    planted: Planted | None = None,
    absence: Absence | None = None,
    case_mix: CaseMix | None = None,
    style: ImageStyle | None = None,
) -> Path:
    """Write a hospital as a data set in the Medical Event Data Standard; the same arguments write the same events.

    The folder receives `data` (events), `metadata`, `images` and `truth.parquet`. The arguments, and all that there is
    to know of the patients, are those of `write_hospital`.

    Returns:
        `folder`.

    Raises:
        ArgumentError: If an argument is impossible; nothing is written then.
    """
    from picme_hospital.arguments import check
    from picme_hospital.meds import write

    check(stays, seed, planted, absence or Absence(), case_mix, style)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as place:
        made = write_hospital(Path(place), stays, seed, images, image_size, planted, absence, case_mix, style)
        write(made, folder, images)
    return folder
