"""The study from raw tables to report: the stages in order, each reused where it is finished and resumed where not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.config.loading import dump
from picme.epoch_log import check_loggers
from picme.errors import ConfigError, PicmeError, near
from picme.executor import Executor, Failure, Job
from picme.plan import Run
from picme.progress import Progress
from picme.stages import STAGES
from picme.store import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from picme.config.study import Config

ORDER = (*STAGES, "report")


def run(config: Config, out: Path, until: str = "report", quiet: bool = False) -> Run:
    """Runs all stages up to one; finished work is reused, interrupted work resumed.

    Args:
        config: the study.
        out: run folder, made with mode 0700 if it is not there.
        until: last stage, one of `ORDER`.
        quiet: no progress on stderr.

    Raises:
        ConfigError: if the stage is unknown.
        PicmeError: if a stage failed, or jobs of it did; what could be finished is finished and reported first.
    """
    if until not in ORDER:
        raise ConfigError(f"unknown stage {until!r}{near(until, ORDER)}")
    study = Run(config, make_folder(out))
    study.keys.prepare  # noqa: B018 (raw files that are missing are reported before anything is written)
    check_loggers(config.pretrain.loggers)
    failures: list[Failure] = []
    timings: dict[str, float] = {}
    with study.store.lock():
        write_yaml(study)
        with Executor(workers(config), config.execution.threads) as executor:
            stages = ORDER[: ORDER.index(until) + 1]
            for number, stage in enumerate(stages, 1):
                start = time.perf_counter()
                if stage == "report":
                    write_run_json(study, timings, failures)
                    report(study)
                else:
                    with Progress(stage, quiet, (number, len(stages))) as progress:
                        for jobs in STAGES[stage](study):
                            failures += run_phase(study, executor, jobs, progress)
                timings[stage] = round(time.perf_counter() - start, 3)
        write_run_json(study, timings, failures)
        if until != "report":
            results(study)
    if failures:
        first = failures[0]
        raise PicmeError(
            f"{len(failures)} job{'s' * (len(failures) > 1)} failed, first {first.job.stage} of {first.job.name}: "
            f"{first.reason}; everything else is finished in {out}"
        )
    return study


def run_phase(study: Run, executor: Executor, jobs: list[Job], progress: Progress) -> list[Failure]:
    """Runs the unfinished jobs of a phase.

    Raises:
        PicmeError: if none of the phase's artifacts is there afterwards: later stages would have nothing to read.
    """
    pending = [job for job in jobs if not study.store.done(job.stage, job.key)]
    if not pending:
        return []
    progress.begin(pending, reused=len(jobs) - len(pending))

    def finished(job: Job) -> None:
        progress.advance(job)
        warning = study.store.manifest(job.stage, job.key).get("warning")
        if warning:
            progress.say(warning)

    failures = executor.run(pending, finished)
    for failure in failures:
        progress.say(f"{failure.job.stage} of {failure.job.name} failed: {failure.reason}")
    if len(failures) == len(jobs):
        raise PicmeError(failures[0].reason)
    return failures


def workers(config: Config) -> int:
    """Jobs side by side: one for each core, on a GPU one (its small jobs would fight for memory)."""
    if config.execution.workers != "auto":
        return max(1, config.execution.workers)
    if config.execution.device in ("cuda", "mps"):
        return 1
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def make_folder(out: Path) -> Path:
    """The run folder, for its owner alone: it holds patient data.

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
    out.mkdir(parents=True, exist_ok=True)
    out.chmod(0o700)
    return out


def write_yaml(study: Run) -> None:
    """Writes the resolved configuration, every default spelled out."""
    temporary = study.folder / ".config.yaml.writing"
    temporary.write_text(dump(study.config), encoding="utf-8")
    temporary.replace(study.folder / "config.yaml")


def results(study: Run) -> dict[str, Any]:
    """Writes the result tables of whatever is finished, and returns them."""
    from picme.collect import collect
    from picme.report.export import write_results

    tables = collect(study)
    write_results(tables, study.folder / "results")
    return tables


