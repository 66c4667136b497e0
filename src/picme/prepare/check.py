"""Checks before and after running: what the raw data hold, and what a prepared study lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

    from picme.config.study import Config
    from picme.prepare.step import Fold, Prepare


def check_sources(config: Config) -> pl.DataFrame | None:
    """Return what the raw data of a configuration hold; None for a synthetic source, which is yet to be written."""
    source = config.source
    if source.kind == "mimic":
        from picme.cohort.check import check

        return check(source.ehr, source.notes, source.cxr)
    if source.kind == "synthetic":
        return None
    if source.kind == "meds":
        from picme.cohort.check_meds import check as check_meds

        return check_meds(config)
    import tempfile
    from pathlib import Path

    import polars as pl

    from picme.cohort.extract import extract
    from picme.sources.rows import present

    with tempfile.TemporaryDirectory() as scratch:
        extraction = extract(config, Path(scratch), None)
    rows = [
        {"view": name, "modality": modality, "stays": view.stays.height, "present": int(present(values).sum())}
        for name, view in extraction.views.items()
        for modality, values in view.modalities.items()
    ]
    return pl.DataFrame(rows)


def check_leaks(
    step: Prepare, prepared: Path, folds: Mapping[Fold, Path] | None = None
) -> tuple[pl.DataFrame, list[str]]:
    """Return the leakage audit of a prepared cohort, and a sentence for each violation.

    The measured leak of a task with many labels is shown as its mean; the table `leakage` has every label.

    Args:
        step: made the cohort.
        prepared: its artifact.
        folds: those of other folds.
    """
    import polars as pl

    from picme.cohort.audit import audit_frame, gone_by, kept_by
    from picme.cohort.leakage import leakage_table, subjects_across_splits, violations
    from picme.prepare.audit import cutoffs
    from picme.prepare.contents import CHECKS, judge_contents
    from picme.prepare.fold import audit
    from picme.prepare.statistics import judge_statistics
    from picme.tasks import build

    tasks = [build(name, section) for name, section in step.tasks.items()]
    stored = pl.read_parquet(prepared / "leakage.parquet")
    # The prepared files themselves are judged again: what was planted or changed after preparing must not pass.
    views = sorted(folder for folder in (prepared / "views").iterdir() if folder.is_dir())
    cohorts = {folder.name: pl.read_parquet(folder / "cohort.parquet") for folder in views}
    declared = "the preset declares the whole admission" if step.cohort.admit == "paper" else None
    times = cutoffs(cohorts, declared)
    published = getattr(step.cohort, "extraction", None) == "benchmark"
    for task in tasks:
        cohort = cohorts[task.name].filter(pl.col("split").is_not_null())
        if "predicted" in cohort.columns:
            found = audit_frame(gone_by(cohort, kept_by(published, task, step.cohort)))
            times.append(found.with_columns((pl.lit(f"{task.name}: ") + pl.col("detail")).alias("detail")))
    contents, learnt = judge_contents(step, prepared), judge_statistics(step, prepared)
    done = [*CHECKS, "shared_subjects", "gone_at_prediction"]
    by_split = (pl.col("check") == "latest_time") & pl.col("split").is_not_null()
    stored = stored.filter(~pl.col("check").is_in(done) & ~by_split)
    of_folds = [audit(fold, folder, prepared) for fold, folder in (folds or {}).items()]
    table = leakage_table(subjects_across_splits(cohorts), *times, learnt, *of_folds, contents, stored)
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
