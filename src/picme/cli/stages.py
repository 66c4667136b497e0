"""The commands that run a study: all of its stages, or those up to one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from picme.cli.choices import complete_stage
from picme.cli.options import ConfigArgument, Debug, Json, Out, Quiet, Set, load_config, number, run_folder
from picme.cli.output import width
from picme.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.config.study import Config

# What help says of the command of each stage.
STAGES = {
    "prepare": "Raw tables to one row per stay and one array per modality.",
    "pretrain": "Contrastive pretraining of every combination (and what it needs).",
    "align": "How well each combination's modalities find one another (and what it needs).",
    "finetune": "The strategies on the tasks, all seeds (and what they need).",
    "evaluate": "Scores, intervals, comparisons, subgroups (and what they need).",
    "report": "Result tables and report.html (and what they need).",
}


def demo(
    out: Out = None,
    stays: Annotated[int | None, number("ICU stays of the synthetic hospital.")] = None,
    seeds: Annotated[int | None, number("Fine-tunings of each cell.")] = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """The whole study on a synthetic hospital, in the releases' own file formats.

    Example: picme demo --stays 300 --seeds 2 --out runs/small
    """
    given = {"source.stays": stays, "study.seeds": seeds}
    config = load_config("demo", set_, {key: value for key, value in given.items() if value is not None})
    _run(config, run_folder(out, "demo"), "report", quiet, as_json)


def run(
    config: ConfigArgument,
    out: Out = None,
    set_: Set = None,
    until: Annotated[
        str,
        typer.Option(
            metavar="STAGE",
            help="Last stage: prepare, encode, pretrain, align, finetune, evaluate, report.",
            autocompletion=complete_stage,
        ),
    ] = "report",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """All stages; finished ones are reused, interrupted ones resumed.

    Example: picme run physionet2012 --set source.path=DATA --out runs/physionet2012
    """
    _run(load_config(config, set_), run_folder(out, config), until, quiet, as_json)


def stage(name: str, meaning: str) -> Callable[..., None]:
    """Return the command that runs a study up to a stage."""

    def command(
        config: ConfigArgument,
        out: Out = None,
        set_: Set = None,
        as_json: Json = False,
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        folder = run_folder(out, config)
        try:
            loaded = load_config(config, set_)
        except ConfigError as error:
            # Tables and report need only the run folder, not the packages that its configuration names.
            if name != "report" or Path(config).resolve() != (folder / "config.yaml").resolve():
                raise
            from picme.pipeline import report_again

            typer.echo(f"{report_again(folder)} written from the finished tables; nothing was run: {error}")
            return
        _run(loaded, folder, name, quiet, as_json)

    command.__doc__ = f"{meaning}\n\nExample: picme {name} demo --out runs/demo"
    return command


def _run(config: Config, out: Path, until: str, quiet: bool, as_json: bool) -> None:
    """Run a study up to a stage and print what there is to see of it."""
    from picme.pipeline import run as run_pipeline

    study = run_pipeline(config, out, until, quiet)
    if as_json:
        from picme.study import Study

        opened = Study(study.folder, config)
        state = {"run": str(opened.folder), "until": until, "tables": opened.tables}
        chosen = {"selected": opened.selected.to_dicts(), "report": str(opened.report)} if until == "report" else {}
        typer.echo(json.dumps({**state, **chosen}))
        return
    if until != "report":
        typer.echo(f"{until} finished in {study.folder}")
        return
    from rich.console import Console

    from picme.report import headline, main_table
    from picme.study import Study

    opened = Study(study.folder, config)
    tables = {name: opened.table(name) for name in opened.tables if name != "predictions"}
    Console(width=width(160)).print(main_table(tables))
    typer.echo(headline(tables, study.tree))
    typer.echo(f"\nReport: {opened.report}")
