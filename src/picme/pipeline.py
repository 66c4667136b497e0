"""A study from raw tables to report: its graph run in a folder, finished steps reused and interrupted ones resumed."""

from __future__ import annotations

import os
import platform
import sys
import time
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme import __version__
from picme.config.loading import dump, load, read_yaml
from picme.design.graph import STAGES, study_graph
from picme.design.study import Design
from picme.engine.faults import naming_faults
from picme.engine.graph import by_stage
from picme.engine.local import LocalExecutor
from picme.engine.memory import GB
from picme.engine.places import may_have_gpu
from picme.engine.progress import Progress
from picme.engine.schedule import Failure, Schedule
from picme.engine.step import Context
from picme.engine.store import Store, private, write_json
from picme.errors import ConfigError, PicmeError, near
from picme.fitting.epoch_log import check_loggers
from picme.prepare.step import Fold
from picme.results.origin import origin, version_of
from picme.results.record import (
    FORMAT,
    known_record,
    put_away,
    read_record,
    read_table,
    run_folder,
    study_hash,
    unfinished,
)  # fmt: skip

if TYPE_CHECKING:
    from picme.config.study import Config
    from picme.engine.graph import Graph
    from picme.engine.local import Executor

ORDER = (*STAGES, "report")
PACKAGES = ("torch", "lightning", "polars", "numpy", "scikit-learn", "transformers", "timm", "pydantic")


class Run:
    """A study in its folder.

    Args:
        config: the study.
        folder: the folder of the run.
        made_from: what `run.json` of a finished run recorded of raw files and of other packages' code; as they are now
            if not given.
    """

    def __init__(self, config: Config, folder: Path, made_from: dict[str, Any] | None = None) -> None:
        self.config = config
        self.folder = folder
        self.store = Store(folder, shared=config.execution.engine == "ray")
        self.design = Design(config, made_from)

    @classmethod
    def opened(cls, config: Config, folder: Path) -> Run:
        """Open a run to be looked at, with the raw files and code it was made from: these may have changed since."""
        record = read_record(folder)
        return cls(config, folder, record if "raw" in record else None)

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> Run:
        """Open a run folder with whatever stages are there, by the configuration that lies in it.

        Raises:
            ConfigError: if it is not a run folder.
        """
        path = run_folder(folder)
        return cls.opened(load(path / "config.yaml"), path)

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The configuration as plain values."""
        return self.config.model_dump(mode="json")

    @property
    def graph(self) -> Graph:
        """The study's graph as far as results have decided it, made anew."""
        return study_graph(self.design, self.store).grown(self.store)

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.folder / "report.html"

    @property
    def prepared(self) -> Path:
        """The folder of the prepared cohort."""
        return self.store.path(self.design.prepare)

    @property
    def folds(self) -> dict[Fold, Path]:
        """The folders of the folds' divisions of the cohort, but for the first fold's, which is the cohort's own."""
        return {step: self.store.path(step) for step in self.design.divisions if isinstance(step, Fold)}


def run(config: Config, out: Path, until: str = "report", quiet: bool = False) -> Run:
    """Run all stages up to one; finished work is reused, interrupted work resumed.

    Args:
        config: the study.
        out: run folder, made with mode 0700 if it is not there.
        until: last stage, one of `ORDER`.
        quiet: no progress on stderr.

    Raises:
        ConfigError: if the stage is unknown.
        PicmeError: if steps failed; what could be finished is finished and reported first.
    """
    if until not in ORDER:
        raise ConfigError(f"unknown stage {until!r}{near(until, ORDER)}")
    with naming_faults(Path(out).absolute()):
        study = Run(config, make_folder(out))
        return _run(study, until, quiet)


