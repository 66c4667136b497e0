"""The command line: quick to start, plain in a pipe, machine-readable on request, and clear when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from picme.cli import app, main
from picme.cli.choices import GROUPS, complete_config, complete_group, complete_stage, complete_strategy, names
from picme.errors import ConfigError
from picme.pipeline import ORDER

if TYPE_CHECKING:
    from pathlib import Path

LOADED = """
import sys
sys.argv = ["picme", *{words!r}]
from picme.cli import main
try:
    main()
except SystemExit as ending:
    assert not ending.code, ending.code
heavy = ("torch", "transformers", "timm", "torchvision", "sklearn", "scipy", "plotly", "pandas", "polars")
print("LOADED", [name for name in heavy if name in sys.modules])
"""


def started(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOADED.format(words=list(words))],
        cwd=folder, capture_output=True, text=True, check=True,
        env={key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "CLICOLOR_FORCE")},
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [("--help",), ("--version",), ("plan", "demo", "--out", "x"), ("plan", "demo", "--json", "--out", "x"),
     ("list",), ("run", "--help")],
    ids=" ".join,
)  # fmt: skip
def test_what_only_answers_imports_nothing_heavy_and_writes_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = started(tmp_path, *words)
    assert done.stdout.rstrip().endswith("LOADED []")
    assert "\x1b" not in done.stdout + done.stderr, "colours are for terminals"
    assert not list(tmp_path.iterdir())


def test_help_shows_examples_that_name_commands_that_are_there() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    assert "--install-completion" in text
    commands = {line.split()[1] for line in text.splitlines() if line.strip().startswith("picme ")}
    assert {"demo", "plan", "run", "compare"} <= commands
    for command in commands:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    "command", [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
)
def test_every_command_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"]).output
    assert f"Example: picme {command}" in shown


def test_list_of_everything_has_every_group_with_what_each_name_means() -> None:
    runner = CliRunner()
    found = json.loads(runner.invoke(app, ["list", "--json"]).output)
    assert list(found) == list(GROUPS)
    assert "the mean of the others" in found["objectives"]["ovo"]
    for group in GROUPS:
        assert found[group] == names(group) == json.loads(runner.invoke(app, ["list", group, "--json"]).output)
        assert found[group], group
        for name, about in found[group].items():
            assert about, (group, name)
            assert not about.startswith("picme."), f"{name} of {group} is told by its module only"
    shown = runner.invoke(app, ["list"]).output
    assert all(group in shown.splitlines() for group in GROUPS)


def test_an_unknown_group_gets_a_near_match() -> None:
    with pytest.raises(ConfigError, match="did you mean 'encoders'"):
        names("encoder")


def test_the_shell_completes_presets_files_stages_and_strategies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    for name in ("demography.yaml", "deep/study.yaml", "notes.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert complete_config("dem") == ["demo", "demography.yaml"]
    assert complete_config("deep/") == ["deep/study.yaml"]
    assert complete_config("no") == []
    assert complete_group("enc") == ["encoders"]
    assert complete_stage("") == list(ORDER)
    assert complete_strategy("gat") == ["gated", "gated_uniform"]
    asked = {**os.environ, "_PICME_COMPLETE": "complete_bash", "COMP_WORDS": "picme run physio", "COMP_CWORD": "2"}
    code = "import sys; sys.argv = ['picme']; from picme.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["physionet2012"]


def test_results_as_json_and_quiet(tmp_path: Path) -> None:
    code = "import sys; from picme.cli import main; main()"
    words = ["prepare", "demo", "--set", "source.stays=40", "--set", "execution.workers=1", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--json", "--quiet"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["run"] == str(tmp_path / "run")
    assert "cohort_flow" in told["tables"]
    again = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert again.stdout.startswith("prepare finished in")
    assert "\x1b" not in again.stdout + again.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes")
def test_ctrl_c_leaves_a_resumable_run_and_says_how_to_go_on(tmp_path: Path) -> None:
    words = ["prepare", "demo", "--set", "source.stays=3000", "--set", "execution.workers=1", "--out", "run"]
    running = subprocess.Popen(
        [sys.executable, "-c", "from picme.cli import main; main()", *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not list(tmp_path.glob("run/store/*/*")) and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert "interrupted; run the same command again to go on from here" in said
    assert "Traceback" not in said
    planned = CliRunner().invoke(app, ["plan", "demo", "--set", "source.stays=3000", "--out", str(tmp_path / "run")])
    assert planned.exit_code == 0


def test_the_plan_says_which_combinations_are_left_out(tmp_path: Path) -> None:
    command = ["plan", "demo", "--out", str(tmp_path / "run")]
    assert "leaves out" not in CliRunner().invoke(app, command).output
    said = CliRunner().invoke(app, [*command, "--set", "study.combination_sizes=[2,5]"]).output
    assert "study.combination_sizes leaves out 15 of 26 combinations: sizes 3, 4" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("demo", "--set", "study.seeds", "3"), "write --set study.seeds=VALUE"),
        (("demo", "study.seeds=3"), "given by --set study.seeds=3"),
        (("demo", "--study.seeds=3"), "given by --set study.seeds=3"),
        (("dmeo",), "did you mean 'demo'?"),
        (("physionet",), "did you mean 'physionet2012'?"),
        (("demo.yaml",), "the preset is called 'demo'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_slips_on_the_command_line_are_told_what_to_write(
    words: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["picme", "plan", *words])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert sentence in said


@pytest.mark.parametrize("words", [("demo", "--stays", "ten"), ("compare", "a", "b", "--resamples", "3.5")])
def test_options_that_are_no_number_are_told_in_plain_words(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 2
    assert f"'{words[-1]}' is not a whole number" in done.output


def test_out_has_a_short_form(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["plan", "demo", "-o", str(tmp_path / "a.b=c"), "--json"]).exit_code == 0


def test_a_mistake_of_picme_is_told_without_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def quotes(*arguments: object) -> None:
        raise ValueError("cannot parse 'Anna Smith'")

    monkeypatch.setattr("picme.config.loading.load", quotes)
    monkeypatch.setattr(sys, "argv", ["picme", "check", "demo"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("picme: ValueError at quotes:")
    assert "Anna" not in said
    monkeypatch.setenv("PICME_DEBUG", "")  # set by the next, and so put back
    monkeypatch.setattr(sys, "argv", ["picme", "check", "demo", "--debug"])
    with pytest.raises(ValueError, match="Anna"):
        main()


def test_check_and_plan_end_with_status_1_where_the_study_cannot_run(tmp_path: Path) -> None:
    missing = ["--set", "modalities.image.encoder.weights=package:not_there", "--out", str(tmp_path / "run")]
    for command in ("plan", "check"):
        done = CliRunner().invoke(app, [command, "demo", *missing])
        assert done.exit_code == 1
        assert done.stderr.count("cannot run: ") == done.stderr.count("\n") == 1
        assert "cannot run: modalities.image.encoder.weights: package 'not_there' is not installed" in done.stderr
        told = CliRunner().invoke(app, [command, "demo", *missing, "--json"])
        assert told.exit_code == 1 and isinstance(json.loads(told.stdout), list)
    assert not list(tmp_path.iterdir())
    rows = json.loads(CliRunner().invoke(app, ["check", "demo", "--out", str(tmp_path / "run"), "--json"]).stdout)
    assert {"weights", "device", "memory", "disk"} == {row["item"] for row in rows}


def test_a_plan_by_measures_is_the_most_that_is_to_be_expected_and_needs_no_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("picme.design.cost.SECONDS", 0.0)
    command = ["plan", "demo", "--out", str(tmp_path / "run")]
    assert "at most" not in CliRunner().invoke(app, command).stdout
    rows = json.loads(CliRunner().invoke(app, [*command, "--measure", "--json"]).stdout)
    known = {row["kind"]: row["seconds"] for row in rows if row["estimated"]}
    assert known.keys() == {"features", "pretrain", "finetune", "embed", "restrict"}
    assert all(seconds > 0 for kind, seconds in known.items() if kind != "restrict")  # a copy costs nothing
    (tmp_path / "empty").mkdir()
    done = started(tmp_path / "empty", "plan", "demo", "--json", "--out", "x")
    assert done.stdout.rstrip().endswith("LOADED []")
    assert [row["seconds"] for row in json.loads(done.stdout.splitlines()[0])] == [row["seconds"] for row in rows]
