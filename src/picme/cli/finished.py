"""The commands on finished studies: applied to new stays, judged elsewhere, compared, and what modalities add."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from picme.cli.choices import complete_strategy
from picme.cli.options import Debug, Json, Quiet, Set, number
from picme.cli.output import print_table
from picme.errors import ConfigError


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
    print_table(columns, chosen.select(columns).rows())
    typer.echo(f"\nPage: {found.page}")


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
