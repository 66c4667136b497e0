"""The search for what a run tells of patients finds ids and notes in whatever form files hold them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import polars as pl

from told import Secrets

if TYPE_CHECKING:
    from pathlib import Path

NOTE = "Mrs Kowalska of Long Street\nwas brought in by her daughter. She has fever."


def test_ids_and_notes_are_found_in_every_kind_of_file(tmp_path: Path) -> None:
    secrets = Secrets.of([10000032, "scan-a.png", "scan-a"], [NOTE, "a title of five words"], "A title of five words")
    numbers = pl.DataFrame({"x": [10000032, 10000031]})
    figure = go.Figure(go.Scatter(y=numbers["x"].to_numpy()))
    told = {
        "numbers.parquet": lambda file: numbers.write_parquet(file),
        "floats.csv": lambda file: numbers.cast(pl.Float64).write_csv(file),
        "paths.json": lambda file: file.write_text(json.dumps({"at": "files/p10/p10000032/x"})),
        "figure.html": lambda file: figure.write_html(file, include_plotlyjs=False),
        "note.json": lambda file: file.write_text(json.dumps(NOTE)),
        "upper.txt": lambda file: file.write_text("WAS BROUGHT  IN BY HER"),
        "image.yaml": lambda file: file.write_text("- scan-a.png"),
        "scan-a.png": lambda file: file.touch(),
    }  # fmt: skip
    fine = {
        "digits.csv": "0.10000032,110000032",
        "words.txt": "was brought in by. She has fever",
        "title.html": "<b>A title of five words</b>",
        "cohort.parquet": "10000032",
    }
    for name, write in told.items():
        write(tmp_path / name)
    for name, text in fine.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert set(secrets.told_by_files(tmp_path)) == set(told)
    assert secrets.told("scan-a.png of 10000032, " + NOTE) >= {"scan-a.png", "10000032", "was brought in by her"}
