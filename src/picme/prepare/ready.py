"""Whether a study can run as it is configured on this machine, before it starts; each obstacle is one sentence."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.engine.memory import GB, memory_free
from picme.engine.places import enough_for_a_fit, may_have_gpu
from picme.errors import ConfigError, DataError, PicmeError
from picme.fitting.epoch_log import check_loggers
from picme.prepare.raw import raw_files
from picme.prepare.weights import find_weights, load_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from picme.config.modalities import ModalityConfig
    from picme.config.study import Config
    from picme.prepare.weights import Loaded

# Bytes that a stay takes in a run folder, by the modality's kind: what is prepared of it, and what a locked part of an
# encoder makes of that. A text is about 12 kB long, a series has 76 columns in up to 120 hours.
BYTES: dict[str, Callable[[ModalityConfig, int], int]] = {
    "text": lambda section, hours: 20_000,
    "image": lambda section, hours: section.size**2 + 8_000,
    "timeseries": lambda section, hours: 76 * 4 * hours,
}
HOURS, OTHER = 120, 1_000
KEPT, TRAINED = 4, 12
"""Bytes of a weight, and of its gradient and AdamW's two moments where it is trained."""


def obstacles(config: Config) -> list[str]:
    """Return why a study cannot run, as far as folders, names of files and `lacking_devices` tell it."""
    said = [*missing_data(config).values()]
    said += [one.problem for one in find_weights(config) if one.problem]
    return list(dict.fromkeys([*said, *missing_packages(config), *lacking_devices(config)]))


def missing_data(config: Config) -> dict[str, str]:
    """Return a sentence for each task and modality that has no data, by its name; or for the source alone.

    Raises:
        DataError: if a path of the configuration does not exist.
    """
    raw_files(config)
    kind = config.source.kind
    if kind == "mimic":
        from picme.cohort.lacking import lacking

        return lacking(config)
    if kind == "physionet2012":
        from picme.sources.physionet2012_files import find_sets

        try:
            find_sets(Path(config.source.path), config.source.unlabelled)
        except DataError as error:
            return {"source": str(error)}
    if kind == "meds":
        from picme.sources.meds_files import MedsFiles

        try:
            MedsFiles.open(Path(config.source.path), config.source.layout)
        except PicmeError as error:
            return {"source": str(error)}
    if kind != "table":
        return {}
    found = {}
    for name, section in config.modalities.items():
        file = section.path or config.source.path
        folder = section.folder and (Path(file).parent if file else Path()) / section.folder
        if folder and not folder.is_dir():
            found[name] = f"modality {name!r} cannot be made: its folder {folder} does not exist"
    return found


def missing_packages(config: Config) -> list[str]:
    """Return a sentence for each extra of picme that the configuration needs and that is not installed."""
    said = []
    for logger in config.pretrain.loggers:
        try:
            check_loggers([logger])
        except ConfigError as error:
            said.append(str(error))
    if config.execution.engine == "ray" and find_spec("ray") is None:
        said.append("execution.engine is 'ray', whose package is not installed: pip install 'picme[ray]'")
    return said


def lacking_devices(config: Config) -> list[str]:
    """Return why the devices that the configuration asks for cannot be had, as far as this machine can tell.

    torch is imported only where there may be a GPU, Ray only where it is the engine. What the nodes of a Ray cluster
    have is known once it is joined.
    """
    execution = config.execution
    try:
        if execution.engine == "ray":
            if find_spec("ray") is not None:
                from picme.engine.cluster import check_address

                check_address(execution.address)
        elif execution.device.startswith("cuda") and not may_have_gpu():
            return [f"execution.device is {execution.device!r}, which this machine does not have"]
        elif execution.device != "cpu" and (execution.device != "auto" or may_have_gpu()):
            from picme.fitting.device import gpus_of

            enough_for_a_fit(gpus_of(execution.device), execution.devices_per_fit)
    except PicmeError as error:
        return [str(error)]
    return []


def judge_sources(config: Config, table: pl.DataFrame | None) -> list[str]:
    """Return a sentence for each task and modality that cannot be made of the data that `check_sources` found."""
    said = missing_data(config)
    if table is None:
        return [*said.values()]
    if "status" not in table.columns:
        for row in table.iter_rows(named=True):
            if not row["present"]:
                said.setdefault(
                    row["modality"], f"modality {row['modality']!r} is present in none of the stays of {row['view']}"
                )
        return [*said.values()]
    from picme.cohort.lacking import ROWS

    impossible = table.filter(status="impossible")
    why = {(item, name): detail for item, name, detail in impossible.select("item", "name", "detail").iter_rows()}
    named = [("task", name, name) for name in config.tasks]
    # Rows of releases are named by what a table makes, those of MEDS by the modality: two may read different codes.
    own = config.source.kind == "meds"
    named += [
        ("modality", name, name if own else ROWS.get(str(section.table), str(section.table)))
        for name, section in config.modalities.items()
    ]
    for what, name, said_of in named:
        if (reason := why.get((what, said_of))) and "source" not in said:
            said.setdefault(name, f"{what} {name!r} cannot be made of these data: it {reason}")
    if reason := why.get(("cohort", "stays")):
        said.setdefault("source", reason)
    return [*said.values()]