def _run(study: Run, until: str, quiet: bool) -> Run:
    config, out = study.config, study.folder
    study.design.raw  # noqa: B018 (raw files that are missing are reported before anything is written)
    check_loggers(config.pretrain.loggers)
    stages = STAGES[: ORDER.index(until) + 1]
    graph = study_graph(study.design, study.store)
    with private(), study.store.lock() as killed:
        with executor_of(study) as executor, Progress(quiet, executor.workers) as progress:
            begin(study)
            if executor.about:
                progress.say(executor.about)
            if killed:
                progress.say(_was_killed(killed, study.graph))
            failures: list[Failure] = []
            if "complete" in config.study.withhold and len(stages) > 1:
                failures = Schedule(graph, study.store, executor, progress, stages[:1]).run()
                if not failures:
                    from picme.prepare.presence import check_complete

                    check_complete(study.prepared, config.modalities)
            failures = failures or Schedule(graph, study.store, executor, progress, stages).run()
        graph = study.graph  # in the order of the configuration, however it has grown
        timings = {stage: round(seconds, 3) for stage, seconds in progress.seconds.items()}
        start = time.perf_counter()
        (study.folder / "run.json").unlink(missing_ok=True)  # until it is there again the results are not whole
        tables = write_tables(study, graph)
        write_record(study, graph, timings, failures)
        if until == "report":
            study.report.unlink(missing_ok=True)
            if tables:
                _build(study.folder, tables, study.tree)
            timings["report"] = round(time.perf_counter() - start, 3)
            write_record(study, graph, timings, failures)
            if not failures:
                study.store.clean()
    if failures:
        first = failures[0]
        which, one = ("", "it") if len(failures) == 1 else (f"{len(failures)} steps failed, the first: ", "them")
        raise PicmeError(
            f"{which}{first.step.title} failed, all that does not need {one} is finished in {out}: {first.reason}"
        )
    return study


def _was_killed(steps: list[tuple[str, str]], graph: Graph) -> str:
    """Return the note of which steps, each its kind and key, the run before this one was killed in."""
    titles = [graph.steps[key].title if key in graph.steps else kind for kind, key in steps]
    named = " and ".join(sorted(set(titles))[:3]) + f" and {len(titles) - 3} more" * (len(titles) > 3)
    return (
        f"the run before this one was killed in {named}, most often for lack of memory, of which a smaller "
        "execution.workers takes less; it goes on from there"
    )


def begin(study: Run) -> None:
    """Write the configuration of a run; results of another one, or of other raw data, are put away first."""
    record = known_record(study.folder)
    same = (record.get("config"), record.get("raw")) == (study_hash(study.tree), study.design.raw)
    if not same and any((study.folder / name).exists() for name in ("results", "report.html", "run.json")):
        put_away(study.folder)
    write_yaml(study)


def executor_of(study: Run) -> Executor:
    """Return the executor that the configuration asks for.

    Raises:
        PicmeError: if there is no such cluster, it lacks what is asked for, or a node does not see the run folder.
    """
    execution = study.config.execution
    context = Context(study.store, execution.device, study.config.pretrain.loggers)
    if execution.engine == "ray":
        if find_spec("ray") is None:
            raise ConfigError("execution.engine is 'ray', whose package is not installed: pip install 'picme[ray]'")
        from picme.engine.ray import RayExecutor

        most = None if execution.workers == "auto" else execution.workers
        memory = None if execution.memory is None else execution.memory * GB
        cores = workers(study.config)
        shared = None if execution.jobs_per_gpu == "auto" else execution.jobs_per_gpu
        return RayExecutor(
            context, execution.address, most, cores, execution.threads, memory, shared, execution.devices_per_fit,
            __version__,
        )  # fmt: skip
    gpus, per_gpu = gpus_here(study.config)
    return LocalExecutor(context, workers(study.config), execution.threads, gpus, per_gpu, execution.devices_per_fit)


def gpus_here(config: Config) -> tuple[tuple[str, ...], int]:
    """Return the GPUs of this machine that a study uses, and how many small steps share one."""
    execution = config.execution
    if not has_gpu(execution.device):
        return (), 1
    from picme.fitting.device import gpus_of, jobs_per_gpu

    gpus = gpus_of(execution.device)
    return gpus, jobs_per_gpu(gpus) if execution.jobs_per_gpu == "auto" else execution.jobs_per_gpu


