"""A synthetic hospital in the file formats of MIMIC-IV, MIMIC-IV-Note and MIMIC-CXR-JPG.

One latent state per admission (organ systems, severity, age) drives vitals, laboratory results, diagnosis codes, the
sentences of notes, the findings on drawn chest films, and death. Each modality shows its own noisy part of that state,
so they complement one another and none suffices. The true risks are written beside the data: the ceiling for any
model. Nothing here resembles a real person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_hospital(
    folder: Path,
    stays: int,
    seed: int = 0,
    images: bool = True,
    image_size: tuple[int, int] | None = None,
    influence: dict[str, float] | None = None,
) -> Path:
    """Write a hospital; the same arguments write the same bytes.

    Written are `ehr/hosp`, `ehr/icu` (MIMIC-IV 2.2, csv.gz), `notes` (MIMIC-IV-Note 2.2), `cxr` (MIMIC-CXR-JPG 2.0;
    only with `images`) and `truth.parquet` (stay_id, mortality_risk and one column per phenotype: the probability given
    the whole latent state, which no model sees). Files of the same name are overwritten.

    Args:
        folder: made if it does not exist.
        stays: ICU stays; about 90 % pass the benchmark's exclusions (no ICU transfer, one stay per admission, adults),
            about 80 % also last 48 hours. At least 20.
        seed: of everything.
        images: draw chest films.
        image_size: rows and columns of every film; by default they vary between 320 and 512.
        influence: each modality's share of the variance of mortality's logit, see `SyntheticConfig.influence`.

    Returns:
        `folder`.

    Raises:
        ConfigError: if `stays`, `seed` or `influence` is impossible.
    """
    from pydantic import ValidationError

    from picme.config.synthetic import SyntheticConfig
    from picme.errors import ConfigError
    from picme.sources.synthetic.images import write_images
    from picme.sources.synthetic.notes import write_notes
    from picme.sources.synthetic.patients import admit
    from picme.sources.synthetic.series import write_series
    from picme.sources.synthetic.studies import schedule
    from picme.sources.synthetic.tables import truth, write_tables

    try:
        SyntheticConfig(stays=stays, seed=seed, images=images, influence=influence)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"synthetic hospital, {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    hospital = admit(stays, seed, influence)
    studies = schedule(hospital)
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(hospital, folder / "ehr")
    write_series(hospital, folder / "ehr")
    write_notes(hospital, studies, folder / "notes")
    if images:
        write_images(hospital, studies, folder / "cxr", image_size)
    truth(hospital).write_parquet(folder / "truth.parquet")
    return folder


def write_events(folder: Path, chart_rows: int, lab_rows: int, stays: int, seed: int = 0, threads: int = 2) -> None:
    """Write large event tables, for measuring ingestion: `hosp` and `icu` of MIMIC-IV 2.2 right below `folder`.

    Rows come in random order across stays; about 17 % of the chart rows and 5 % of the laboratory rows are of items
    that the benchmark's channels use. Values are plausible but carry no latent state.

    Args:
        folder: made if it does not exist.
        chart_rows: rows of chartevents. lab_rows: rows of labevents.
        stays: ICU stays among which the rows fall.
        seed: of everything; the number of threads changes nothing.
        threads: chunks made at once.
    """
    from picme.sources.synthetic.events import write

    write(folder, chart_rows, lab_rows, stays, seed, threads)
