"""What every objective shares: checks, the temperature, one precision, one batch over all processes."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Self, TypedDict

import torch
from torch import Tensor, nn

from picme.errors import ConfigError, TrainingError
from picme.objectives.gather import gather

if TYPE_CHECKING:
    from picme.config.base import Component

Info = dict[str, Tensor]


class Options(TypedDict, total=False):
    """Settings every objective takes (see `picme.config.objectives.ObjectiveConfig`)."""

    temperature: float
    temperature_range: tuple[float, float]
    train_temperature: bool
    chunk: int | None


class Objective(nn.Module):
    """Base of the objectives: `loss, info = objective(embeddings, present)`.

    Args:
        n_modalities: how many modalities the embeddings have.
        temperature: τ at the start; the parameter is its logarithm, `log_temperature`.
        temperature_range: τ is kept inside.
        train_temperature: False freezes τ.
        chunk: rows of a similarity matrix evaluated at a time; None chooses.

    Raises:
        ConfigError: if the objective does not take that many modalities.
        TrainingError: in the call, if the embeddings do not have them.
    """

    def __init__(
        self,
        n_modalities: int,
        *,
        temperature: float = 0.07,
        temperature_range: tuple[float, float] = (0.01, 1.0),
        train_temperature: bool = True,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        if n_modalities < 2:
            raise ConfigError(f"{type(self).__name__} compares two modalities or more, not {n_modalities}")
        self.n_modalities = n_modalities
        self.temperature_range = temperature_range
        self.chunk = chunk
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=train_temperature)

    @classmethod
    def from_config(cls, config: Component, n_modalities: int) -> Self:
        """The objective of a configuration, whose fields are the constructor's arguments."""
        return cls(n_modalities=n_modalities, **config.model_dump(exclude={"name", "weight_learning_rate"}))

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> tuple[Tensor, Info]:
        """Loss and diagnostics of a batch.

        Args:
            embeddings: (modality, batch, dim), raw: the objective normalises.
            present: (batch, modality) bool; None where every stay has every modality. What stands in the embedding of
                an absent modality has no influence.
        """
        if embeddings.ndim != 3 or embeddings.shape[0] != self.n_modalities:
            raise TrainingError(
                f"{type(self).__name__} expects embeddings (modality, batch, dim) of {self.n_modalities} modalities, "
                f"not of shape {tuple(embeddings.shape)}"
            )
        if present is not None and present.shape != (embeddings.shape[1], embeddings.shape[0]):
            raise TrainingError(
                f"presence must be (batch, modality) = {(embeddings.shape[1], embeddings.shape[0])}, "
                f"not {tuple(present.shape)}"
            )
        embeddings, present = gather(embeddings, present)
        # Past the last step the temperature may lie outside; `.data` leaves graphs of earlier calls intact.
        self.log_temperature.data.clamp_(*(math.log(bound) for bound in self.temperature_range))
        # A softmax over a whole batch in half precision loses the small probabilities that it trains on.
        with torch.autocast(embeddings.device.type, enabled=False):
            if embeddings.dtype not in (torch.float32, torch.float64):
                embeddings = embeddings.float()
            loss, info = self.evaluate(embeddings, None if present is None else present.bool())
        return loss, {**info, "temperature": self.log_temperature.detach().exp()}

    @abstractmethod
    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:
        """Loss and `terms`, `weights`, `counts` of the whole batch in one precision."""

    def match_scores(self, stays: Tensor, candidates: Tensor, target: int) -> Tensor | None:
        """How well stays match candidates of the modality `target`, greater for better; pretraining is stopped by it.

        None, as here, leaves it to the cosine of each pair of modalities. An objective whose embeddings do not lie near
        one another has a score of its own.

        Args:
            stays: (modality, stay, dim), raw; the row of `target` is not to be looked at.
            candidates: (candidate, dim), raw, of modality `target`.
            target: index of the modality that is looked for.

        Returns:
            (stay, candidate), of a cosine's size: what differs by less than 1e-9 ties.
        """
        return None

    def scale(self, dtype: torch.dtype) -> Tensor:
        """1/τ in the embeddings' precision, with its gradient."""
        return (-self.log_temperature.to(dtype)).exp()

    def weights(self) -> Tensor:
        """Weight of each modality (modality,), adding up to 1: uniform unless the objective trains them."""
        return torch.full((self.n_modalities,), 1 / self.n_modalities, device=self.log_temperature.device)

    def weight_parameters(self) -> list[nn.Parameter]:
        """Parameters of the weights, which have their own learning rate; the rest has the encoders'."""
        return []


def report(terms: Tensor, weights: Tensor, counts: Tensor | int) -> Info:
    """The diagnostics of an objective's terms, detached."""
    counts = counts if isinstance(counts, Tensor) else torch.full_like(terms, counts)
    return {"terms": terms.detach(), "weights": weights.detach(), "counts": counts.detach()}
