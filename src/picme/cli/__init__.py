"""The command line: one command per stage, no logic."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from picme.cli.checks import check, check_leakage
from picme.cli.finished import compare, predict, validate, value
from picme.cli.options import HELP, INTERRUPTED, check_words
from picme.cli.planning import plan
from picme.cli.stages import STAGES, demo, run, stage
from picme.cli.without_study import list_, synth
from picme.errors import PicmeError

if TYPE_CHECKING:
    from collections.abc import Callable


def _version(asked: bool) -> None:
    if asked:
        from picme import __version__

        typer.echo(f"picme {__version__}")
        raise typer.Exit


def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
) -> None:
    """Options of `picme` itself; its help is HELP."""


app = typer.Typer(
    name="picme",
    help=HELP,
    callback=common,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Help lists the commands in this order.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "run": run,
    **{name: stage(name, meaning) for name, meaning in STAGES.items()},
    "plan": plan,
    "check": check,
    "check-leakage": check_leakage,
    "predict": predict,
    "validate": validate,
    "compare": compare,
    "value": value,
    "synth": synth,
    "list": list_,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Entry point: errors of the input end in one sentence and status 2, Ctrl-C in 130.

    A mistake of picme's own ends with status 1, and without its message, which may quote data.
    """
    debug = "--debug" in sys.argv
    if debug:
        os.environ["PICME_DEBUG"] = "1"
    try:
        check_words(sys.argv)
        app(standalone_mode=True)
    except SystemExit as ending:
        # Typer ends so on Ctrl-C, without a word.
        if ending.code == INTERRUPTED:
            _interrupted()
        raise
    except PicmeError as error:
        if debug:
            raise
        # One line that cannot steer the terminal, whatever a name in it holds.
        line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in " ".join(str(error).split()))
        sys.stderr.write(f"picme: {line}\n")
        raise SystemExit(2) from None
    except Exception as error:
        if debug:
            raise
        from picme.engine.faults import fault
        from picme.engine.local import explain

        said = fault(error, Path.cwd(), sys.argv[1:])
        sys.stderr.write(f"picme: {said or explain(error)}\n")
        raise SystemExit(2 if said else 1) from None
    except KeyboardInterrupt:
        _interrupted()
        raise SystemExit(INTERRUPTED) from None


def _interrupted() -> None:
    sys.stderr.write("\npicme: interrupted; run the same command again to go on from here\n")
