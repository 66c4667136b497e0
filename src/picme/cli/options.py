"""Arguments and options that the commands share, what some of them stand for, and the text of `picme --help`."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from picme.cli.choices import complete_config
from picme.errors import ConfigError

if TYPE_CHECKING:
    from picme.config.study import Config

# Status of a command that Ctrl-C ended.
INTERRUPTED = 130

HELP = """Which clinical data types are worth combining, and how.

Examples:

\b
  picme demo                                     the whole study on a synthetic hospital, in minutes
  picme check mimic-ehr --set source.ehr=DIR     whether data, weights, packages and machine are there
  picme plan mimic-ehr --set source.ehr=DIR      what a run would do, and how long
  picme run mimic-ehr --set source.ehr=DIR       time series and demographics of the open MIMIC-IV demo
  picme run study.yaml --out runs/study          a configuration of your own; again, to go on after a stop
  picme compare runs/a runs/b                    finished studies side by side
  picme validate runs/a --input other.yaml       a finished study judged in another hospital
  picme list                                     everything that a configuration can name
"""


def check_overrides(items: list[str] | None) -> list[str] | None:
    """Check `--set` before the words that stand alone, of which `--set key value` would leave the value.

    Raises:
        ConfigError: if an item has no `=`.
    """
    if items:
        from picme.config.loading import parse_overrides

        parse_overrides(items)
    return items


def number(meaning: str) -> Any:
    """Return an option that takes a whole number; the command line's own words for what is none are a library's."""

    def whole(text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a whole number") from None

    return typer.Option(parser=whole, metavar="NUMBER", help=meaning)


def check_words(words: list[str]) -> None:
    """Check that no word of the command line is a key of the configuration without its `--set`.

    Raises:
        ConfigError: if one is.
    """
    for before, word in pairwise(words):
        if re.match(r"(--)?[a-z]\w*(\.\w+)+=", word) and not before.startswith("-"):
            raise ConfigError(f"a key of the configuration is given by --set {word.removeprefix('--')}")


ConfigArgument = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A YAML file or the name of a preset (picme list presets).",
        autocompletion=complete_config,
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; runs/NAME if not given.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Overrides a key, such as pretrain.epochs=10; repeatable.",
        callback=check_overrides,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; results and errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Tracebacks of errors.")]


def load_config(config: str, items: list[str] | None, more: dict[str, Any] | None = None) -> Config:
    """Load a configuration with what `--set` gives, and with overrides that options of a command's own give."""
    from picme.config.loading import load, parse_overrides

    return load(config, {**(more or {}), **parse_overrides(items or [])})


def run_folder(out: Path | None, config: str) -> Path:
    """Return the folder that `--out` gives; without it, one in `runs` named after the configuration."""
    return out or Path("runs") / Path(config).stem
