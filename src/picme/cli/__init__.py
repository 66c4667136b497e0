"""The command line: one command per stage, no logic."""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from picme.cli.choices import complete_group, complete_stage, complete_strategy
from picme.cli.options import HELP, INTERRUPTED, ConfigArgument, Debug, Json, Out, Quiet, Set, check_words, number
from picme.errors import ConfigError, PicmeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from picme.config.study import Config

Format = Literal["mimic", "meds"]

app = typer.Typer(
    name="picme",
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


def _version(asked: bool) -> None:
    if asked:
        from picme import __version__

        typer.echo(f"picme {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
) -> None:
    """Options of `picme` itself; its help is HELP."""


@app.command()
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
    config = _load("demo", set_, {key: value for key, value in given.items() if value is not None})
    _run(config, _out(out, "demo"), "report", quiet, as_json)


@app.command()
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
    _run(_load(config, set_), _out(out, config), until, quiet, as_json)


def _stage(name: str, help_text: str) -> None:
    def command(
        config: ConfigArgument,
        out: Out = None,
        set_: Set = None,
        as_json: Json = False,
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        folder = _out(out, config)
        try:
            loaded = _load(config, set_)
        except ConfigError as error:
            # Tables and report need only the run folder, not the packages that its configuration names.
            if name != "report" or Path(config).resolve() != (folder / "config.yaml").resolve():
                raise
            from picme.pipeline import report_again

            typer.echo(f"{report_again(folder)} written from the finished tables; nothing was run: {error}")
            return
        _run(loaded, folder, name, quiet, as_json)

    command.__doc__ = f"{help_text}\n\nExample: picme {name} demo --out runs/demo"
    app.command(name)(command)


_stage("prepare", "Raw tables to one row per stay and one array per modality.")
_stage("pretrain", "Contrastive pretraining of every combination (and what it needs).")
_stage("align", "How well each combination's modalities find one another (and what it needs).")
_stage("finetune", "The strategies on the tasks, all seeds (and what they need).")
_stage("evaluate", "Scores, intervals, comparisons, subgroups (and what they need).")
_stage("report", "Result tables and report.html (and what they need).")


@app.command()
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
    from picme.pipeline import plan as make_plan
    from picme.prepare.ready import obstacles

    study = _load(config, set_)
    found = obstacles(study)
    try:
        with _notes():
            rows = make_plan(study, _out(out, config), measure)
    except PicmeError:
        if not found:
            raise
        rows = []  # what is missing is said below
    if as_json:
        typer.echo(json.dumps(rows))
        _end_if(found)
        return
    typer.echo(f"{'stage':<10} {'jobs of':<10} {'jobs':>6} {'done':>6} {'resume':>6} {'run':>6}  time")
    for row in rows:
        if row["jobs"] is None:
            typer.echo(f"{row['stage']:<10} decided by alignment, once it is there")
            continue
        time = (
            ""
            if not row["run"] + row["resume"]
            else "not yet measured"
            if row["seconds"] is None
            else "under a minute"
            if row["seconds"] < 60
            else f"{'at most ' * row['estimated']}about {row['seconds'] / 60:.1f} min"
        )
        if row["gpu_mb"] is not None:
            time += f", {row['gpu_mb'] / 1024:.1f} GB of the GPU"
        typer.echo(
            f"{row['stage']:<10} {row['kind']:<10} {row['jobs']:>6} {row['done']:>6} "
            f"{row['resume']:>6} {row['run']:>6}  {time}"
        )
    for row in rows:
        if row["stale"]:
            typer.echo(f"{row['kind']} is stale: {row['stale']}")
    every = combinations(list(study.modalities))
    left_out = set(every) - set(combinations(list(study.modalities), study.study.combination_sizes))
    if left_out:
        sizes = ", ".join(map(str, sorted({len(one) for one in left_out})))
        typer.echo(f"study.combination_sizes leaves out {len(left_out)} of {len(every)} combinations: sizes {sizes}")
    _end_if(found)


@app.command()
def check(
    config: ConfigArgument, out: Out = None, set_: Set = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Say what data, weights, packages and machine there are, and what is missing; status 1 if the study could not run.

    Example: picme check mimic-ehr --set source.ehr=mimic-iv-demo-2.2
    """
    from picme.prepare.check import check_sources
    from picme.prepare.ready import judge_sources, machine

    loaded = _load(config, set_)
    table = check_sources(loaded)
    rows, lacking = machine(loaded, _out(out, config), table)
    if as_json:
        typer.echo(json.dumps([*([] if table is None else table.to_dicts()), *rows], default=str))
    else:
        if table is not None:
            _print_table(table.columns, table.rows())
            typer.echo()
        _print_table(list(rows[0]), [tuple(row.values()) for row in rows])
    _end_if([*judge_sources(loaded, table), *lacking])


@app.command("check-leakage")
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

    loaded = _load(config, set_)
    study = run_pipeline(loaded, _out(out, config), "prepare", quiet)
    table, violations = check_leaks(study.design.prepare, study.prepared, study.folds)
    if as_json:
        typer.echo(json.dumps(table.to_dicts(), default=str))
    else:
        _print_table(table.columns, table.rows())
    for sentence in violations:
        typer.echo(f"violation: {sentence}", err=True)
    if violations:
        raise typer.Exit(1)


@app.command()
def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    input_: Annotated[
        Path,
        typer.Option(
            "--input",
            metavar="COHORT",
            help="Prepared cohort of the new stays: a run folder with the prepare stage done.",
        ),
    ],
    task: Annotated[str, typer.Option(help="Task to predict.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .csv or .parquet.")],
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Strategy; if it alone is given, the best on validation of its combinations.",
            autocompletion=complete_strategy,
        ),
    ] = None,
    combination: Annotated[
        str | None,
        typer.Option(
            help="Combination a+b; if it alone is given, the best on validation of its strategies. With neither, the "
            "cell that is selected in the table summary."
        ),
    ] = None,
    contributions: Annotated[
        Path | None,
        typer.Option(
            help="Second file to write, .csv or .parquet: what each modality adds to each prediction's logit."
        ),
    ] = None,
    withhold: Annotated[
        str, typer.Option(help="Modalities a,b taken to be absent, for a strategy that takes any subset.")
    ] = "",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Probabilities for new stays by the models of a finished run.

    Example: picme predict runs/demo --input runs/new --task mortality --out probabilities.csv
    """
    from picme.predict import predict as make_predictions

    absent = tuple(name.strip() for name in withhold.split(",") if name.strip())
    count, without, notes = make_predictions(
        run_folder, input_, task, strategy, combination, out, contributions, absent, quiet
    )
    for note in notes:
        typer.echo(f"Note: {note}", err=True)
    left_out = f"; {without} have none of the combination's modalities and no prediction" if without else ""
    typer.echo(f"{count} stays written to {out}{left_out}")


@app.command()
def validate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="COHORT",
            help="The other source: a configuration file or preset, whose cohort is prepared first, or a run folder "
            "with the prepare stage done. All its labelled stays are judged, but for subjects that the models were "
            "trained on where it shares raw files with the run.",
        ),
    ],
    task: Annotated[list[str] | None, typer.Option(help="One task; repeatable; all if not given.")] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="One strategy; repeatable; all that keep models if not given.", autocompletion=complete_strategy
        ),
    ] = None,
    combination: Annotated[
        list[str] | None, typer.Option(help="One combination a+b; repeatable; all if not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write; RUN/external/COHORT if not given.")
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """A finished run scored on labelled stays of another source: external validation.

    Example: picme validate runs/demo --input demo --set source.seed=1
    """
    from picme.config.loading import parse_overrides
    from picme.validate import validate as make_validation

    found = make_validation(
        run_folder,
        input_,
        overrides=parse_overrides(set_ or []),
        tasks=task or (),
        strategies=strategy or (),
        combinations=combination or (),
        out=out,
        quiet=quiet,
    )
    for note in found.notes:
        typer.echo(f"Note: {note}", err=True)
    rows = found.tables["external"].filter(recalibration="none")
    if as_json:
        typer.echo(json.dumps({"page": str(found.page), "external": rows.to_dicts()}))
        return
    chosen = rows.filter("selected") if rows["selected"].any() else rows
    columns = ["task", "combination", "strategy", "metric", "value", "low", "high", "internal", "difference", "n"]
    _print_table(columns, chosen.select(columns).rows())
    typer.echo(f"\nPage: {found.page}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_A RUN_B …", help="Folders of finished studies.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("compare.html"),
    resamples: Annotated[int, number("Bootstrap resamples over subjects.")] = 2000,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Studies side by side: settings that differ, scores, paired tests on the stays that both tested.

    Example: picme compare runs/paper runs/prospective --out compare.html
    """
    from picme.compare import compare as make_comparison

    if resamples < 100:
        raise ConfigError(f"--resamples is {resamples}, expected 100 or more")
    found = make_comparison(runs, resamples=resamples)
    path = found.write(out)
    if as_json:
        typer.echo(json.dumps({"page": str(path), "tests": found.tests.to_dicts()}))
    else:
        typer.echo(f"{found.tests.height} tests of {len(runs)} studies written to {path}")


@app.command()
def value(
    run_: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished study.")],
    task: Annotated[str | None, typer.Option("--task", help="One task; all if not given.")] = None,
    given: Annotated[
        str | None, typer.Option("--given", help="Modalities that there are already, as a+b; all others if not given.")
    ] = None,
    add: Annotated[str | None, typer.Option("--add", help="The modality that is added; each if not given.")] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="What counts as nothing, a fraction; evaluate.margin if not given.")
    ] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", autocompletion=complete_strategy)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What a modality adds to others, and which combination is enough.

    Example: picme value runs/demo --task mortality --given discharge+timeseries --add image
    """
    from picme.report.enough import enough
    from picme.study import load

    study = load(run_)
    if study.tables and "lattice" not in study.tables:  # without tables it is not finished, which is said below
        raise ConfigError(
            f"{run_} has no predictions of every subset of its modalities; finetune.combinations: all makes them, or "
            "the strategy any_subset"
        )
    found: list[Any] = []
    for name in [task] if task is not None else study.config.tasks:
        one = study.value(name, given, add, margin, strategy)
        found += one if isinstance(one, list) else [one]
    told = dict.fromkeys((one.task, one.strategy) for one in found)
    folds = study.config.splits.kind == "folds"
    answers = {key: enough(study.table("sufficient"), *key, folds=folds) for key in told}
    if as_json:
        plain = [{**one.plain(), "sufficient": answers[one.task, one.strategy]} for one in found]
        typer.echo(json.dumps(plain))
    else:
        typer.echo("\n".join([*map(str, found), *(one["sentence"] for one in answers.values() if one)]))


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder.")],
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


@app.command("list")
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
    from picme.cli.choices import GROUPS, names

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


def _load(config: str, items: list[str] | None, more: dict[str, Any] | None = None) -> Config:
    from picme.config.loading import load, parse_overrides

    return load(config, {**(more or {}), **parse_overrides(items or [])})


def _out(out: Path | None, config: str) -> Path:
    return out or Path("runs") / Path(config).stem


def _run(config: Config, out: Path, until: str, quiet: bool, as_json: bool) -> None:
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
    Console(width=_width(160)).print(main_table(tables))
    typer.echo(headline(tables, study.tree))
    typer.echo(f"\nReport: {opened.report}")


def _width(wide: int) -> int | None:
    """The terminal's width; into a file or pipe a table is as wide as it needs to be."""
    return None if sys.stdout.isatty() else wide


def _print_table(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(
            *("" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value) for value in row)
        )
    Console(width=_width(240)).print(shown)


@contextmanager
def _notes() -> Iterator[None]:
    """Write the warnings of the block as notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in caught:
        if one.category is UserWarning:
            typer.echo(f"Note: {one.message}", err=True)


def _end_if(obstacles: list[str]) -> None:
    """End with status 1 if something keeps a study from running, each in a line of its own."""
    for sentence in obstacles:
        typer.echo(f"cannot run: {sentence}", err=True)
    if obstacles:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
