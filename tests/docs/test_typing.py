"""The public interface is typed: a user's script passes `mypy --strict`, and its mistakes do not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("mypy", reason="mypy is not installed")

SCRIPT = """
from __future__ import annotations

import numpy as np
import polars as pl
import torch

import picme
from picme.align import neighbour, retrieval
from picme.compare import compare
from picme.errors import PicmeError
from picme.evaluate import auprc, auroc, shapley
from picme.finetune import ModalityGatedLSTM
from picme.objectives import AllPairs, InfoNCE, OneVersusOthers


def best(folder: str) -> dict[str, float]:
    try:
        study: picme.Study = picme.load(folder)
    except PicmeError as error:
        raise SystemExit(str(error)) from error
    summary: pl.DataFrame = study.table("summary")
    chosen: pl.DataFrame = study.selected
    series = study.tensors("timeseries", task="mortality")
    lengths: np.ndarray = series.lengths
    embedded: dict[str, np.ndarray] = study.embeddings("discharge+image", split="val")
    views: list[tuple[str, ...]] = study.views("alignment")
    study.figure("alignment", *views[0]).show()
    for name, figure in study.figures().items():
        figure.write_html(f"{name}.html")
    study.cohort("mortality").to_pandas()
    return {"stays": float(lengths.size + len(embedded)), "cells": float(summary.height + chosen.height)}


def losses(embeddings: torch.Tensor, present: torch.Tensor | None = None) -> list[torch.nn.Module]:
    aligned: float = retrieval(embeddings, k=5, gallery=1000) + neighbour(embeddings, cross=True)
    gate = ModalityGatedLSTM(input_size=8, hidden_size=4)
    parts: dict[str, float] = shapley({frozenset(): 0.5, frozenset({"a"}): 0.5 + aligned})
    assert auroc(np.array([0, 1]), np.array([0.1, 0.9])) >= auprc([0, 1], [0.1, 0.9]) - sum(parts.values())
    return [OneVersusOthers(n_modalities=5, weighted=True), InfoNCE(), AllPairs(n_modalities=3), gate]


run = picme.run("demo", out="runs/demo", set={"source.stays": 400}, until="report", quiet=True)
print(run, best("runs/demo"), compare(["runs/a", "runs/b"]).tests.height)
"""

WRONG = """
import picme

picme.load(3)
picme.run("demo", out="runs/demo", settings={})
print(picme.load("runs/demo").tabel("summary"))
height: str = picme.load("runs/demo").table("summary").height
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where scripts are checked one after the other, so that the libraries are read once."""
    return tmp_path_factory.mktemp("checked")


def checked(folder: Path, text: str) -> tuple[int, str]:
    (folder / "script.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "script.py"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_users_script_passes_strict_checking(folder: Path) -> None:
    assert checked(folder, SCRIPT) == (0, "Success: no issues found in 1 source file\n")


@pytest.mark.slow
def test_a_users_mistakes_are_found(folder: Path) -> None:
    status, said = checked(folder, WRONG)
    assert status == 1
    assert [line.split(":")[1] for line in said.splitlines() if ": error:" in line] == ["4", "5", "6", "7"]
