"""The trained model of one seed put on new stays, and what it says of them beside probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from picme.finetune.step import Stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from picme.finetune.cell import Cell
    from picme.finetune.classifier import Classifier
    from picme.finetune.step import Finetune
    from picme.modalities.view import ViewData
    from picme.pipeline import Run
    from picme.predict.stacked import OnFeatures, StackedModel


def model_on(
    study: Run, step: Finetune, view: ViewData, names: Sequence[str], encoded: dict[Any, np.ndarray]
) -> Classifier | StackedModel:
    """Return the trained model of one seed on new stays, which reads the modalities of some names.

    Frozen encoders are run once for all seeds on the same draw of them; `encoded` keeps what they gave.
    """
    if step.cell.course is None:
        return _without_network(study, step, view, names, encoded)
    return _network(study, step, view, names, encoded)


def _without_network(
    study: Run, step: Finetune, view: ViewData, names: Sequence[str], encoded: dict[Any, np.ndarray]
) -> StackedModel:
    """Return the models of a stack's strategies on the new stays, and how they are combined; or a baseline's, alone."""
    from picme.finetune.stacked import stored_weights
    from picme.finetune.without_encoders import FeatureModel
    from picme.predict.stacked import OnFeatures, StackedModel

    combination = step.cell.combination
    present = view.present(combination) & np.isin(combination, names)
    models: list[Classifier | OnFeatures] = []
    for base in step.models:
        if base.cell.course is None:
            fitted = FeatureModel.load(study.store.path(base), combination)
            models.append(OnFeatures(fitted, view, combination, present))
        else:
            models.append(_network(study, base, view, names, encoded))
    weights = stored_weights(step, study.store) if isinstance(step, Stacked) else None
    return StackedModel(models, weights, combination, present)


def _network(
    study: Run, step: Finetune, view: ViewData, names: Sequence[str], encoded: dict[Any, np.ndarray]
) -> Classifier:
    """Return the trained network of one seed on the new stays; see `model_on`."""
    from picme.finetune.restore import restore
    from picme.finetune.step import EmbedUntrained
    from picme.fitting.device import resolve_device

    cell, device = step.trained.cell, resolve_device(study.config.execution.device)
    embedded = None
    if cell.frozen:
        drawn = [one.seed for one in step.trained.embedded if isinstance(one, EmbedUntrained)]
        draw = drawn[0] if cell.pretrain is None else cell.pretrain.key
        key = (cell.task.name, cell.combination, draw)
        if key not in encoded:
            encoded[key] = _encoded(study, cell, view, names, draw, device)
        embedded = encoded[key]
    model = restore(step, view, device, study.store, embedded)
    model.restrict(names)
    return model


def _encoded(
    study: Run, cell: Cell, view: ViewData, names: Sequence[str], draw: str | int, device: torch.device
) -> np.ndarray:
    """Return the embeddings (modality, stay, dim) of the new stays by a draw of frozen encoders, zero if not read."""
    from picme.finetune.embed import all_rows
    from picme.pretrain.artifact import load_encoders
    from picme.pretrain.model import ModalityEncoders

    chosen = [one for one in cell.encodings if one.modality in names]
    encoders = (
        ModalityEncoders(chosen, view, draw)
        if isinstance(draw, int)
        else load_encoders(study.store.path(cell.pretrain), chosen, view)  # type: ignore[arg-type]
    )
    found = all_rows(encoders.to(device).eval(), view, device)
    embedded = np.zeros((len(cell.encodings), *found.shape[1:]), dtype=np.float32)
    embedded[[cell.combination.index(one.modality) for one in chosen]] = found
    return embedded


def embeddings(model: Classifier, rows: np.ndarray) -> np.ndarray:
    """Return the embeddings of rows as the encoders give them, (row, modality, dim)."""
    import torch

    from picme.evaluate.attribute import embeddings_of
    from picme.finetune.classifier import FrozenClassifier

    with torch.no_grad():
        values = model.values[rows] if isinstance(model, FrozenClassifier) else embeddings_of(model, rows)
    return values.cpu().numpy()


def contributions(study: Run, step: Finetune, model: Classifier | StackedModel, rows: np.ndarray) -> np.ndarray:
    """Return what each modality adds to one seed's logits, (label, row, modality).

    Of a network these are integrated gradients from the training stays' mean embeddings, of a stack or a baseline
    Shapley values.
    """
    if step.cell.course is None:
        return cast("StackedModel", model).contributions(rows)
    import torch

    from picme.evaluate.attribute import embeddings_of, training_mean
    from picme.evaluate.integrated_gradients import integrated_gradients
    from picme.finetune.restore import restore
    from picme.pretrain.features import open_encoded

    network, cell = cast("Classifier", model), step.trained.cell
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, study.store)
    trained = restore(step, view, network.device, study.store)
    mean = training_mean(trained, view.usable(step.cell.combination, "train"))
    present = network.present[torch.from_numpy(rows).to(network.device)]
    return integrated_gradients(network.head, embeddings_of(network, rows), present, mean).per_label
