"""Encoders: modules that turn a batch of one modality into embeddings of the common size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.errors import naming
from picme.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.base import Component
    from picme.encoders.base import Encoder

ENCODERS = Registry(
    "encoders",
    {
        "transformer": "picme.encoders.text:TextEncoder",
        "image": "picme.encoders.image:ConvEncoder",
        "lstm": "picme.encoders.timeseries:SeriesEncoder",
        "grud": "picme.encoders.grud:GRUDEncoder",
        "tcn": "picme.encoders.tcn:TCNEncoder",
        "series_transformer": "picme.encoders.series_transformer:SeriesTransformerEncoder",
        "set_transformer": "picme.encoders.set_transformer:SetTransformerEncoder",
        "mlp": "picme.encoders.tabular:TabularEncoder",
    },
)


def build(config: Component, spec: Mapping[str, Any], embed_dim: int, modality: str | None = None) -> Encoder:
    """Build an encoder with fresh weights in everything that is trained.

    The weights are drawn with torch's global generator: seed it before the call.

    Args:
        config: the encoder's section.
        spec: the modality's `spec()`. With `feature_dim` in it, batches hold a locked trunk's output and the trunk is
            not loaded.
        embed_dim: size of the embeddings.
        modality: name of the modality, for messages.

    Raises:
        ConfigError: if the model cannot be loaded or lacks a part that the configuration asks for.
    """
    whose = "" if modality is None else f" of modality {modality!r}"
    with naming(f"building encoder {config.name!r}{whose}"):
        encoder: Encoder = ENCODERS.load(config.name).from_config(config, spec, embed_dim)
        return encoder.ready()
