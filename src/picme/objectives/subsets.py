"""The objective of a shared pretraining, which runs over subsets of the modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.func import functional_call

from picme.objectives import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.config.base import Component
    from picme.objectives.base import Info, Objective

TEMPERATURE = ("temperature", "temperature_range", "train_temperature")


class SubsetObjective(nn.Module):
    """One objective for pairs and one for more modalities, over any subset of K modalities.

    An objective of three modalities and more has the same parameters for every subset: τ, and of those that belong to
    modalities, as λ's trained logits do, those of the subset's members; λ is the softmax of its logits. Pairs have the
    same τ where both objectives are configured with the same temperature, and otherwise one of their own.

    Args:
        config: the objective of three modalities and more; not used if K is 2.
        pair: the objective of two.
        n_modalities: K.
        embed_dim: size of the embeddings.

    Attributes:
        whole: the objective of all K modalities, which holds the parameters.

    Raises:
        ConfigError: if an objective does not take that many modalities.
    """

    def __init__(self, config: Component, pair: Component, n_modalities: int, embed_dim: int = 256) -> None:
        super().__init__()
        self.whole = build(config if n_modalities > 2 else pair, n_modalities, embed_dim)
        self.pair = build(pair, 2, embed_dim) if n_modalities > 2 else self.whole
        if all(getattr(config, name, None) == getattr(pair, name, None) for name in TEMPERATURE):
            self.pair.log_temperature = self.whole.log_temperature
        # They are called with the parameters of `whole`; a plain dict keeps their own from being trained or stored.
        self._sizes = {size: build(config, size, embed_dim) for size in range(3, n_modalities)}

    def forward(
        self, embeddings: Tensor, present: Tensor | None = None, members: Sequence[int] | None = None
    ) -> tuple[Tensor, Info]:
        """Compute the loss and the diagnostics of a batch as `Objective` does.

        Args:
            embeddings: (member, batch, dim), raw.
            present: (batch, member) bool, or None.
            members: indices of the subset's modalities; None for all.
        """
        if members is None or len(members) == self.whole.n_modalities:
            loss, info = self.whole(embeddings, present)
        else:
            objective, values = self.of(members)
            loss, info = functional_call(objective, values, (embeddings, present))
        return loss, info

    def of(self, members: Sequence[int]) -> tuple[Objective, dict[str, Tensor]]:
        """Return the objective for a subset of some, but not all modalities, and the parameters that it takes."""
        values = self.whole.restricted(members)
        if len(members) > 2:
            return self._sizes[len(members)].train(self.training), values
        own: dict[str, Tensor] = dict(self.pair.named_parameters())
        logits = values.get("weight_logits")
        fits = logits is not None and "weight_logits" in own and own["weight_logits"].shape == logits.shape
        return self.pair, own | ({"weight_logits": logits} if logits is not None and fits else {})

    def weight_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the weights, which have their own learning rate."""
        return list({id(one): one for part in (self.whole, self.pair) for one in part.weight_parameters()}.values())
