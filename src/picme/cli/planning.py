"""The command that says what a run would do."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from picme.cli.options import ConfigArgument, Debug, Json, Out, Set, load_config, run_folder
from picme.cli.output import end_if, notes
from picme.errors import PicmeError


def plan(
    config: ConfigArgument,
    out: Out = None,
    set_: Set = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure first what the encoders cost on this machine: under a minute.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what a run would do: done, resume or run, how long, why a step is stale; status 1 if it could not run.

    Example: picme plan paper --set source.ehr=MIMIC-IV --out runs/paper
    """
    from picme.config.combinations import combinations
    from picme.plan import plan as make_plan
    from picme.prepare.ready import obstacles

    study = load_config(config, set_)
    found = obstacles(study)
    try:
        with notes():
            rows = make_plan(study, run_folder(out, config), measure)
    except PicmeError:
        if not found:
            raise
        rows = []  # what is missing is said below
    if as_json:
        typer.echo(json.dumps(rows))
        end_if(found)
        return
    typer.echo(f"{'stage':<10} {'jobs of':<10} {'jobs':>6} {'done':>6} {'resume':>6} {'run':>6}  time")
    for row in rows:
        if row["jobs"] is None:
            typer.echo(f"{row['stage']:<10} decided by alignment, once it is there")
            continue
        typer.echo(
            f"{row['stage']:<10} {row['kind']:<10} {row['jobs']:>6} {row['done']:>6} "
            f"{row['resume']:>6} {row['run']:>6}  {_cost(row)}"
        )
    for row in rows:
        if row["stale"]:
            typer.echo(f"{row['kind']} is stale: {row['stale']}")
    every = combinations(list(study.modalities))
    left_out = set(every) - set(combinations(list(study.modalities), study.study.combination_sizes))
    if left_out:
        sizes = ", ".join(map(str, sorted({len(one) for one in left_out})))
        typer.echo(f"study.combination_sizes leaves out {len(left_out)} of {len(every)} combinations: sizes {sizes}")
    end_if(found)


def _cost(row: dict[str, Any]) -> str:
    """Return how long a row's steps will take, and the memory of a GPU, as far as they are known."""
    gpu = "" if row["gpu_mb"] is None else f", {row['gpu_mb'] / 1024:.1f} GB of the GPU"
    if not row["run"] + row["resume"]:
        return gpu
    if row["seconds"] is None:
        return f"not yet measured{gpu}"
    if row["seconds"] < 60:
        return f"under a minute{gpu}"
    return f"{'at most ' * row['estimated']}about {row['seconds'] / 60:.1f} min{gpu}"