def machine(config: Config, out: Path, table: pl.DataFrame | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Judge what this machine has to run a study with: weights, which are loaded, packages, device, memory and disk.

    Args:
        config: the study.
        out: the run folder, which need not exist.
        table: what `check_sources` found, for the number of stays.

    Returns:
        Rows with item (`weights`, `package`, `device`, `memory`, `disk`), name, status (`ok`, `fetched`, `missing`,
        `unreadable`, `short`) and detail; and a sentence for each that keeps the study from running.
    """
    found = find_weights(config, exact=True)
    loaded = load_weights(config, found)
    rows: list[dict[str, Any]] = []
    for one in found:
        key = f"weights of modality {one.modality!r}"
        if one.problem or one.place is None:
            status, detail = ("missing", one.problem) if one.problem else ("fetched", "on first use, from the internet")
        elif problem := loaded[one.modality].problem:
            status, detail = "unreadable", f"{key} cannot be used: {problem}"
        else:
            status, detail = "ok", f"{loaded[one.modality].weights:,} weights in {one.place}"
        rows.append({"item": "weights", "name": one.modality, "status": status, "detail": detail})
    rows += [
        {"item": "package", "name": said.partition(" ")[0], "status": "missing", "detail": said}
        for said in missing_packages(config)
    ]
    rows += [_device(config, loaded), _memory(), _disk(config, out, table)]
    return rows, [str(row["detail"]) for row in rows if row["status"] not in ("ok", "fetched")]


def _device(config: Config, loaded: Mapping[str, Loaded]) -> dict[str, Any]:
    """Describe the device, and hold what the encoders keep on it against its memory."""
    import torch

    from picme.fitting.device import resolve_device

    row: dict[str, Any] = {"item": "device", "name": config.execution.device, "status": "ok"}
    if lacking := lacking_devices(config):
        return row | {"status": "missing", "detail": lacking[0]}
    if config.execution.engine == "ray":
        return row | {"detail": "as the nodes of the Ray cluster have it"}
    device = resolve_device(config.execution.device)
    asked = sum(KEPT * one.weights + TRAINED * one.trained for one in loaded.values())
    needs = (
        f"published weights of all modalities keep {asked / GB:.1f} GB there, batches come on top" if asked else None
    )
    if device.type != "cuda":
        return row | {"name": device.type, "detail": needs}
    about = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    name = f"{about.name}, {total / GB:.0f} GB of memory, {free / GB:.0f} GB free"
    if asked > free:
        return row | {"name": name, "status": "short", "detail": f"{name} is too little: {needs}"}
    return row | {"name": name, "detail": needs}


def _memory() -> dict[str, Any]:
    free = memory_free()
    told = "not known" if free is None else f"{free / GB:.1f} GB free"
    return {"item": "memory", "name": "main memory", "status": "ok", "detail": told}


def _disk(config: Config, out: Path, table: pl.DataFrame | None) -> dict[str, Any]:
    """Hold the free space of the run folder's disk against the arrays that a study keeps in it."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free, stays = shutil.disk_usage(place).free, _stays(config, table)
    row: dict[str, Any] = {"item": "disk", "name": str(out), "status": "ok"}
    if stays is None:
        return row | {"detail": f"{size_text(free)} free"}
    hours = config.cohort.max_hours or HOURS
    each = sum(
        BYTES[section.kind](section, hours) if section.kind in BYTES else OTHER
        for section in config.modalities.values()
    )
    needed = max(0, stays * each - _held(out))
    needs = f"{size_text(free)} free, about {size_text(needed)} more needed for the data of up to {stays:,} stays"
    if needed > free:
        return row | {"status": "short", "detail": f"{out} has too little space: {needs}"}
    return row | {"detail": needs}


def _held(out: Path) -> int:
    """Return the bytes of such arrays that the run folder has already."""
    kept = (out / "store" / kind for kind in ("prepare", "features"))
    return sum(file.stat().st_size for folder in kept for file in folder.rglob("*") if file.is_file())


def size_text(size: float) -> str:
    """Return a number of bytes as people write it."""
    return f"{size / GB:.1f} GB" if size >= GB else f"{size / (1 << 20):.0f} MB"


def _stays(config: Config, table: pl.DataFrame | None) -> int | None:
    """Return how many stays there are at most, where it is known."""
    if config.source.kind == "synthetic":
        return int(config.source.stays)
    if table is None:
        return None
    rows = table.rows(named=True)
    found = [row["rows"] for row in rows if row.get("name") == "icustays"] + [row.get("stays") for row in rows]
    return max((one for one in found if one is not None), default=None)
