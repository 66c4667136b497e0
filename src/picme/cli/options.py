"""Arguments and options that the commands share, and the text of `picme --help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from picme.cli.choices import complete_config

# Status of a command that Ctrl-C ended.
INTERRUPTED = 130

HELP = """Which clinical data types are worth combining, and how.

Examples:

\b
  picme demo                                     the whole study on a synthetic hospital, in minutes
  picme plan mimic-ehr --set source.ehr=DIR      what a run would do, and how long
  picme run mimic-ehr --set source.ehr=DIR       time series and demographics of the open MIMIC-IV demo
  picme run study.yaml --out runs/study          a configuration of your own; again, to go on after a stop
  picme compare runs/a runs/b                    finished studies side by side
  picme list                                     everything that a configuration can name
"""

ConfigArgument = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A YAML file or the name of a preset (picme list presets).",
        autocompletion=complete_config,
    ),
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; runs/NAME if not given.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key, such as pretrain.epochs=10; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; results and errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Tracebacks of errors.")]
