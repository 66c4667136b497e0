"""What a run would do, and how long it would take, without doing it."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.config.loading import read_yaml
from picme.design.cost import Costs, count_stays
from picme.design.graph import STAGES, study_graph
from picme.design.stale import why_stale
from picme.engine.graph import by_stage
from picme.engine.places import demand_of, side_by_side
from picme.errors import ConfigError, TrainingError
from picme.pipeline import Run, gpus_here, workers

if TYPE_CHECKING:
    from picme.config.study import Config


def plan(config: Config, out: Path, measure: bool = False) -> list[dict[str, Any]]:
    """Return what a run would do, without doing it: one row for each kind of step.

    Args:
        config: the study.
        out: the run folder, which need not exist.
        measure: measure first, on random data, what of the encoders has not been measured on this machine.

    Returns:
        stage, kind, jobs, done, resume, run, seconds (measured on finished steps of the kind where there are any, else
        null or, where `estimated` is true, the most that encoders measured on this machine let expect), gpu_mb (the
        most of a GPU's memory that a step takes, by such measures), and stale: why steps of which an earlier
        configuration has a finished one are to be made again. Where alignment has yet to decide what is fine-tuned,
        `jobs` is null.
    """
    study = Run(config, Path(out).expanduser().resolve())
    store = study.store
    graph = study_graph(study.design, store).planned(store)
    before: dict[str, Any] = {}
    with suppress(ConfigError):  # what says why a step is stale must not end a plan
        before = read_yaml(study.folder / "config.yaml")
    costs = Costs(study.design)
    if measure:
        for said in costs.measure():
            warnings.warn(said, stacklevel=2)
    stays = count_stays(study.design, store) if costs.known else 0
    cores, gpus, per_gpu = workers(config), tuple[str, ...](), 1
    with suppress(TrainingError):  # a GPU that this machine lacks is an obstacle to a run, not to its plan
        gpus, per_gpu = gpus_here(config)
    rows: list[dict[str, Any]] = []
    for (stage, kind), steps in by_stage(graph.steps.values()).items():
        done = [step for step in steps if store.done(step)]
        finished = {step.key for step in done}
        left = [step for step in steps if step.key not in finished]
        attempted = store.attempted(kind)
        resume = sum(step.key in attempted for step in left)
        measured = [store.manifest(step)["seconds"] for step in done]
        guessed, gpu = costs.estimate(left, stays)
        work = 0.0 if not left else sum(measured) / len(measured) * len(left) if measured else None
        if estimated := work is None and guessed is not None:
            work = guessed
        demands = (demand_of(step, cores, len(gpus), per_gpu, config.execution.devices_per_fit) for step in left)
        alone = sum(1 / side_by_side(demand, cores, len(gpus)) for demand in demands)  # as many steps one by one
        seconds = None if work is None else work * alone / max(1, len(left))
        rows.append(
            {
                "stage": stage, "kind": kind, "jobs": len(steps), "done": len(done), "resume": resume,
                "run": len(left) - resume, "seconds": seconds, "estimated": estimated, "gpu_mb": gpu,
                "stale": why_stale(left, store, before, study.tree),
            }
        )  # fmt: skip
    names = ("kind", "jobs", "done", "resume", "run", "seconds", "estimated", "gpu_mb", "stale")
    unknown = {**dict.fromkeys(names), "done": 0, "resume": 0, "estimated": False}
    for stage in dict.fromkeys(stage for growth in graph.growths for stage in growth.stages):
        rows = [*(row for row in rows if row["stage"] != stage), {"stage": stage, **unknown}]
    return sorted(rows, key=lambda row: STAGES.index(row["stage"]))
