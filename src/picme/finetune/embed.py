"""Embeddings of a task's stays by frozen encoders, computed once for all seeds that take the same draw of encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.fitting.device import resolve_device
from picme.pretrain.artifact import load_encoders
from picme.pretrain.features import open_encoded
from picme.pretrain.model import ModalityEncoders, embed

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from picme.engine.step import Context
    from picme.finetune.step import EmbedPretrained, EmbedUntrained
    from picme.modalities.view import ViewData


def embed_pretrained(step: EmbedPretrained, folder: Path, context: Context) -> dict[str, Any]:
    """Write the embeddings (modality, stay, dim) of a task's stays by a combination's pretrained encoders."""
    pretraining, device = step.pretrain.pretraining, resolve_device(context.device)
    view = open_encoded(pretraining.prepare, step.task, pretraining.encodings, context.store)
    model = load_encoders(context.store.path(step.pretrain), pretraining.encodings, view).to(device)
    np.save(folder / "embeddings.npy", all_rows(model, view, device))
    return {"task": step.task, "combination": list(step.pretrain.combination)}


def embed_untrained(step: EmbedUntrained, folder: Path, context: Context) -> dict[str, Any]:
    """Write the embeddings (1, stay, dim) of a task's stays by one modality's untrained encoder."""
    device = resolve_device(context.device)
    view = open_encoded(step.prepare, step.task, [step.encoding], context.store)
    model = ModalityEncoders([step.encoding], view, step.seed).to(device).eval()
    np.save(folder / "embeddings.npy", all_rows(model, view, device))
    return {"task": step.task, "modality": step.encoding.modality, "seed": step.seed}


def all_rows(model: ModalityEncoders, view: ViewData, device: torch.device) -> np.ndarray:
    """Return embeddings (modality, stay, dim) of every stay of the view that is in a split; others stay zero."""
    rows = np.sort(np.concatenate(list(view.splits.values())))
    values = embed(model, view, rows, device)
    full = np.zeros((values.shape[0], len(view), values.shape[2]), dtype=np.float32)
    full[:, rows] = values
    return full
