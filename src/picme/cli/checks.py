"""The commands that check a study: whether it could run, and whether its data leak."""

from __future__ import annotations

import json

import typer

from picme.cli.options import ConfigArgument, Debug, Json, Out, Quiet, Set, load_config, run_folder
from picme.cli.output import end_if, print_table


def check(
    config: ConfigArgument, out: Out = None, set_: Set = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Say what data, weights, packages and machine there are, and what is missing; status 1 if the study could not run.

    Example: picme check mimic-ehr --set source.ehr=mimic-iv-demo-2.2
    """
    from picme.prepare.check import check_sources
    from picme.prepare.ready import judge_sources, machine

    loaded = load_config(config, set_)
    table = check_sources(loaded)
    rows, lacking = machine(loaded, run_folder(out, config), table)
    if as_json:
        typer.echo(json.dumps([*([] if table is None else table.to_dicts()), *rows], default=str))
    else:
        if table is not None:
            print_table(table.columns, table.rows())
            typer.echo()
        print_table(list(rows[0]), [tuple(row.values()) for row in rows])
    end_if([*judge_sources(loaded, table), *lacking])


def check_leakage(
    config: ConfigArgument,
    out: Out = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Subjects shared between splits, data after the cut-off, outcome words in notes; status 1 on a violation.

    Example: picme check-leakage demo --out runs/demo
    """
    from picme.pipeline import run as run_pipeline
    from picme.prepare.check import check_leaks

    loaded = load_config(config, set_)
    study = run_pipeline(loaded, run_folder(out, config), "prepare", quiet)
    table, violations = check_leaks(study.design.prepare, study.prepared, study.folds)
    if as_json:
        typer.echo(json.dumps(table.to_dicts(), default=str))
    else:
        print_table(table.columns, table.rows())
    for sentence in violations:
        typer.echo(f"violation: {sentence}", err=True)
    if violations:
        raise typer.Exit(1)
