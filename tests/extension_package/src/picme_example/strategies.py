"""A strategy, `warm_attention`: attention over the modalities, from pretrained encoders on."""

from __future__ import annotations

from picme.strategies import PURPLE, Strategy

WARM_ATTENTION = Strategy(
    "warm_attention",
    "pretrained encoders and attention over the modalities, everything trained on the task",
    "started from the pretrained encoders, embeddings combined by attention, then everything trained on the task",
    encoders="from_pretrained",
    head="attention",
    smallest=2,
    controls=("supervised_attention",),
    alternatives=("finetuned",),
    colour=PURPLE,
    symbol="star",
)
