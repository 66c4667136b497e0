"""A study of 60 small samples with two texts and a table, prepared up to what pretraining reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate
from picme.pipeline import run as run_pipeline
from picme.pretrain.features import open_encoded
from tiny_checkpoints import WORDS, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run


def write_samples(file: Path, samples: int = 60) -> None:
    """Notes and reports share their words; the table's columns follow how often one of them is there."""
    rng = np.random.default_rng(0)
    topics = rng.integers(0, len(WORDS), (samples, 2))
    texts = [" ".join(rng.choice([*(WORDS[t] for t in pair), *WORDS], 8)) for pair in topics for _ in range(2)]
    pl.DataFrame(
        {
            "id": range(samples), "note": texts[::2], "report": texts[1::2], "label": rng.integers(0, 2, samples),
            "a": topics[:, 0] + rng.normal(size=samples), "b": topics[:, 1] + rng.normal(size=samples),
        }
    ).write_csv(file)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A configuration of plain values."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder / "samples.csv")
    text = {"name": "transformer", "model": str(save_checkpoint("bert", folder / "bert")), "max_length": 12}
    return {
        "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id"},
        "modalities": {
            "note": {"kind": "text", "column": "note", "encoder": {**text, "mode": "lora"}},
            "report": {"kind": "text", "column": "report", "encoder": text},
            "person": {"kind": "tabular", "columns": ["a", "b"], "encoder": {"name": "mlp", "hidden": [8]}},
        },
        "tasks": {"label": {}},
        "splits": {"train": 0.5, "val": 0.3},
        "study": {"combination_sizes": [2, 3], "seeds": 1, "embed_dim": 8},
        "pretrain": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01},
        "align": {"tsne": "off"},
        "execution": {"workers": 1, "device": "cpu"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of a module's tests lie; what is equal in them is done once."""
    return tmp_path_factory.mktemp("run") / "run"


@pytest.fixture(scope="module")
def finished(tree: dict[str, Any], folder: Path) -> Callable[..., tuple[Run, ViewData]]:
    """Runs the study up to a stage with some sections changed; gives the run and its view of pretraining."""

    def until(stage: str, **sections: dict[str, Any]) -> tuple[Run, ViewData]:
        config = validate(tree | {name: {**tree.get(name, {}), **values} for name, values in sections.items()})
        run = run_pipeline(config, folder, stage, quiet=True)
        encodings = [run.design.encoding(name) for name in config.modalities]
        return run, open_encoded(run.design.prepare, "pretrain", encodings, run.store)

    return until
