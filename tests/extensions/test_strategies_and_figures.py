"""A strategy, a result table and a figure of another package appear wherever picme's own do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from extension_site import environment, picme, python

if TYPE_CHECKING:
    from pathlib import Path

DECLARED = """
import json
from picme.config.loading import load
from picme.report.build import page
from picme.report.theme import strategy_style
import polars as pl
from pathlib import Path

study = load("demo", {"finetune.strategies": ["finetuned", "warm_attention"]})
compared = study.evaluate.comparisons
cell = {
    "task": "mortality", "combination": "a+b", "strategy": "warm_attention", "auroc_mean": 0.8, "auroc_std": 0.0125,
    "ensemble_auroc": 0.8, "selected": True,
}
cells = [cell, {**cell, "strategy": "finetuned", "auroc_mean": 0.7, "ensemble_auroc": 0.7, "selected": False}]
print(json.dumps({
    "controls": compared.controls, "strategies": compared.strategies, "style": strategy_style("warm_attention", []),
    "page": page(Path("run"), {"summary": pl.DataFrame(cells)}, study.model_dump(mode="json"), {}),
}))
"""


def test_a_strategy_is_listed_compared_explained_and_drawn(installed: dict[str, str]) -> None:
    listed = json.loads(picme(installed, "list", "strategies", "--json").stdout)
    assert listed["warm_attention"].startswith("pretrained encoders and attention")
    done = python(DECLARED, installed)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert ["warm_attention", "supervised_attention"] in found["controls"]
    assert ["warm_attention", "finetuned"] in found["strategies"]
    assert found["style"] == ["#CC79A7", "star"]
    assert "embeddings combined by attention, then everything trained on the task" in found["page"]
    assert "Over the alternative" in found["page"], "its control was not run"
    assert "Over its control" not in found["page"]


def test_a_figure_stands_in_its_chapter(installed: dict[str, str]) -> None:
    shown = json.loads(python(DECLARED, installed).stdout)["page"]
    scores = shown[shown.index('id="scores"') : shown.index('id="made"')]
    assert "Spread over the seeds" in scores
    assert "0.013" in scores or "0.012" in scores


def test_a_run_is_reported_without_the_package_of_its_strategy(tmp_path: Path) -> None:
    code = DECLARED.replace('load("demo", {"finetune.strategies": ["finetuned", "warm_attention"]})', 'load("demo")')
    done = python(code, environment(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["style"] == ["#D55E00", "circle"]
    assert "warm attention" in found["page"]


DERIVED = """
import json, sys
from pathlib import Path
import polars as pl
from picme.report.facts import frame
from picme.results.extra import extra_tables
from picme.results.tables import table
from picme.results.write import write_results

cell = {"task": "mortality", "combination": "a+b", "strategy": "gated"}
pairs = (("val", 0.5), ("test", 0.9), ("test", 0.25))
rows = [{**cell, "split": split, "probability": value} for split, value in pairs]
made = extra_tables({"predictions": pl.LazyFrame(rows)})
write_results(made, Path(sys.argv[1]))
print(json.dumps({
    "meaning": table("certainty").meaning, "shown": frame(made, "certainty").rows(), "without": list(extra_tables({})),
}))
"""


def test_a_table_is_derived_written_and_read(installed: dict[str, str], tmp_path: Path) -> None:
    done = python(DERIVED, installed, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["meaning"].startswith("One row says how certain")
    assert found["shown"] == [["mortality", "a+b", "gated", pytest.approx((0.8 + 0.5) / 2)]]
    assert found["without"] == []
    assert pl.read_parquet(tmp_path / "certainty.parquet").columns[-1] == "certainty"
    assert (tmp_path / "certainty.csv").is_file()


BROKEN = """
class Fails:
    chapter = "scores"
    @staticmethod
    def make(tables, config):
        raise RuntimeError("no\\nluck")

class Lost(Fails):
    chapter = "scors"

class Other(Fails):
    make = staticmethod(lambda tables, config: "text")
"""


def test_a_broken_strategy_or_figure_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    about = tmp_path / "broken-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(
        "[picme.figures]\nfails = broken:Fails\nlost = broken:Lost\nother = broken:Other\nnone = broken:None\n"
        "[picme.tables]\ngone = no_such_module:TABLE\n"
        "[picme.strategies]\nabsent = no_such_module:ONE\n",
        encoding="utf-8",
    )
    broken = environment(tmp_path)
    code = DECLARED.replace('["finetuned", "warm_attention"]', '["finetuned"]')
    done = python(code, broken)
    assert done.returncode == 0, done.stderr
    sentences = done.stderr.splitlines()
    assert len(sentences) == 4
    for words in ("'fails' of another package is left out: RuntimeError.", "did you mean 'scores'", "returned a str"):
        assert words in done.stderr
    assert "of another package is left out: RuntimeError." in json.loads(done.stdout)["page"]
    assert "luck" not in done.stderr, "an error of another package may quote a cell"
    named = picme(broken, "plan", "demo", "--set", "finetune.strategies=[absent]")
    assert named.returncode == 2
    assert "cannot be loaded from no_such_module:ONE" in named.stderr
