"""Comparing studies: settings that differ, scores side by side, and tests only where the stays are the same."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from run_folders import CELLS, run_folder
from scipy.stats import norm, t
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from picme.cli import app
from picme.compare import compare
from picme.errors import ConfigError
from picme.evaluate.bootstrap import SubjectResamples

if TYPE_CHECKING:
    from pathlib import Path

ATTACK = "<script>alert('{{7*7}}')</script>"


def test_ensembles_differ_by_their_seed_averages_on_the_common_test_stays(tmp_path: Path) -> None:
    weak = run_folder(tmp_path / "weak", 0.2)
    strong = run_folder(tmp_path / "strong", 2.5, seed=1, stays=range(1040, 1160))
    found = compare([weak, strong], resamples=300)
    common = [stay for stay in range(1040, 1120) if stay % 4]
    values = []
    for folder in (weak, strong):
        mean = (
            pl.read_parquet(folder / "results" / "predictions.parquet")
            .filter(pl.col("strategy") == "supervised", pl.col("split") == "test", pl.col("stay_id").is_in(common))
            .group_by("stay_id")
            .agg(pl.col("target").first(), pl.col("probability").mean())
            .sort("stay_id")
        )
        values.append((mean["target"].to_numpy(), mean["probability"].to_numpy()))
    for metric, area in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        row = found.tests.filter(
            pl.col("metric") == metric, pl.col("strategy_a") == "supervised", pl.col("family") == "same cell"
        ).row(0, named=True)
        first, second = (area(y, p) for y, p in values)
        assert row["ensemble_difference"] == pytest.approx(second - first, abs=1e-9)
        # Subjects have two stays each, and are drawn as one.
        subject = np.unique([stay // 2 for stay in common], return_inverse=True)[1]
        draws = SubjectResamples.draw(subject.max() + 1, 300, 0)
        weights = np.concatenate(draws.blocks, axis=1)[subject].astype(float)
        drawn = np.array(
            [area(values[1][0], values[1][1], sample_weight=w) - area(*values[0], sample_weight=w) for w in weights.T]
        )
        # As in one study: a t test with the degrees of freedom of the smaller class, of AUPRC a normal one.
        smaller = min(len(np.unique(subject[values[0][0] == label])) for label in (0, 1))
        error, law = drawn.std(ddof=1), norm()
        if metric == "auroc":
            error, law = error * np.sqrt(smaller / (smaller - 1)), t(2 * (smaller - 1))
        assert row["ensemble_low"] == pytest.approx(max(-1, second - first - law.ppf(0.975) * error), abs=1e-9)
        assert row["ensemble_p_value"] == pytest.approx(2 * law.sf(abs(second - first) / error))
        assert row["stays"] == len(common)
        assert row["ensemble_p_adjusted"] >= row["ensemble_p_value"]
    assert set(found.tests["family"]) == {"same cell", "chosen on validation"}


def test_a_study_does_not_differ_from_its_copy(tmp_path: Path) -> None:
    found = compare([run_folder(tmp_path / "x", 1.0), run_folder(tmp_path / "y", 1.0)], resamples=100)
    assert found.tests["difference"].abs().max() == 0
    assert found.tests["p_adjusted"].min() == 1
    assert found.settings.is_empty()
    assert found.made.is_empty(), "the same raw file at another place is the same data"


def test_modalities_in_another_order_are_the_same_combination(tmp_path: Path) -> None:
    found = compare([run_folder(tmp_path / "x", 1.0), run_folder(tmp_path / "y", 1.0, order="b+a")], resamples=100)
    assert found.scores.height == len(CELLS)
    assert found.tests.filter(pl.col("family") == "same cell").height == 2 * len(CELLS)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"stays": range(2000, 2100)}, "no test stay"),
        ({"subject": lambda stay: stay}, "different subjects"),
        ({"flipped": 40}, "labels of common stays differ"),
        ({"keep_cohort": False}, "no prepared cohort"),
    ],
)
def test_nothing_is_tested_where_the_stays_are_not_the_same(tmp_path: Path, other: dict[str, Any], reason: str) -> None:
    found = compare([run_folder(tmp_path / "x", 1.0), run_folder(tmp_path / "y", 2.0, **other)], resamples=100)
    assert found.tests.is_empty()
    assert reason in found.pairings[0].reason
    assert reason in found.write(tmp_path / "page.html").read_text(encoding="utf-8")
    assert found.scores.height == len(CELLS), "scores stand side by side all the same"


def test_a_few_corrected_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    wide = range(1000, 1400)
    one = run_folder(tmp_path / "x", 1.0, stays=wide)
    other = run_folder(tmp_path / "y", 1.0, stays=wide, flipped=3)
    found = compare([one, other], resamples=100)
    assert found.pairings[0].conflicts == sum(stay % 4 != 0 for stay in (1000, 1001, 1002))
    assert found.tests.height > 0


def test_settings_that_differ_are_listed_by_key(tmp_path: Path) -> None:
    other = {"pretrain": {"epochs": 9, "objective": {"name": "ovo", "kl": 0.0}}}
    found = compare([run_folder(tmp_path / "x", 1.0), run_folder(tmp_path / "y", 1.0, settings=other)], resamples=100)
    assert found.settings.rows() == [("pretrain.epochs", "3", "9"), ("pretrain.objective.kl", None, "0.0")]


def test_page_escapes_what_it_shows_and_loads_nothing(tmp_path: Path) -> None:
    one = run_folder(tmp_path / "x", 1.0)
    other = run_folder(tmp_path / "y", 1.0, settings={"name": ATTACK, ATTACK: ATTACK})
    text = compare([one, other], resamples=100).write(tmp_path / "page.html").read_text(encoding="utf-8")
    assert ATTACK not in text
    assert "&lt;script&gt;alert" in text
    assert "alert('49')" not in text
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:|//)", text)
    assert not [
        stay for stay in range(1000, 1120) if re.search(rf"\b{stay}\b", text.split("<main")[1].split("</main>")[0])
    ]


def test_the_page_says_the_coverage_that_was_asked_for(tmp_path: Path) -> None:
    folders = [run_folder(tmp_path / name, 1.0) for name in "xy"]
    found = compare(folders, resamples=100, confidence=0.9)
    text = found.write(tmp_path / "page.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "90 % interval" in text and "95 %" not in text


def test_three_studies_are_each_compared_with_the_first(tmp_path: Path) -> None:
    folders = [run_folder(tmp_path / name / "run", skill) for name, skill in (("x", 0.5), ("y", 1.0), ("z", 1.5))]
    found = compare(folders, resamples=100)
    assert [run.name for run in found.runs] == ["x/run", "y/run", "z/run"]
    assert set(found.tests.select("run_a", "run_b").rows()) == {("x/run", "y/run"), ("x/run", "z/run")}


def test_command_line(tmp_path: Path) -> None:
    one, other = run_folder(tmp_path / "x", 0.2), run_folder(tmp_path / "y", 2.0)
    page = tmp_path / "pages" / "compare.html"
    done = CliRunner().invoke(
        app, ["compare", str(one), str(other), "--out", str(page), "--resamples", "100", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["page"] == str(page)
    assert page.is_file()


def test_folders_that_cannot_be_compared(tmp_path: Path) -> None:
    one = run_folder(tmp_path / "x", 1.0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.yaml").write_text("name: x", encoding="utf-8")
    for runs, words in (
        ([one], "two run folders"),
        ([one, one], "named twice"),
        ([one, tmp_path / "empty"], "no config.yaml"),
        ([one, tmp_path / "unfinished"], "is not finished; go on with `picme run"),
    ):
        with pytest.raises(ConfigError, match=words):
            compare(runs)
