"""A cell of the study: a task, a combination and a strategy, with all that determines its models but the seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.config.combinations import label
from picme.engine.step import Gpu, Part
from picme.prepare.step import Prepare, TaskPart
from picme.pretrain.features import Encoding
from picme.pretrain.step import CourseSettings, Pretrain

if TYPE_CHECKING:
    from torch import Tensor

    from picme.finetune.classifier import Classifier
    from picme.finetune.teaching import Loss, Teaching

FROZEN = ("pretrained", "untrained")
"""Treatments of the encoders under which they are never trained on the task."""


class Cell(Part):
    """A task, a combination and a strategy: all that determines its models but the seed."""

    prepare: Prepare
    task: TaskPart
    strategy: str
    encoders: str
    """The treatment of the encoders; see `picme.strategies.Strategy`."""
    encodings: tuple[Encoding, ...]
    head: Any
    """The fusion head's section; the model's name for a strategy without encoders."""
    head_code: str | None = None
    """Hash of the head's source code, where another package supplies it."""
    weights: tuple[float, ...] | None = None
    """λ of the gate, where the configuration gives it."""
    pretrain: Pretrain | None = None
    """The pretraining that the encoders start from, or whose λ the gate takes."""
    course: CourseSettings | None = None
    """None for a strategy without encoders."""
    loss: str | None = None
    class_weight: str | None = None
    standardise: bool | None = None
    """Whether the embeddings of frozen encoders are standardised; None where encoders are trained or not used."""

    @property
    def combination(self) -> tuple[str, ...]:
        """The modalities in the configuration's order."""
        return tuple(one.modality for one in self.encodings)

    @property
    def place(self) -> dict[str, str]:
        """The columns that name the cell in result tables."""
        return {"task": self.task.name, "combination": label(self.combination), "strategy": self.strategy}

    @property
    def frozen(self) -> bool:
        """True if the encoders are never trained on the task."""
        return self.encoders in FROZEN

    @property
    def gpu(self) -> Gpu:
        """The part of a GPU that a fine-tuning takes: all of it where encoders are trained."""
        if self.course is None:
            return "none"
        return "shared" if self.frozen else "whole"

    @property
    def threaded(self) -> bool:
        """Whether several threads make a fine-tuning faster: of a large network, or of trees on large tables."""
        return self.course is None or (not self.frozen and any(one.large for one in self.encodings))

    @property
    def cost(self) -> float:
        """The relative cost of a fine-tuning."""
        return 0.05 if self.frozen else sum(one.cost for one in self.encodings)

    def teaching(self, model: Classifier, loss: Loss, target: Tensor, seed: int) -> Teaching:
        """Return what the batches of a training are, its loss, and what it is validated on."""
        from picme.finetune.teaching import Teaching

        return Teaching(model, loss, target)


class AnySubsetCell(Cell):
    """A cell over all modalities whose models predict for every subset of them."""

    any_subset: Any
    """The section `finetune.any_subset`."""

    def teaching(self, model: Classifier, loss: Loss, target: Tensor, seed: int) -> Teaching:  # noqa: D102
        from picme.finetune.any_subset import AnySubset

        return AnySubset(model, loss, target, self.any_subset, self.encodings[0].embed_dim, seed)
