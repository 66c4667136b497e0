"""A finished fine-tuning as a model again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_file

from picme.errors import DataError
from picme.finetune.classifier import assemble, build_classifier
from picme.tasks import build as build_task

if TYPE_CHECKING:
    import numpy as np
    import torch

    from picme.engine.store import Store
    from picme.finetune.classifier import Classifier
    from picme.finetune.step import Finetune
    from picme.modalities.view import ViewData


def restore(
    step: Finetune, view: ViewData, device: torch.device, store: Store, embedded: np.ndarray | None = None
) -> Classifier:
    """Return the trained model of a fine-tuning on the stays of a view.

    Args:
        step: the fine-tuning.
        view: its own stays, or new ones; with the modalities of the fine-tuning that trained it.
        device: where the model runs.
        store: where its artifact is.
        embedded: (modality, stay, dim), the embeddings of new stays by its frozen encoders; those it was trained on if
            not given.

    Raises:
        DataError: if the stored weights are of another model.
    """
    cell = step.trained.cell
    labels = len(build_task(cell.task.name, cell.task.section).labels)
    if embedded is None:
        model = build_classifier(cell, step.trained.embedded, view, labels, step.seed, device, store)
    else:
        model = assemble(cell, view, labels, step.seed, device, store, embedded)
    folder = store.path(step.trained)
    unknown = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False).unexpected_keys
    if unknown:
        raise DataError(f"{folder}/model.safetensors has weights of another model ({unknown[0]})")
    model.restrict(step.cell.combination)
    return model.eval()
