"""A study in its folder: what a failure leaves, and whose results lie there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import picme.evaluate.gather
from picme.compare import compare
from picme.config.loading import dump, load, presets, read_yaml, validate
from picme.errors import ConfigError, DataError, PicmeError
from picme.evaluate.tables import OF_CELL, evaluate
from picme.pipeline import Run, make_folder, report_again, run
from picme.results.record import study_hash, unfinished
from picme.study import load as load_study

if TYPE_CHECKING:
    from picme.config.study import Config


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """A study of own data in seconds: two tabular modalities, one task, a baseline on each of them and both."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(120, 2))
    label = (values.sum(1) + draw.normal(size=120) > 0).astype(int)
    pl.DataFrame({"a": values[:, 0], "b": values[:, 1], "death": label}).write_parquet(tmp_path / "rows.parquet")
    encoder = {"name": "mlp", "hidden": [4]}
    return {
        "source": {"kind": "table", "path": str(tmp_path / "rows.parquet")},
        "modalities": {name: {"kind": "tabular", "columns": [name], "encoder": encoder} for name in "ab"},
        "tasks": {"death": {"labels": ["death"]}},
        "study": {"seeds": 1, "embed_dim": 4},
        "pretrain": {"epochs": 1},
        "finetune": {"combinations": "all", "strategies": ["logistic_regression"]},
        "evaluate": {"resamples": 100, "interval_resamples": 100},
        "execution": {"workers": 1},
    }


def config_of(tree: dict[str, Any], **changes: dict[str, Any]) -> Config:
    return validate(tree | {name: tree.get(name, {}) | values for name, values in changes.items()})


def fails(*arguments: Any) -> None:
    raise DataError("column 'x' is missing")


