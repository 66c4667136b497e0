"""Batches of random data as large as a study's own, to measure what its encoders cost before any data are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from picme.modalities.timeseries import MASK, column_roles

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.config.modalities import ModalityConfig

    Batch = dict[str, torch.Tensor]
    Maker = Callable[[ModalityConfig, int], tuple[dict[str, Any], Callable[[int], Batch]]]

VARIABLES, COLUMNS = 38, 32
"""Variables of a series, each with its mask, and columns of a table, where the data are not known yet."""


def sample(section: ModalityConfig, hours: int) -> tuple[dict[str, Any], Callable[[int], Batch]] | None:
    """Return the sizes that an encoder has to know, and a function from a number of stays to a batch of them.

    Texts are as long as the encoder reads and series as long as `hours`, so that what is measured is the most it costs.

    Args:
        section: the modality.
        hours: length of a time series.

    Returns:
        None for a kind of another package.
    """
    maker = MAKERS.get(section.kind)
    return None if maker is None else maker(section, hours)


def _text(section: ModalityConfig, hours: int) -> tuple[dict[str, Any], Callable[[int], Batch]]:
    tokens = int(getattr(section.encoder, "max_length", 512))
    return {"max_tokens": tokens}, lambda size: {
        name: torch.ones(size, tokens, dtype=torch.int64) for name in ("input_ids", "attention_mask")
    }


def _image(section: ModalityConfig, hours: int) -> tuple[dict[str, Any], Callable[[int], Batch]]:
    shape = (1, section.size, section.size)
    pixels = {"low": 0, "high": 256, "dtype": torch.uint8}
    return {"side": section.size, "channels": 1}, lambda size: {"pixels": torch.randint(size=(size, *shape), **pixels)}  # type: ignore[call-overload]


def _timeseries(section: ModalityConfig, hours: int) -> tuple[dict[str, Any], Callable[[int], Batch]]:
    names = [f"{prefix}{number}" for prefix in ("", MASK) for number in range(VARIABLES)]
    return {"n_columns": len(names), **column_roles(names)}, lambda size: {
        "values": torch.randn(size, hours, len(names)),
        "lengths": torch.full((size,), hours),
    }


def _tabular(section: ModalityConfig, hours: int) -> tuple[dict[str, Any], Callable[[int], Batch]]:
    return {"n_columns": COLUMNS}, lambda size: {"values": torch.randn(size, COLUMNS)}


MAKERS: dict[str, Maker] = {"text": _text, "image": _image, "timeseries": _timeseries, "tabular": _tabular}
