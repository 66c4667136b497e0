"""Embeddings of a task's stays by frozen encoders, computed once and shared by all seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from picme.config.loading import validate
from picme.modalities.view import ViewData, open_view
from picme.pretrain.job import load_encoders
from picme.pretrain.model import ModalityEncoders, embed
from picme.store import Store
from picme.training import resolve_device


def embed_pretrained(
    run: str,
    config: dict[str, Any],
    task: str,
    combination: list[str],
    key: str,
    pretrained: str,
    prepared: str,
    features: dict[str, str],
) -> None:
    """Embeddings (modality, stay, dim) of a task's stays by a combination's pretrained encoders."""
    study = validate(config)
    view = open_view(Path(prepared), task, study.modalities, {name: Path(path) for name, path in features.items()})
    device = resolve_device(study.execution.device)
    with Store(Path(run)).create("embed", key, {"task": task, "combination": combination}) as folder:
        model = load_encoders(Path(pretrained), combination, study, view).to(device)
        np.save(folder / "embeddings.npy", all_rows(model, view, device))


def embed_random(
    run: str,
    config: dict[str, Any],
    task: str,
    modality: str,
    key: str,
    prepared: str,
    features: dict[str, str],
    seed: int,
) -> None:
    """Embeddings (1, stay, dim) of a task's stays by one modality's untrained encoder: where pretraining starts."""
    study = validate(config)
    view = open_view(Path(prepared), task, study.modalities, {name: Path(path) for name, path in features.items()})
    device = resolve_device(study.execution.device)
    with Store(Path(run)).create("embed", key, {"task": task, "modality": modality, "seed": seed}) as folder:
        model = ModalityEncoders([modality], study, view, seed).to(device).eval()
        np.save(folder / "embeddings.npy", all_rows(model, view, device))


def all_rows(model: ModalityEncoders, view: ViewData, device: Any) -> np.ndarray:
    """Every stay of the view that is in a split, in place; others stay zero."""
    rows = np.sort(np.concatenate(list(view.splits.values())))
    values = embed(model, view, rows, device)
    full = np.zeros((values.shape[0], len(view), values.shape[2]), dtype=np.float32)
    full[:, rows] = values
    return full
