"""Finished studies side by side: what was configured differently, what each scored, and which differences are real.

Reads run folders as they lie there (`config.yaml`, `run.json`, `results/`, the prepared cohort), so neither the raw
data nor the version that made them has to be at hand.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.config.loading import read_yaml
from picme.engine.store import private
from picme.errors import ConfigError, DataError
from picme.evaluate.between import Pairing, between, same, to_table
from picme.evaluate.intervals import METRICS
from picme.evaluate.predictions import Predictions
from picme.results.record import read_record, read_table, run_folder, unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Opened:
    """One of the run folders that are compared.

    Attributes:
        name: unlike the others' names.
        folder: where it is.
        tree: the resolved configuration as plain values.
        info: what `run.json` holds.
        tables: result tables, without predictions.
    """

    name: str
    folder: Path
    tree: dict[str, Any]
    info: dict[str, Any]
    tables: dict[str, pl.DataFrame]

    @property
    def predictions(self) -> Path:
        """Return the path of the table of predictions, which need not be there."""
        return self.folder / "results" / "predictions.parquet"

    def cohort(self, task: str) -> pl.DataFrame | None:
        """Return the prepared cohort of a task, as each fold divides it; None where it is not kept."""
        stages = self.info.get("stages", {})
        steps = [("prepare", stages.get("prepare")), *(("fold", key) for key in stages.get("fold", {}).values())]
        files = [self.folder / "store" / kind / str(key) / "views" / task / "cohort.parquet" for kind, key in steps]
        return pl.concat(map(read_table, files)) if all(file.is_file() for file in files) else None

    def chosen(self, task: str) -> tuple[str, str] | None:
        """Return the combination and strategy that the study chose on validation."""
        summary = self.tables["summary"]
        rows = summary.filter((pl.col("task") == task) & pl.col("selected").fill_null(False))
        return rows.select("combination", "strategy").row(0) if rows.height else None


@dataclass(frozen=True)
class Comparison:
    """The findings of a comparison of studies.

    Attributes:
        runs: the studies; the first is what the others are compared with.
        settings: key, and its value in each study, of every key that differs (null where a study has no such key).
        made: the same of versions and raw data.
        scores: task, combination, strategy, and per study `auroc_mean`, `auroc_std`, … suffixed by ` [name]`.
        pairings: per task and pair of studies, the stays in common and why nothing is tested where nothing is.
        tests: paired differences, second study minus first.
        confidence: coverage of their intervals.
    """

    runs: list[Opened]
    settings: pl.DataFrame
    made: pl.DataFrame
    scores: pl.DataFrame
    pairings: list[Pairing]
    tests: pl.DataFrame
    confidence: float

    def write(self, out: Path | str) -> Path:
        """Write the page, atomically.

        Raises:
            ConfigError: if the path is a folder.
        """
        from picme.report.compare import page

        path = Path(out)
        if path.is_dir():
            raise ConfigError(f"--out {path} is a folder, expected an HTML file to write")
        with private():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            part.write_text(page(self), encoding="utf-8")
            part.replace(path)
        return path


def compare(
    runs: Sequence[Path | str], *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Comparison:
    """Compare studies; the first is what each of the others is tested against.

    Args:
        runs: folders of finished studies, two or more.
        resamples: bootstrap resamples over subjects.
        confidence: coverage of the intervals.
        seed: the seed of the resampling.

    Raises:
        ConfigError: if there are fewer than two folders, one is named twice or is no finished study.
    """
    folders = [Path(run).expanduser().resolve() for run in runs]
    if len(folders) < 2:
        raise ConfigError("two run folders or more are needed to compare")
    if len(set(folders)) < len(folders):
        raise ConfigError("a run folder is named twice")
    opened = [_open(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    first, *others = opened
    pairings = [
        _pairing(first, other, task, resamples, confidence, seed)
        for other in others
        for task in _tasks(first)
        if task in _tasks(other)
    ]
    return Comparison(
        opened,
        _differences([run.tree for run in opened], opened),
        _differences([_made(run.info) for run in opened], opened),
        _scores(opened),
        pairings,
        to_table(pairings),
        confidence,
    )


def _names(folders: list[Path]) -> list[str]:
    """Return folder names, with as many parents as it takes to tell them apart."""
    depth = 1
    while len({"/".join(folder.parts[-depth:]) for folder in folders}) < len(folders):
        depth += 1
    return ["/".join(folder.parts[-depth:]) for folder in folders]


def _open(folder: Path, name: str) -> Opened:
    run_folder(folder)
    if said := unfinished(folder):
        raise ConfigError(said)
    if not (folder / "results" / "summary.parquet").is_file():
        raise ConfigError(
            f"{folder} has no table summary; finish it first: picme run {folder}/config.yaml --out {folder}"
        )
    tables = {
        file.stem: read_table(file)
        for file in sorted((folder / "results").glob("*.parquet"))
        if file.stem in ("summary", "alignment")
    }
    return Opened(name, folder, read_yaml(folder / "config.yaml"), read_record(folder), tables)


def _tasks(run: Opened) -> list[str]:
    return run.tables["summary"]["task"].unique(maintain_order=True).to_list()


def _made(info: dict[str, Any]) -> dict[str, Any]:
    """Return versions, machine, and a short digest of the raw data, of their content and not of where they lie."""
    raw = [
        [Path(str(one.get("path"))).name, one.get("size"), one.get("header") or one.get("tree")]
        for one in info.get("raw", [])
    ]
    digest = hashlib.sha256(json.dumps(sorted(map(str, raw))).encode()).hexdigest()[:12] if raw else None
    kept = {name: info.get(name) for name in ("picme", "git_commit", "python", "packages", "machine")}
    return {**kept, "raw_data": digest}


def _differences(trees: list[dict[str, Any]], runs: list[Opened]) -> pl.DataFrame:
    """Return the settings whose values differ, one row each: the key, and a column for each study."""
    flat = [dict(_leaves(tree)) for tree in trees]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [
        {"key": key, **{run.name: one.get(key) for run, one in zip(runs, flat, strict=True)}}
        for key in keys
        if len({one.get(key) for one in flat}) > 1
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(["key", *(run.name for run in runs)], pl.String))


def _leaves(value: Any, place: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{place}.{key}" if place else str(key))]
    return [(place, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))]


def _scores(runs: list[Opened]) -> pl.DataFrame:
    """Return one row per task, combination and strategy of any study, in the order of the first study's rows."""
    columns = [f"{metric}_{part}" for metric in METRICS for part in ("mean", "std")]
    wanted = [*columns, "n_seeds", "selected"]
    found: dict[tuple[str, frozenset[str], str], dict[str, Any]] = {}
    for run in runs:
        for row in run.tables["summary"].iter_rows(named=True):
            key = (row["task"], same(row["combination"]), row["strategy"])
            kept = {name: row[name] for name in ("task", "combination", "strategy")}
            found.setdefault(key, kept).update({f"{name} [{run.name}]": row.get(name) for name in wanted})
    kinds: dict[str, Any] = {**dict.fromkeys(columns, pl.Float64), "n_seeds": pl.Int64, "selected": pl.Boolean}
    schema: dict[str, Any] = dict.fromkeys(("task", "combination", "strategy"), pl.String)
    schema |= {f"{name} [{run.name}]": kinds[name] for run in runs for name in wanted}
    return pl.DataFrame(list(found.values()), schema=schema)


def _pairing(a: Opened, b: Opened, task: str, resamples: int, confidence: float, seed: int) -> Pairing:
    pairing = Pairing(task, a.name, b.name)
    cohorts = a.cohort(task), b.cohort(task)
    for run, cohort in zip((a, b), cohorts, strict=True):
        if not run.predictions.is_file() or cohort is None:
            pairing.reason = f"{run.name} has no predictions or no prepared cohort"
            return pairing
    try:
        first, second = (
            Predictions(run.predictions).task(task, cohort, (run.tree.get("pretrain") or {}).get("seeds") or 0)
            for run, cohort in zip((a, b), cohorts, strict=True)
            if cohort is not None
        )
        chosen = a.chosen(task), b.chosen(task)
        return between(pairing, first, second, chosen, resamples=resamples, confidence=confidence, seed=seed)
    except (DataError, pl.exceptions.PolarsError) as error:
        damaged = f"the predictions of {a.name} or {b.name} are damaged"  # the library's own words may quote a cell
        pairing.reason, pairing.rows = str(error) if isinstance(error, DataError) else damaged, []
        return pairing
