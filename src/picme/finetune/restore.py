"""A finished fine-tuning as a model again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from picme.errors import DataError
from picme.finetune.cell import Cell, build_cell
from picme.tasks import build as build_task

if TYPE_CHECKING:
    import torch

    from picme.config.study import Config
    from picme.modalities.view import ViewData


def restore(
    study: Config, view: ViewData, task: str, combination: list[str], strategy: str, cell: dict[str, Any],
    pretrained: str | None, device: torch.device,
) -> Cell:  # fmt: skip
    """The trained model of one cell on the stays of a view.

    Args:
        cell: seed, path of its artifact, and the embedding artifacts it was trained on.

    Raises:
        DataError: if the stored weights are of another model.
    """
    model = build_cell(
        study, view, combination, strategy, len(build_task(task, study.tasks[task]).labels), cell["seed"], device,
        pretrained=Path(pretrained) if pretrained else None,
        embedded=[Path(path) for path in cell["embedded"]],
        weights=[1 / len(combination)] * len(combination),  # replaced by the stored ones
    )  # fmt: skip
    state = load_file(Path(cell["path"]) / "model.safetensors")
    unknown = model.load_state_dict(state, strict=False).unexpected_keys
    if unknown:
        raise DataError(f"{cell['path']}/model.safetensors has weights of another model ({unknown[0]})")
    return model.eval()
