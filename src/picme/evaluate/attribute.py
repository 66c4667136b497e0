"""What the fine-tuned heads use: integrated gradients of every seed's head, and λ where there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from picme.config.loading import validate
from picme.evaluate.attribution import attribution_rows
from picme.evaluate.integrated_gradients import integrated_gradients
from picme.finetune.restore import restore
from picme.modalities.combinations import label
from picme.modalities.view import open_view
from picme.store import Store
from picme.training import resolve_device

if TYPE_CHECKING:
    from picme.finetune.cell import Cell

# Stays that are attributed: enough for a mean, drawn evenly from the test stays.
STAYS = 512
SCHEMA = {
    "task": pl.String,
    "combination": pl.String,
    "strategy": pl.String,
    "modality": pl.String,
    "method": pl.String,
    "value": pl.Float64,
    "std": pl.Float64,
}


def attribute(
    run: str,
    config: dict[str, Any],
    task: str,
    combination: list[str],
    strategy: str,
    key: str,
    prepared: str,
    features: dict[str, str],
    pretrained: str | None,
    embedded: list[str],
    cells: list[dict[str, Any]],
) -> None:
    """Attributions of one combination and strategy of a task, over its seeds."""
    study = validate(config)
    view = open_view(Path(prepared), task, study.modalities, {name: Path(path) for name, path in features.items()})
    name = label(combination)
    about: dict[str, Any] = {"task": task, "combination": combination, "strategy": strategy}
    with Store(Path(run)).create("attribute", key, about) as folder:
        gradients: list[dict[str, float]] = []
        weights: list[dict[str, float]] = []
        errors: list[float] = []
        device = resolve_device(study.execution.device)
        for cell in cells:
            model = restore(study, view, task, combination, strategy, cell, pretrained, device)
            rows = _some(view.usable(combination, "test"))
            if len(rows):
                found = integrated_gradients(
                    model.head, _embeddings(model, rows), model.present[torch.from_numpy(rows)]
                )
                gradients.append(dict(zip(combination, found.shares.tolist(), strict=True)))
                errors.append(found.completeness_error)
            gate = getattr(model.head, "weights", None)
            if callable(gate):
                weights.append(dict(zip(combination, gate().detach().cpu().double().tolist(), strict=True)))
        if not weights and pretrained is not None:
            values = json.loads((Path(pretrained) / "manifest.json").read_text(encoding="utf-8"))["weights"]
            if values is not None and len(combination) > 2:
                weights = [dict(zip(combination, values, strict=True))]
        table = attribution_rows(task, name, strategy, "integrated_gradients", gradients) if gradients else []
        table += attribution_rows(task, name, strategy, "lambda", weights) if weights else []
        pl.DataFrame(table, schema=SCHEMA).with_columns(pl.col("value", "std").fill_nan(None)).write_parquet(
            folder / "attributions.parquet"
        )
        about["completeness_error"] = float(np.nanmax(errors)) if errors else None


def _some(rows: np.ndarray) -> np.ndarray:
    return rows if len(rows) <= STAYS else rows[np.linspace(0, len(rows) - 1, STAYS).astype(int)]


@torch.no_grad()
def _embeddings(model: Cell, rows: np.ndarray) -> torch.Tensor:
    return torch.cat([model.embeddings(part) for part in np.array_split(rows, max(1, len(rows) // 128))])