def interrupted(*arguments: Any) -> None:
    raise KeyboardInterrupt


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_study_whose_scores_fail_ends_with_the_other_tables_and_a_record(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(picme.evaluate.gather, "score", fails)
        with pytest.raises(PicmeError, match=r"^3 steps failed, the first: score of .* column 'x' is missing$"):
            run(config_of(tree), out, quiet=True)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert [(one["stage"], one["reason"]) for one in record["failures"]] == [("score", "column 'x' is missing")] * 3
    study = load_study(out)
    assert {"alignment", "cohort_flow", "runtimes"} <= set(study.tables)
    assert "scores" not in study.tables
    assert (out / "report.html").is_file()
    run(config_of(tree), out, quiet=True)
    assert "scores" in study.tables
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["failures"] == []


def test_a_study_that_cannot_be_prepared_leaves_a_record_and_no_report(tree: dict[str, Any], tmp_path: Path) -> None:
    wrong = config_of(tree, modalities={"b": {"kind": "tabular", "columns": ["c"], "encoder": {"name": "mlp"}}})
    with pytest.raises(PicmeError, match=r"^prepare failed, .* has no column 'c'"):
        run(wrong, tmp_path / "run", quiet=True)
    assert names(tmp_path / "run") == {".lock", "config.yaml", "results", "run.json", "store"}
    assert names(tmp_path / "run" / "results") == set()


def test_a_run_says_what_the_one_before_was_killed_in(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, config = tmp_path / "run", config_of(tree)
    run(config, out, until="prepare")
    assert "killed" not in capsys.readouterr().err
    step = Run(config, out).graph.of("finetune")[0]
    for kind, key in (("embed", "of another configuration"), (step.kind, step.key)):
        (out / "store" / kind / f".{key}.anotherhost-1-1-0.partial").mkdir(parents=True)
    run(config, out, until="prepare")
    said = capsys.readouterr().err
    assert f"the run before this one was killed in embed and {step.title}, most often for lack of memory" in said
    run(config, out, until="prepare")
    assert "killed" not in capsys.readouterr().err


def test_results_of_another_configuration_are_put_away_and_an_interrupted_study_says_so(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    first = config_of(tree)
    run(first, out, quiet=True)
    run(first, other, quiet=True)
    before = load_study(out).table("summary")
    with monkeypatch.context() as patch:
        patch.setattr(picme.evaluate.gather, "score", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config_of(tree, evaluate={"confidence": 0.8}), out, quiet=True)
    study = load_study(out)
    assert study.config.evaluate.confidence == 0.8
    assert (study.tables, names(out) & {"results", "run.json", "report.html"}) == ([], set())
    said = rf"the study in {out} is not finished; go on with `picme run"
    with pytest.raises(DataError, match=said):
        study.table("summary")
    with pytest.raises(DataError, match=said):
        study.figure("scores")
    with pytest.raises(ConfigError, match=said):
        report_again(out)
    with pytest.raises(ConfigError, match=said):
        compare([out, other])
    (kept,) = (out / "earlier").iterdir()
    assert kept.name == study_hash(read_yaml(kept / "config.yaml"))
    assert load_study(kept).table("summary").equals(before)
    run(first, out, quiet=True)
    assert load_study(out).table("summary").equals(before)


def test_results_of_a_configuration_edited_in_the_folder_are_not_taken_for_its_own(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    run(config_of(tree), tmp_path / "run", until="prepare", quiet=True)
    assert unfinished(tmp_path / "run") is None
    file = tmp_path / "run" / "config.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("workers: 1", "workers: 2"), encoding="utf-8")
    assert unfinished(tmp_path / "run") is None, "where steps run makes no other results"
    file.write_text(text.replace("epochs: 1", "epochs: 2"), encoding="utf-8")
    assert unfinished(tmp_path / "run") is not None
    run(load(file), tmp_path / "run", until="prepare", quiet=True)
    assert unfinished(tmp_path / "run") is None
    assert len(names(tmp_path / "run" / "earlier")) == 1


def test_tables_that_a_study_no_longer_makes_are_removed(tree: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(config_of(tree), out, until="prepare", quiet=True)
    for name in ("summary.parquet", "summary.csv", "summary.tex", "gone.csv", ".scores.csv.part", "mine.txt"):
        (out / "results" / name).touch()
    run(config_of(tree), out, until="prepare", quiet=True)
    assert names(out / "results") == {
        "mine.txt", *(f"{table}.{kind}" for table in load_study(out).tables for kind in ("parquet", "csv")),
    }  # fmt: skip
    assert "summary" not in load_study(out).tables


def test_tasks_in_another_order_are_other_rows_of_the_same_artifacts(tree: dict[str, Any], tmp_path: Path) -> None:
    out, labels = tmp_path / "run", {"labels": ["death"]}
    for order in (("alive", "death"), ("death", "alive")):
        run(validate(tree | {"tasks": dict.fromkeys(order, labels)}), out, quiet=True)
        for name in ("summary", "cohort_flow", "scores"):
            assert load_study(out).table(name)["task"].unique(maintain_order=True).to_list()[:2] == list(order)
        assert len(names(out / "store" / "evaluate")) == len(order)
        assert len(names(out / "store" / "score")) == 3 * len(order) and len(names(out / "store" / "prepare")) == 1


def test_cells_judged_in_steps_of_their_own_give_the_tables_of_all_predictions_judged_together(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    labels = {"death": {"labels": ["death"]}, "both": {"labels": ["death", "other"]}}
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    site = (pl.col("a") > 0).cast(pl.String)
    rows = rows.with_columns(other=pl.col("a") > pl.col("b"), site=site)
    rows.write_parquet(tmp_path / "rows.parquet")
    tree |= {"tasks": labels, "study": {"seeds": 2, "embed_dim": 4}, "finetune": {"combinations": "all", "epochs": 2}}
    tree["finetune"] |= {"strategies": ["supervised", "random", "logistic_regression"]}
    tree["source"] |= {"groups": ["site"]}
    tree["evaluate"] |= {"shapley": "off"}
    run(validate(tree), tmp_path / "run", quiet=True)
    study = load_study(tmp_path / "run")
    prepared = Run.at(tmp_path / "run").prepared
    cohorts = {name: pl.read_parquet(prepared / "views" / name / "cohort.parquet") for name in labels}
    config = study.config.evaluate.model_copy(update={"groups": ("site",)})
    together = evaluate(study.table("predictions"), cohorts, config, draws=1)
    for name in (*OF_CELL, "summary", "comparisons", "fairness"):
        found = study.table(name) if name in study.tables else together[name].clear()
        assert found.equals(together[name]), name
    assert study.table("comparisons").height and study.table("subgroups").height
    judged = together["cohort_flow"].rows()
    assert [row for row in study.table("cohort_flow").rows() if row in judged] == judged and judged


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_configuration_has_the_same_hash_once_it_is_written(name: str, tmp_path: Path) -> None:
    key = {"mimic": "source.ehr", "physionet2012": "source.path"}.get(read_yaml(name)["source"]["kind"])
    config = load(name, {key: "/data"} if key else {})
    (tmp_path / "config.yaml").write_text(dump(config), encoding="utf-8")
    assert study_hash(read_yaml(tmp_path / "config.yaml")) == study_hash(config.model_dump(mode="json"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder in which none can be made")
def test_a_place_for_no_folder_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="--out /proc/run is where no folder can be made; choose another"):
        make_folder(Path("/proc/run"))
