"""Text encoder: a transformer that is locked, adapted (LoRA) or trained, pooled to one vector per text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from picme.encoders.base import Encoder, masked_mean, projection
from picme.encoders.transformers import hidden_size, insert_adapters, load_transformer, split_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import TransformerEncoder


class TextEncoder(Encoder):
    """Text encoder: `input_ids` and `attention_mask` (text or window, token) → (text, embed_dim).

    Batches of windows also hold `owner` (window,), the position in the batch of each window's text.

    In mode `locked` the trunk is the transformer with its pooling. In mode `lora` with adapters from layer L > 0
    upwards, the trunk is the embeddings and the layers below L, and features are one vector per token. Otherwise there
    is no trunk.
    """

    def __init__(self, config: TransformerEncoder, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, embed_dim)
        self.pooling = config.pooling
        self.has_locked_trunk = config.locked_trunk
        self.cut = config.lora_from_layer if config.mode == "lora" else 0
        self.body: nn.Module | None = None
        feature_dim = spec.get("feature_dim")
        if config.mode != "locked":
            model = load_transformer(config)
            feature_dim = hidden_size(model)
            if self.cut:
                lower, model = split_layers(model, self.cut)
                if "feature_dim" not in spec:
                    self._trunk.append(lower.requires_grad_(False).eval())
            if config.mode == "lora":
                insert_adapters(model, config)
            self.body = model
        elif feature_dim is None:
            feature_dim = hidden_size(self.trunk)
        self.projection = projection(config.projection, int(feature_dim), embed_dim)

    @classmethod
    def from_config(cls, config: TransformerEncoder, spec: Mapping[str, Any], embed_dim: int) -> TextEncoder:  # noqa: D102
        return cls(config, spec, embed_dim)

    def train(self, mode: bool = True) -> Self:
        """Set training mode for what is trained; the locked base of adapters stays in evaluation mode, like a trunk.

        Dropout in the base would only add noise for the adapters, and attention with dropout takes a CPU twice the
        time.
        """
        super().train(mode)
        if self.body is not None and self.config.mode == "lora":  # type: ignore[attr-defined]
            self.body.eval()
            for name, module in self.body.named_modules():
                if "lora_" in name:
                    module.train(mode)
        return self

    def load_trunk(self) -> nn.Module:  # noqa: D102
        model = load_transformer(self.config)  # type: ignore[arg-type]
        return split_layers(model, self.cut)[0] if self.cut else model

    def trunk_features(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the trunk's output for a batch.

        It is (text, feature_dim) in mode `locked`, and (text, token, feature_dim), the input of layer L, with adapters
        from there up.
        """
        with torch.no_grad():
            hidden = self.trunk(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
            return hidden.float() if self.cut else self._pool(hidden, batch)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        if self.body is None:
            features = self.features(batch)
        elif self.cut:
            hidden = self.body(inputs_embeds=self.features(batch), attention_mask=batch["attention_mask"])
            features = self._pool(hidden.last_hidden_state, batch)
        else:
            hidden = self.body(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            features = self._pool(hidden.last_hidden_state, batch)
        embeddings: Tensor = self.projection(features)
        return embeddings.float()

    def _pool(self, hidden: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Pool (text or window, token, dim) to (text, dim), float32."""
        vectors = hidden[:, 0].float() if self.pooling == "cls" else masked_mean(hidden, batch["attention_mask"])
        owner = batch.get("owner")
        if owner is None:
            return vectors
        texts = int(owner[-1]) + 1
        sums = vectors.new_zeros(texts, vectors.shape[1]).index_add(0, owner, vectors)
        counts = torch.bincount(owner, minlength=texts).unsqueeze(1)
        return sums / counts
