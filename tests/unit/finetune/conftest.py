"""A study of 300 small samples with two tables and a series, of which some are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate
from picme.pipeline import run as run_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.pipeline import Run

NAMES = ("labs", "person", "vitals")


def write_samples(folder: Path, samples: int = 300) -> None:
    """Write what each modality tells of the label; every sample lacks some modality with probability 0.3 each."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, samples)
    told = label[:, None] * 1.5 + rng.normal(size=(samples, 3))
    there = rng.random((samples, 3)) > 0.3
    there[:3] = np.eye(3, dtype=bool)  # stays with one modality
    there[3], there[4] = True, False  # one with all, one with none
    pl.DataFrame({"id": range(samples), "label": label}).write_csv(folder / "samples.csv")
    for place, name in enumerate(("labs", "person")):
        kept = np.flatnonzero(there[:, place])
        values = {"id": kept, "x": told[kept, place], "y": rng.normal(size=len(kept))}
        pl.DataFrame(values).write_csv(folder / f"{name}.csv")
    rows = [
        (stay, hour, "pulse", told[stay, 2] + rng.normal() / 4)
        for stay in np.flatnonzero(there[:, 2])
        for hour in range(1 + stay % 5)
    ]
    pl.DataFrame(rows, schema=["id", "hours", "variable", "value"], orient="row").write_csv(folder / "vitals.csv")


def tree_of(folder: Path) -> dict[str, Any]:
    mlp = {"name": "mlp", "hidden": [8]}
    return {
        "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id"},
        "require": "none",
        "modalities": {
            "labs": {"kind": "tabular", "path": str(folder / "labs.csv"), "columns": ["x", "y"], "encoder": mlp},
            "person": {"kind": "tabular", "path": str(folder / "person.csv"), "columns": ["x", "y"], "encoder": mlp},
            "vitals": {"kind": "timeseries", "path": str(folder / "vitals.csv"), "encoder": {"hidden": 8}},
        },
        "tasks": {"label": {"hours": 24}},
        "splits": {"train": 0.5, "val": 0.25},
        "study": {"seeds": 1, "embed_dim": 8},
        "pretrain": {"epochs": 1, "batch_size": 16},
        "align": {"tsne": "off"},
        "finetune": {"combinations": "all", "epochs": 3, "hidden": 8, "learning_rate": 0.01, "batch_size": 16},
        "evaluate": {"resamples": 100, "interval_resamples": 100},
        "execution": {"workers": 1, "device": "cpu"},
    }  # fmt: skip


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A configuration of plain values."""
    folder = tmp_path_factory.mktemp("subset_samples")
    write_samples(folder)
    return tree_of(folder)


@pytest.fixture(scope="session")
def finished(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Runs the study up to a stage, some keys of its sections changed; equal steps are done once."""
    folder = tmp_path_factory.mktemp("run") / "run"

    def until(stage: str, modalities: tuple[str, ...] = NAMES, **sections: dict[str, Any]) -> Run:
        chosen = {name: tree["modalities"][name] for name in modalities}
        changed = {name: {**tree.get(name, {}), **values} for name, values in sections.items()}
        return run_pipeline(validate(tree | {"modalities": chosen} | changed), folder, stage, quiet=True)

    return until