def report(study: Run) -> None:
    """Writes the result tables and `report.html`."""
    import json

    from picme.report.build import build

    tables = results(study)
    info = json.loads((study.folder / "run.json").read_text(encoding="utf-8"))
    build(study.folder, tables, study.tree, info, study.folder / "report.html")


def write_run_json(study: Run, timings: dict[str, float], failures: list[Failure]) -> None:
    """What made these results: versions, machine, raw data, keys, timings."""
    keys = study.keys
    stages: dict[str, Any] = {"prepare": keys.prepare}
    stages["features"] = {name: keys.features(name) for name in study.locked}
    stages["pretrain"] = {"+".join(c): keys.pretrain(c) for c in study.pretrained_combinations}
    stages["align"] = {"+".join(c): keys.align(c) for c in study.pretrained_combinations}
    cells = study.cells()
    if cells is not None:
        stages["finetune"] = {
            f"{c.task}/{'+'.join(c.combination)}/{c.strategy}/{c.seed}": study.finetune_key(c) for c in cells
        }
    write_json(
        study.folder / "run.json",
        {
            "picme": _version("picme"),
            "git_commit": _commit(),
            "command": " ".join(["picme", *sys.argv[1:]]) if Path(sys.argv[0]).name == "picme" else None,
            "python": platform.python_version(),
            "packages": {
                name: _version(name)
                for name in (
                    "torch",
                    "lightning",
                    "polars",
                    "numpy",
                    "scikit-learn",
                    "transformers",
                    "timm",
                    "pydantic",
                )
            },
            "machine": {
                "system": platform.system(),
                "architecture": platform.machine(),
                "cores": os.cpu_count(),
                "workers": workers(study.config),
                "threads": study.config.execution.threads,
            },
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "raw": keys.raw,
            "stages": stages,
            "seconds": timings,
            "failures": [{"stage": f.job.stage, "job": f.job.name, "reason": f.reason} for f in failures],
        },
    )


def plan(config: Config, out: Path) -> list[dict[str, Any]]:
    """What a run would do, without doing it: one row for each kind of job.

    Returns:
        stage, jobs, done, resume, run, seconds: measured on finished jobs of the kind where there are any, else null.
        Where alignment has yet to decide what is fine-tuned, `jobs` is null.
    """
    study = Run(config, Path(out).expanduser().resolve())
    rows: list[dict[str, Any]] = []
    for stage, phases in STAGES.items():
        unknown = stage in ("finetune", "evaluate") and _undecided(study)
        if unknown:
            rows.append({"stage": stage, "jobs": None, "done": 0, "resume": 0, "run": None, "seconds": None})
            continue
        for kind, jobs in _by_kind(_planned(study, stage, phases)):
            done = [job for job in jobs if study.store.done(job.stage, job.key)]
            resume = [job for job in jobs if job not in done and study.store.started(job.stage, job.key)]
            measured = [study.store.manifest(job.stage, job.key)["seconds"] for job in done]
            left = len(jobs) - len(done)
            seconds = 0.0 if not left else sum(measured) / len(measured) * left / workers(config) if measured else None
            rows.append(
                {
                    "stage": stage, "kind": kind, "jobs": len(jobs), "done": len(done), "resume": len(resume),
                    "run": left - len(resume), "seconds": seconds,
                }
            )  # fmt: skip
    return rows


def _undecided(study: Run) -> bool:
    if study.named is not None:
        return False
    return not all(study.store.done("align", study.keys.align(c)) for c in study.combinations)


def _planned(study: Run, stage: str, phases: Any) -> Iterator[Job]:
    """Jobs of a stage as if everything before it had succeeded."""

    class Assumed(type(study.store)):  # type: ignore[misc]
        def done(self, stage: str, key: str) -> bool:
            return True

    assumed = Run(study.config, study.folder)
    assumed.__dict__.update({k: v for k, v in study.__dict__.items() if k != "store"})
    assumed.store = Assumed(study.folder)
    for jobs in phases(assumed):
        yield from jobs


def _by_kind(jobs: Iterator[Job]) -> list[tuple[str, list[Job]]]:
    kinds: dict[str, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(job.stage, []).append(job)
    return list(kinds.items())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of a source checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