def workers(config: Config) -> int:
    """Return how many steps run side by side: as configured, else one for each core."""
    if config.execution.workers != "auto":
        return max(1, config.execution.workers)
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def has_gpu(device: str) -> bool:
    """Return whether training with a configured device runs on a GPU; torch is asked only where there may be one."""
    if device != "auto":
        return device != "cpu"
    if not may_have_gpu():
        return False
    from picme.fitting.device import resolve_device

    return resolve_device(device).type != "cpu"


def make_folder(out: Path) -> Path:
    """Make the run folder, for its owner alone: it holds patient data.

    Raises:
        ConfigError: if the path is a file, or a folder that holds something else than a run.
    """
    out = Path(out).expanduser().resolve()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file, expected a folder")
    if (
        out.is_dir()
        and any(out.iterdir())
        and not any((out / name).exists() for name in ("store", "config.yaml", ".lock"))
    ):
        raise ConfigError(f"--out {out} holds other files; choose an empty or new folder")
    try:
        with private():
            out.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:  # as in /proc
        raise ConfigError(f"--out {out} is where no folder can be made; choose another") from None
    out.chmod(0o700)
    return out


def write_yaml(study: Run) -> None:
    """Write the resolved configuration, every default spelled out."""
    temporary = study.folder / ".config.yaml.writing"
    temporary.write_text(dump(study.config), encoding="utf-8")
    temporary.replace(study.folder / "config.yaml")


def write_tables(study: Run, graph: Graph) -> dict[str, Any]:
    """Write the result tables of whatever is finished, and return them."""
    from picme.results.collect import collect
    from picme.results.write import write_results

    tables = collect(graph, study.store, STAGES, list(study.config.tasks))
    write_results(tables, study.folder / "results")
    return tables


def report_again(folder: Path) -> Path:
    """Write `report.html` of a run folder from its finished tables alone, and return its path.

    Raises:
        ConfigError: if the folder has no result tables, or they are not those of its configuration.
    """
    if said := unfinished(folder):
        raise ConfigError(said)
    files = sorted((folder / "results").glob("*.parquet"))
    if not files:
        raise ConfigError(f"{folder} has no result tables to make a report of")
    with private():
        _build(folder, {file.stem: read_table(file) for file in files}, read_yaml(folder / "config.yaml"))
    return folder / "report.html"


def _build(folder: Path, tables: dict[str, Any], tree: dict[str, Any]) -> None:
    from picme.report.build import build

    build(folder, tables, tree, read_record(folder), folder / "report.html")


def write_record(study: Run, graph: Graph, timings: dict[str, float], failures: list[Failure]) -> None:
    """Write `run.json`, what made these results: versions, machine, raw data, keys, timings."""
    stages: dict[str, Any] = {}
    for (_, kind), steps in by_stage(graph.steps.values()).items():
        if [step.name for step in steps] == [kind]:
            stages[kind] = steps[0].key
        else:
            stages[kind] = {**stages.get(kind, {}), **{step.name: step.key for step in steps}}
    write_json(
        study.folder / "run.json",
        {
            "format": FORMAT,
            **origin(),
            "command": " ".join(["picme", *sys.argv[1:]]) if Path(sys.argv[0]).name == "picme" else None,
            "python": platform.python_version(),
            "packages": {name: version_of(name) for name in PACKAGES},
            "machine": {
                "system": platform.system(),
                "architecture": platform.machine(),
                "cores": os.cpu_count(),
                "engine": study.config.execution.engine,
                "workers": workers(study.config),
                "threads": study.config.execution.threads,
            },
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "config": study_hash(study.tree),
            "raw": study.design.raw,
            "code": study.design.code,
            "stages": stages,
            "seconds": timings,
            "failures": [{"stage": f.step.kind, "job": f.step.name, "reason": f.reason} for f in failures],
        },
    )
