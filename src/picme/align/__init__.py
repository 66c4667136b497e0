"""Alignment: how well the embeddings of a stay's modalities find one another, and how they lie in the plane.

Five metrics, all of embeddings (modality, stay, dim) and by cosine similarity; see `picme.metrics.retrieval`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picme.align.table import alignment_table
    from picme.align.tsne import frames
    from picme.metrics.retrieval import batch, neighbour, ovo, retrieval, same_modality_share

__all__ = ["alignment_table", "batch", "frames", "neighbour", "ovo", "retrieval", "same_modality_share"]

_LAZY = {
    "alignment_table": "picme.align.table",
    "batch": "picme.metrics.retrieval",
    "frames": "picme.align.tsne",
    "neighbour": "picme.metrics.retrieval",
    "ovo": "picme.metrics.retrieval",
    "retrieval": "picme.metrics.retrieval",
    "same_modality_share": "picme.metrics.retrieval",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
