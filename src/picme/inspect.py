"""What a user can look at before and after running: names, raw data, leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.errors import ConfigError, near

if TYPE_CHECKING:
    import polars as pl

    from picme.config.study import Config
    from picme.registry import Registry
    from picme.stages import Run


def names(what: str) -> dict[str, str]:
    """Names of a group, and a line about each.

    Raises:
        ConfigError: if there is no such group.
    """
    if what == "presets":
        from picme.config.loading import presets

        return presets()
    if what == "strategies":
        from picme.config.study import STRATEGY_MEANINGS

        return dict(STRATEGY_MEANINGS)
    registries = _registries()
    if what not in registries:
        raise ConfigError(f"nothing is listed under {what!r}{near(what, [*registries, 'presets', 'strategies'])}")
    registry = registries[what]
    return {name: registry.targets()[name] for name in registry.names()}


def _registries() -> dict[str, Registry]:
    from picme.cohort.extract import SOURCES
    from picme.encoders import ENCODERS
    from picme.finetune import FUSIONS
    from picme.modalities import KINDS
    from picme.objectives import OBJECTIVES
    from picme.tasks import TASKS

    return {
        "modalities": KINDS, "encoders": ENCODERS, "objectives": OBJECTIVES,
        "fusions": FUSIONS, "tasks": TASKS, "sources": SOURCES,
    }  # fmt: skip


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
    """The leakage table of a prepared run, and a sentence for each violation."""
    import polars as pl

    from picme.cohort.leakage import leakage_table, subjects_across_splits, violations

    stored = pl.read_parquet(run.prepared / "leakage.parquet")
    # The prepared files themselves are judged again: what was planted or changed after preparing must not pass.
    views = sorted(folder for folder in (run.prepared / "views").iterdir() if folder.is_dir())
    cohorts = {
        folder.name: pl.read_parquet(folder / "cohort.parquet").select("subject_id", "split") for folder in views
    }
    table = leakage_table(subjects_across_splits(cohorts), stored.filter(pl.col("check") != "shared_subjects"))
    return table, violations(table)
