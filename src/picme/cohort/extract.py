"""From a configured source to views: the one place that knows which source is read how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.errors import ConfigError
from picme.registry import Registry
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config
    from picme.schema import Extraction

# Each takes (config, modalities, tasks, scratch folder, synthetic hospital); a source of another package is a class
# with `Config`, its section, and such a function `extract`.
SOURCES = Registry(
    "sources",
    {
        "mimic": "picme.cohort.extract:from_mimic",
        "synthetic": "picme.cohort.extract:from_synthetic",
        "physionet2012": "picme.cohort.extract:from_physionet2012",
        "table": "picme.cohort.extract:from_table",
    },
)


def extract(config: Config, scratch: Path, hospital: Path | None) -> Extraction:
    """Views of all tasks and of pretraining, with absent modalities marked and every exclusion counted.

    Args:
        config: the study.
        scratch: folder for intermediate files.
        hospital: where a synthetic source has been written.

    Raises:
        ConfigError, DataError: if the data do not fit the configuration.
    """
    modalities = {
        name: {key: value for key, value in dict(section).items() if key != "encoder"}
        for name, section in config.modalities.items()
    }
    tasks = {
        name: {**section.model_dump(), "window_hours": build_task(name, section).hours}
        for name, section in config.tasks.items()
    }
    reader = SOURCES.load(config.source.kind)
    found: Extraction = getattr(reader, "extract", reader)(config, modalities, tasks, scratch, hospital)
    return found


def from_mimic(
    config: Config, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """The MIMIC releases."""
    from picme.cohort.mimic import extract as read

    return read(config.source, config.cohort, modalities, list(tasks), config.pretrain.window, scratch)


def from_synthetic(
    config: Config, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """A synthetic hospital, read like the releases."""
    from picme.cohort.mimic import extract as read
    from picme.config.cohort import MimicSource

    if hospital is None:
        raise ConfigError("a synthetic source has to be written before it is read")
    cxr = hospital / "cxr"
    source = MimicSource(ehr=hospital / "ehr", notes=hospital / "notes", cxr=cxr if cxr.is_dir() else None)
    return read(source, config.cohort, modalities, list(tasks), config.pretrain.window, scratch)


def from_physionet2012(
    config: Config, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """The PhysioNet 2012 challenge."""
    from picme.sources.physionet2012 import extract as read

    return read(config.source, config.cohort.max_hours, modalities, tasks, config.pretrain.window)


def from_table(
    config: Config, modalities: dict[str, Any], tasks: dict[str, Any], scratch: Path, hospital: Path | None
) -> Extraction:
    """The user's own files."""
    from picme.sources.table import extract as read
    from picme.tasks import build

    # A registered task says its labels and its prediction time itself.
    known = {name: build(name, section) for name, section in config.tasks.items()}
    tasks = {
        name: {**section, "labels": known[name].labels, "window_hours": known[name].hours}
        for name, section in tasks.items()
    }
    return read(config.source, modalities, tasks, config.cohort.max_hours, config.pretrain.window)
