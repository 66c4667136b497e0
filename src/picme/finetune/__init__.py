"""Fine-tuning on the tasks: fusion heads and the strategies that use them.

A fusion head turns a stay's modality embeddings into logits: `head(embeddings (batch, modality, dim), present (batch,
modality) bool or None) -> (batch, label)`. What stands in the embedding of an absent modality has no influence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.errors import naming
from picme.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from picme.config.base import Component
    from picme.finetune.attention import AttentionHead
    from picme.finetune.gated_lstm import GatedLSTMHead, ModalityGatedLSTM
    from picme.finetune.gated_sum import GatedSumHead
    from picme.finetune.heads import ConcatHead, ConcatTokensHead
    from picme.finetune.lstm import LSTMHead

__all__ = [
    "FUSIONS",
    "AttentionHead",
    "ConcatHead",
    "ConcatTokensHead",
    "GatedLSTMHead",
    "GatedSumHead",
    "LSTMHead",
    "ModalityGatedLSTM",
    "build",
]

FUSIONS = Registry(
    "fusions",
    {
        "concat": "picme.finetune.heads:ConcatHead",
        "concat_tokens": "picme.finetune.heads:ConcatTokensHead",
        "gated_lstm": "picme.finetune.gated_lstm:GatedLSTMHead",
        "lstm": "picme.finetune.lstm:LSTMHead",
        "attention": "picme.finetune.attention:AttentionHead",
        "gated_sum": "picme.finetune.gated_sum:GatedSumHead",
    },
)

# Imported when asked for, so that naming a head costs no torch.
_LAZY = {
    **{target.partition(":")[2]: target.partition(":")[0] for target in FUSIONS.builtin.values()},
    "ModalityGatedLSTM": "picme.finetune.gated_lstm",
}


def build(
    config: Component, n_modalities: int, embed_dim: int, n_labels: int, weights: Sequence[float] | None = None
) -> nn.Module:
    """The fusion head a configuration names.

    Args:
        config: one of `picme.config.fusions`, or another package's.
        n_modalities: modalities of the combination.
        embed_dim: size of their embeddings.
        n_labels: logits of a stay.
        weights: λ (modality,) for the heads that use them; the others ignore it.

    Raises:
        ConfigError: if there is no head of that name, or its settings do not fit these sizes.
    """
    with naming(f"building fusion head {config.name!r}"):
        head: nn.Module = FUSIONS.load(config.name).from_config(
            config, n_modalities=n_modalities, embed_dim=embed_dim, n_labels=n_labels, weights=weights
        )
    return head


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
