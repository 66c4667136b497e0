"""Base class of the objectives: checks of the arguments, temperature, precision, one batch over all processes."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict

import torch
from torch import Tensor, nn

from picme.errors import ConfigError, TrainingError
from picme.objectives.gather import gather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.config.base import Component

Info = dict[str, Tensor]


class Options(TypedDict, total=False):
    """Keyword arguments that every objective takes (see `picme.config.objectives.ObjectiveConfig`)."""

    temperature: float
    temperature_range: tuple[float, float]
    train_temperature: bool
    chunk: int | None


class Objective(nn.Module):
    """Base class of the objectives: `loss, info = objective(embeddings, present)`.

    Args:
        n_modalities: how many modalities the embeddings have.
        temperature: τ at the start; the parameter is its logarithm, `log_temperature`.
        temperature_range: τ is clamped to it.
        train_temperature: False freezes τ.
        chunk: rows of a similarity matrix evaluated at a time; None chooses by the size of the batch.

    Raises:
        ConfigError: if the objective does not take that many modalities.
        TrainingError: when called with embeddings of another number of modalities, or of another size.

    Attributes:
        takes_embed_dim: whether the class has parameters of the embeddings' size, so that it is built with `embed_dim`.
        embed_dim: size of the embeddings, where the objective depends on it.
    """

    takes_embed_dim: ClassVar[bool] = False
    embed_dim: int | None = None

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
    def from_config(cls, config: Component, n_modalities: int, **sizes: Any) -> Self:
        """Build the objective from a configuration, whose fields are the constructor's arguments, as are `sizes`."""
        return cls(n_modalities=n_modalities, **sizes, **config.model_dump(exclude={"name", "weight_learning_rate"}))

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> tuple[Tensor, Info]:
        """Compute the loss and the diagnostics of a batch.

        Args:
            embeddings: (modality, batch, dim), raw: the objective normalises them.
            present: (batch, modality) bool; None where every stay has every modality. The embedding of an absent
                modality is ignored, whatever it holds.

        Returns:
            The loss, a scalar, and the diagnostics: detached `terms`, `weights`, `counts` and `temperature`.

        Raises:
            TrainingError: if a shape does not fit.
        """
        if embeddings.ndim != 3 or embeddings.shape[0] != self.n_modalities:
            raise TrainingError(
                f"{type(self).__name__} expects embeddings (modality, batch, dim) of {self.n_modalities} modalities, "
                f"not of shape {tuple(embeddings.shape)}"
            )
        if self.embed_dim not in (None, embeddings.shape[2]):
            raise TrainingError(
                f"{type(self).__name__} expects embeddings of size {self.embed_dim}, not {embeddings.shape[2]}"
            )
        if present is not None and present.shape != (embeddings.shape[1], embeddings.shape[0]):
            raise TrainingError(
                f"presence must be (batch, modality) = {(embeddings.shape[1], embeddings.shape[0])}, "
                f"not {tuple(present.shape)}"
            )
        embeddings, present = gather(embeddings, present)
        # The last step may have moved τ out of its range; changing `.data` leaves the graphs of earlier calls intact.
        self.log_temperature.data.clamp_(*(math.log(bound) for bound in self.temperature_range))
        # A softmax over a whole batch in half precision loses the small probabilities that it trains on.
        with torch.autocast(embeddings.device.type, enabled=False):
            if embeddings.dtype not in (torch.float32, torch.float64):
                embeddings = embeddings.float()
            loss, info = self.evaluate(embeddings, None if present is None else present.bool())
        return loss, {**info, "temperature": self.log_temperature.detach().exp()}

    @abstractmethod
    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:
        """Compute the loss and `terms`, `weights`, `counts` of the whole batch in one precision."""

    def match_scores(self, stays: Tensor, candidates: Tensor, target: int) -> Tensor | None:
        """Score how well stays match candidates of the modality `target`; pretraining is stopped by these scores.

        None, as returned here, stands for the cosine of each pair of modalities. An objective whose embeddings do not
        lie near one another has a score of its own.

        Args:
            stays: (modality, stay, dim), raw; the row of `target` must not be used.
            candidates: (candidate, dim), raw, of modality `target`.
            target: index of the candidates' modality.

        Returns:
            Scores (stay, candidate), greater for better, on the scale of a cosine: differences below 1e-9 are ties.
        """
        return None

    def scale(self, dtype: torch.dtype) -> Tensor:
        """Return 1/τ in the embeddings' precision, with its gradient."""
        return (-self.log_temperature.to(dtype)).exp()

    def weights(self) -> Tensor:
        """Return the weight of each modality (modality,), adding up to 1: uniform unless the objective trains them."""
        return torch.full((self.n_modalities,), 1 / self.n_modalities, device=self.log_temperature.device)

    def restricted(self, members: Sequence[int]) -> dict[str, Tensor]:
        """Return the parameters and buffers for a subset of the modalities: of λ's logits those of its members.

        Shared pretraining calls an objective built for the subset's size with them. An objective with other parameters
        for each modality has to override it.

        Args:
            members: indices of the subset's modalities.
        """
        values = dict(self.named_parameters()) | dict(self.named_buffers())
        logits = values.get("weight_logits")
        return values if logits is None else values | {"weight_logits": logits[list(members)]}

    def weight_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the weights, which have their own learning rate; all others have the encoders'."""
        return []


def report(terms: Tensor, weights: Tensor, counts: Tensor | int) -> Info:
    """Return an objective's diagnostics (`terms`, `weights`, `counts`), detached."""
    counts = counts if isinstance(counts, Tensor) else torch.full_like(terms, counts)
    return {"terms": terms.detach(), "weights": weights.detach(), "counts": counts.detach()}
