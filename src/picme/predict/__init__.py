"""A finished run applied to new stays: calibrated probabilities, averaged over the seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from picme.engine.faults import naming_faults
from picme.engine.progress import Parts
from picme.engine.store import private
from picme.errors import ConfigError
from picme.pipeline import Run
from picme.predict.model import Model

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

__all__ = ["Model", "Predicted", "predict"]


class Predicted(NamedTuple):
    """The number of stays with a prediction, that of stays without any of the modalities, and what else to know."""

    written: int
    left_out: int
    notes: tuple[str, ...]


def predict(
    run: Path,
    cohort: Path,
    task: str,
    strategy: str | None,
    combination: str | None,
    out: Path,
    contributions: Path | None = None,
    withhold: tuple[str, ...] = (),
    quiet: bool = True,
) -> Predicted:
    """Write one row per stay: stay_id, a calibrated probability for each label, and the modalities it was made from.

    A strategy that takes any subset predicts from what each stay has; modalities that the cohort lacks altogether count
    as absent, and a stay with none has a row without probabilities, whose modalities are `none`. For other strategies
    such a stay has no row.

    Args:
        run: a finished run folder.
        cohort: a run folder whose prepare stage is done: the new stays, read with the same modalities.
        task: a task that both have.
        strategy, combination: without both, the cell `selected` in `summary`; with one, its best on validation, or all
            modalities for a strategy that takes any subset.
        out: `.csv` or `.parquet`.
        contributions: `.csv` or `.parquet` for one row per stay, label and modality: what the modality adds to the
            logit (before calibration), compared with the training stays' average one; see `contributions`.
        withhold: modalities that are taken to be absent, for a strategy that takes any subset.
        quiet: no progress on stderr.

    Returns:
        How many stays were written and left out, and sentences on how the cohort differs from the training stays.

    Raises:
        ConfigError, DataError: as `Model` and its methods raise them.
    """
    for option, file in (("--out", out), ("--contributions", contributions)):
        if file is not None and file.is_dir():
            raise ConfigError(f"{option} {file} is a folder, expected a file to write")
        if file is not None and file.suffix not in (".csv", ".parquet"):
            raise ConfigError(f"{option} {file} must end in .csv or .parquet")
    model = Model(Run.at(run), task, strategy, combination, withhold)
    with Parts(quiet, "predict") as progress, model.applied(cohort, progress) as new:
        table = model.probabilities(new)
        added = model.contributions(new) if contributions else None
    _write(table, out)
    if contributions is not None and added is not None:
        _write(added, contributions)
    return Predicted(len(new.rows), new.left_out, new.notes)


def _write(table: pl.DataFrame, file: Path) -> None:
    with private(), naming_faults(file.absolute()):
        file.parent.mkdir(parents=True, exist_ok=True)
        table.write_csv(file) if file.suffix == ".csv" else table.write_parquet(file)
