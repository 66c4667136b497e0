"""What a user can look at before and after running: raw data, leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from picme.config.study import Config
    from picme.plan import Run

LATEST = "latest_"


def check_sources(config: Config) -> pl.DataFrame:
    """What the raw data of a configuration holds.

    Raises:
        ConfigError: if there is nothing to check in a source of this kind.
    """
    source = config.source
    if source.kind == "mimic":
        from picme.cohort.check import check

        return check(source.ehr, source.notes, source.cxr)
    if source.kind == "synthetic":
        raise ConfigError("a synthetic source has no raw data until it is written; use `picme synth` and check that")
    import tempfile
    from pathlib import Path

    import polars as pl

    from picme.cohort.extract import extract
    from picme.cohort.select import present

    with tempfile.TemporaryDirectory() as scratch:
        extraction = extract(config, Path(scratch), None)
    rows = [
        {"view": name, "modality": modality, "stays": view.stays.height, "present": int(present(values).sum())}
        for name, view in extraction.views.items()
        for modality, values in view.modalities.items()
    ]
    return pl.DataFrame(rows)


def check_leaks(run: Run) -> tuple[pl.DataFrame, list[str]]:
    """The leakage audit of a prepared run, and a sentence for each violation.

    The measured leak of a task with many labels is shown as its mean; the table `leakage` has every label.
    """
    import polars as pl

    from picme.cohort.leakage import cutoff_rows, leakage_table, subjects_across_splits, violations
    from picme.tasks import build

    tasks = [build(name, section) for name, section in run.config.tasks.items()]
    stored = pl.read_parquet(run.prepared / "leakage.parquet")
    # The prepared files themselves are judged again: what was planted or changed after preparing must not pass.
    views = sorted(folder for folder in (run.prepared / "views").iterdir() if folder.is_dir())
    cohorts = {folder.name: pl.read_parquet(folder / "cohort.parquet") for folder in views}
    declared = "the preset declares the whole admission" if run.config.cohort.admit == "paper" else None
    times = []
    for name, cohort in cohorts.items():
        for column in cohort.columns:
            if column.startswith(LATEST):
                modality = column.removeprefix(LATEST)
                found = cutoff_rows(modality, cohort[column], cohort["cutoff"], cohort["split"], declared)
                times.append(found.with_columns((pl.lit(f"{name}: ") + pl.col("detail")).alias("detail")))
    stored = stored.filter(pl.col("check") != "shared_subjects")
    table = leakage_table(subjects_across_splits(cohorts), *times, stored)
    measured = table.filter(pl.col("check") == "measured_leak")
    names = {label: task.name for task in tasks for label in task.labels}
    mean = (
        measured.with_columns(pl.col("label").replace(names), pl.col("detail") + ", mean over labels")
        .group_by("check", "modality", "split", "preset", "label", maintain_order=True)
        .agg(pl.col("count").first(), pl.col("detail").first(), pl.col("violation").first(), pl.col("auroc").mean())
    )
    shown = leakage_table(table.filter(pl.col("check") != "measured_leak"), mean)
    return shown.select(column for column in shown.columns if shown[column].null_count() < shown.height), violations(
        table
    )
