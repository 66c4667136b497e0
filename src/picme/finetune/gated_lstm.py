"""Modality-gated LSTM: modalities are the time steps, and λ scales what each writes into the memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from picme.errors import ConfigError
from picme.finetune.heads import FusionHead, classifier, steps, without_absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.config.base import Component


class ModalityGatedLSTM(nn.Module):
    """An LSTM over a stay's modalities whose input is scaled by the modality's weight.

    C_t = F_t ⊙ C_{t−1} + λ_t (I_t ⊙ C̃_t),  H_t = O_t ⊙ tanh(C_t)

    with the gates of `torch.nn.LSTM` (arXiv 2507.03165, section 3.3.4). λ = 1 is a plain LSTM; λ_t = 0 writes nothing
    (the step still forgets). The step of an absent modality is skipped, memory and output are carried over it.

    Parameters have the names, shapes and order of gates of `torch.nn.LSTM`'s layer 0, so its `state_dict` loads.

    Args:
        input_size: size of the embeddings.
        hidden_size: size of memory and output.

    Example:
        >>> lstm = ModalityGatedLSTM(256, 128)
        >>> embeddings, weights = torch.randn(32, 5, 256), torch.full((5,), 0.2)
        >>> hidden = lstm(embeddings, weights)
        >>> hidden.shape  # torch.Size([32, 128])
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, embeddings: Tensor, weights: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the output after the last step, (batch, hidden).

        Args:
            embeddings: (batch, modality, dim), in the order of the steps.
            weights: λ (modality,).
            present: (batch, modality) bool; None where every stay has every modality.

        Raises:
            ConfigError: if there is not one weight for each modality.
        """
        batch, modalities, _ = embeddings.shape
        if weights.shape != (modalities,):
            raise ConfigError(
                f"the gated LSTM needs one weight for each of {modalities} modalities, not {len(weights)}"
            )
        if present is not None:
            embeddings, present = without_absent(embeddings, present)
        # The input part of all steps is one product; only the recurrent part has to be computed step by step.
        inputs = functional.linear(embeddings, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        weights = weights.to(inputs)
        output = memory = inputs.new_zeros(batch, self.hidden_size)
        for step in range(modalities):
            gates = inputs[:, step] + functional.linear(output, self.weight_hh_l0)
            take, forget, candidate, expose = gates.chunk(4, 1)
            written = weights[step] * (take.sigmoid() * candidate.tanh())
            new_memory = forget.sigmoid() * memory + written
            new_output = expose.sigmoid() * new_memory.tanh()
            if present is None:
                memory, output = new_memory, new_output
            else:
                here = present[:, step, None]
                memory, output = torch.where(here, new_memory, memory), torch.where(here, new_output, output)
        return output


class GatedLSTMHead(FusionHead):
    """Fusion head that reads logits from the last output of a `ModalityGatedLSTM`.

    Args:
        n_modalities: K.
        embed_dim: size of the embeddings.
        n_labels: number of logits of a stay.
        hidden: size of memory and output.
        dropout: dropout before the linear layer.
        order: the modalities' indices in the order of the steps.
        gate: where λ comes from: `given` (by `weights`), `uniform` (1/K), `learned` (softmax of trained logits).
        weights: λ (modality,) in the embeddings' order, adding up to 1; needed for `given`, the start of `learned`.

    Raises:
        ConfigError: if λ is missing, of the wrong length, negative or does not add up to 1.
    """

    given_weights: Tensor

    def __init__(
        self,
        n_modalities: int,
        embed_dim: int,
        n_labels: int,
        hidden: int = 256,
        dropout: float = 0.1,
        order: Sequence[int] | None = None,
        gate: Literal["given", "uniform", "learned"] = "given",
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(n_modalities, embed_dim, n_labels)
        if gate == "given" and weights is None:
            raise ConfigError("the gated LSTM with gate 'given' needs weights: one for each modality, adding up to 1")
        if gate == "uniform" or weights is None:
            weights = [1 / n_modalities] * n_modalities
        start = checked_weights(weights, n_modalities)
        self.gate_logits = nn.Parameter(start.clamp_min(1e-6).log()) if gate == "learned" else None
        self.register_buffer("given_weights", start)
        self.order = steps(order, n_modalities)
        self.lstm = ModalityGatedLSTM(embed_dim, hidden)
        self.classifier = classifier(hidden, n_labels, dropout)

    @classmethod
    def from_config(  # noqa: D102
        cls,
        config: Component,
        n_modalities: int,
        embed_dim: int,
        n_labels: int,
        weights: Sequence[float] | None = None,
    ) -> Self:
        return cls(n_modalities, embed_dim, n_labels, weights=weights, **config.model_dump(exclude={"name"}))

    def weights(self) -> Tensor:
        """Return λ (modality,), in the embeddings' order."""
        return self.given_weights if self.gate_logits is None else self.gate_logits.softmax(0)

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute logits (batch, label) from embeddings (batch, modality, dim) and presence (batch, modality)."""
        if self.order != sorted(self.order):
            embeddings = embeddings[:, self.order]
            present = None if present is None else present[:, self.order]
        logits: Tensor = self.classifier(self.lstm(embeddings, self.weights()[self.order], present))
        return logits


def checked_weights(weights: Sequence[float] | Tensor, n_modalities: int) -> Tensor:
    """Return λ as a tensor (modality,).

    Raises:
        ConfigError: if it has another length, a negative part or does not add up to 1.
    """
    values = torch.as_tensor(weights, dtype=torch.float32).detach().clone()
    shown = ", ".join(f"{value:.4g}" for value in values.flatten().tolist())
    if values.shape != (n_modalities,):
        raise ConfigError(f"weights must have one number for each of {n_modalities} modalities, not [{shown}]")
    if not bool((values >= 0).all()) or abs(float(values.sum()) - 1) > 1e-3:
        raise ConfigError(
            f"weights must not be negative and must add up to 1, not {float(values.sum()):.4g}: [{shown}]"
        )
    return values
