"""The commands that need no study: the synthetic hospital alone, and a list of what a configuration can name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from picme.cli.choices import GROUPS, complete_group, names
from picme.cli.options import Debug, Json, number
from picme.errors import ConfigError

Format = Literal["mimic", "meds"]
NewFolder = Annotated[Path, typer.Argument(metavar="DIR", help="New folder.")]


def synth(
    folder: NewFolder,
    stays: Annotated[int, number("ICU stays.")] = 600,
    seed: Annotated[int, number("The same seed writes the same files.")] = 0,
    chart_rows: Annotated[int, number("Only event tables, with so many rows of chartevents.")] = 0,
    lab_rows: Annotated[int, number("With --chart-rows: so many rows of labevents.")] = 0,
    format_: Annotated[Format, typer.Option("--format", help="The releases of MIMIC, or one MEDS data set.")] = "mimic",
    debug: Debug = False,
) -> None:
    """Only the synthetic hospital: MIMIC-IV, MIMIC-IV-Note and MIMIC-CXR-JPG in their own formats, or MEDS.

    Example: picme synth hospital --stays 200 --seed 1
    """
    from picme_hospital import ArgumentError, write_events, write_hospital, write_meds

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder")
    if chart_rows and format_ == "meds":
        raise ConfigError("--chart-rows writes event tables of MIMIC only, so it does not go with --format meds")
    try:
        if format_ == "meds":
            write_meds(folder, stays, seed)
        elif chart_rows:
            write_events(folder, chart_rows, lab_rows, stays, seed)
        else:
            write_hospital(folder, stays, seed)
    except ArgumentError as error:
        raise ConfigError(str(error)) from error
    typer.echo(f"{stays} stays written to {folder}")


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[modalities|encoders|objectives|fusions|tasks|sources|strategies|presets]",
            help="Everything if not given.",
            autocompletion=complete_group,
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List what can be named in a configuration.

    Example: picme list objectives
    """
    found = {group: names(group) for group in ([what] if what else GROUPS)}
    if as_json:
        typer.echo(json.dumps(found[what] if what else found))
        return
    for group, entries in found.items():
        indent = "" if what else "  "
        if not what:
            typer.echo(group)
        width = max((len(name) for name in entries), default=0)
        for name, about in entries.items():
            typer.echo(f"{indent}{name:<{width}}  {about}".rstrip())
