"""A finished study from Python: tables for polars and pandas, figures for plotly, a display for notebooks."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

import picme
from picme.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

ATTACK = "<script>alert('{{7*7}}')</script>"


def test_every_table_goes_to_pandas_and_back(study: picme.Study) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    for name in study.tables:
        table = study.table(name)
        frame = table.to_pandas()
        assert frame.shape == table.shape
        assert_frame_equal(pl.from_pandas(frame), table, check_dtypes=False)


def test_without_pandas_the_error_names_it(study: picme.Study) -> None:
    code = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

sys.meta_path.insert(0, Absent())
import picme
table = picme.load({str(study.folder)!r}).table("summary")
try:
    table.to_pandas()
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pandas" in done.stdout


def test_the_selected_cells_are_the_summarys(study: picme.Study) -> None:
    chosen = study.selected
    assert chosen["task"].is_unique().all()
    assert not chosen.is_empty()
    assert_frame_equal(chosen, study.table("summary").filter("selected"))


def test_figures_are_plotly_objects_of_the_tables_numbers(study: picme.Study) -> None:
    found = study.figures()
    assert {"alignment", "combinations", "subgroups", "calibration", "seeds", "tsne"} <= set(found)
    assert all(isinstance(figure, go.Figure) and figure.data for figure in found.values())
    rows = study.table("alignment").filter(
        pl.col("metric") == "retrieval", pl.col("k") == 5, pl.col("split") == "test", pl.col("source").is_null()
    )
    bars = next(trace for trace in found["alignment"].data if trace.type == "bar")
    assert sorted(bars.x) == pytest.approx(sorted(rows["value"] * 100), abs=0.01)
    assert [frame.name for frame in found["tsne"].frames][-1].startswith("Epoch ")


def test_a_figures_views_are_chosen_by_name(study: picme.Study) -> None:
    views = study.views("alignment")
    assert len(views) == len(set(views)) > 1
    last = study.figure("alignment", *views[-1])
    assert last != study.figure("alignment")
    assert study.figure("alignment") == study.figures()["alignment"]
    assert study.figure("alignment", "1") == study.figure("alignment", views[0][0], "1")
    with pytest.raises(DataError, match=r"has no figure 'alignmnt'; did you mean 'alignment'\?"):
        study.figure("alignmnt")
    with pytest.raises(DataError, match=f"figure 'alignment' has no view '{views[0][0]}x'; did you mean"):
        study.figure("alignment", f"{views[0][0]}x")


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_the_answer_and_no_ids(study: picme.Study) -> None:
    shown = Tags(study._repr_html_())
    assert "the choice on validation stays is" in shown.text
    assert f"{len(study.tables) - 1} result tables" in shown.text
    stays = study.cohort("mortality").select("stay_id", "subject_id")
    numbers = {word.strip(".,;()%") for word in shown.text.split()}
    assert not numbers & {str(value) for column in stays for value in column}


def test_names_in_the_display_are_escaped(study: picme.Study, tmp_path: Path) -> None:
    tree = yaml.safe_load((study.folder / "config.yaml").read_text(encoding="utf-8"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**tree, "name": ATTACK}), encoding="utf-8")
    shown = Tags(picme.load(tmp_path)._repr_html_())
    assert ATTACK in shown.text
    assert "script" not in shown.tags
    assert "No stage has left a result table yet." in shown.text


def test_a_run_without_tables_has_no_figures(study: picme.Study, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes((study.folder / "config.yaml").read_bytes())
    empty = picme.load(tmp_path)
    assert empty.figures() == {}
    assert empty.selected.is_empty()
    with pytest.raises(DataError, match=r"^the study in .* is not finished; go on with"):
        empty.figure("alignment")


FIVE = "discharge+radiology+image+timeseries+demographics"


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def test_a_model_gives_new_stays_the_calibrated_mean_over_the_seeds(study: picme.Study, tmp_path: Path) -> None:
    """The study's own stays are the new ones: calibration is a line on the logit of the mean that the tables have."""
    from picme.predict import predict

    model = study.model("mortality", "contrastive", FIVE)
    assert (model.labels, model.strategy, model.combination) == (("mortality",), "contrastive", FIVE)
    found = model.predict_proba(study)
    predict(study.folder, study.folder, "mortality", "contrastive", FIVE, tmp_path / "p.parquet")
    assert_frame_equal(found, pl.read_parquet(tmp_path / "p.parquet"))
    cell = {"task": "mortality", "strategy": "contrastive", "combination": FIVE, "split": "test"}
    means = (
        study.table("predictions")
        .filter(*(pl.col(name) == value for name, value in cell.items()))
        .group_by("stay_id")
        .agg(pl.col("probability").mean())
        .join(found, on="stay_id")
    )
    assert means.height > 10
    x, y = logit(means["probability"].to_numpy()), logit(means["mortality"].to_numpy())
    slope, intercept = np.polyfit(x, y, 1)
    np.testing.assert_allclose(slope * x + intercept, y, atol=1e-4)


def test_a_model_encodes_stays_as_its_pretraining_did(study: picme.Study) -> None:
    """The window of pretraining is that of mortality here, so that frozen encoders see the same of a stay."""
    kept = study.embeddings(FIVE, split=["val", "test"])
    found = study.model("mortality", "contrastive", FIVE).encode(str(study.folder))
    place = {stay: row for row, stay in enumerate(found["stay_id"])}
    both = [row for row, stay in enumerate(kept["stay_id"]) if stay in place]
    assert len(both) > 20
    for name in FIVE.split("+"):
        ours = found[name][[place[kept["stay_id"][row]] for row in both]]
        np.testing.assert_allclose(ours, kept[name][both], atol=1e-4)


def test_trained_encoders_are_those_of_the_seed(study: picme.Study) -> None:
    model = study.model("phenotyping", "supervised", "radiology+demographics")
    first, second = (model.encode(study, seed=seed) for seed in (0, 1))
    assert set(first) == {"radiology", "demographics", "stay_id"}
    assert first["radiology"].shape == (study.cohort("phenotyping").height, study.config.study.embed_dim)
    assert np.abs(first["radiology"] - second["radiology"]).max() > 0.01
    with pytest.raises(ConfigError, match=r"there is no seed 2; known: 0 to 1"):
        model.encode(study, seed=2)


def test_a_model_that_is_not_there_is_told(study: picme.Study) -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'mortalty'; did you mean 'mortality'"):
        study.model("mortalty")
    with pytest.raises(ConfigError, match=r"names an unknown modality 'imag'; did you mean 'image'"):
        study.model("mortality", combination="imag+radiology")
    with pytest.raises(ConfigError, match=r"has no model by strategy 'contrastiv'; did you mean 'contrastive'"):
        study.model("mortality", "contrastiv")


def test_embeddings_of_several_combinations_and_splits(study: picme.Study) -> None:
    names = ["radiology+image", FIVE]
    found = study.embeddings(names, split=("val", "test"))
    assert list(found) == names
    one, other = (study.embeddings(names[0], split=split) for split in ("val", "test"))
    assert set(found[names[0]]["stay_id"]) == {*one["stay_id"], *other["stay_id"]}
    rows = np.isin(found[names[0]]["stay_id"], other["stay_id"])
    np.testing.assert_array_equal(found[names[0]]["image"][rows], other["image"])
    with pytest.raises(DataError, match=r"^image is not pretrained"):
        study.embeddings(["image"])
    with pytest.raises(DataError, match=r"splits val and test, not 'train'"):
        study.embeddings(FIVE, split=["test", "train"])
