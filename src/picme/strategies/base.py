"""The declaration of a strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Okabe and Ito's colours by name, so that a declaration needs no hexadecimal digits.
BLUE, SKY, ORANGE, GREEN, PURPLE = "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7"
INK, VERMILLION = "#1f2933", "#D55E00"

Encoders = Literal["pretrained", "untrained", "from_pretrained", "from_scratch", "none"]


@dataclass(frozen=True)
class Strategy:
    """The declaration of one strategy.

    Attributes:
        name: its name in configurations, tables and the report.
        meaning: one line for lists and the documentation.
        plain: the same for a reader of the report who is no engineer.
        encoders: what happens to the encoders. `pretrained` and `untrained` are frozen, so that their embeddings are
            computed once; `from_pretrained` and `from_scratch` are trained on the task from that start; `none` has
            no encoders, but a model on summary features.
        head: the fusion head on the embeddings, one of `picme list fusions`; for `none` the model's name.
        gate: where the weights λ of a gated head come from: `configured` follows `finetune.gate`, `uniform` gives
            every modality the same weight; None for heads without weights.
        subsets: whether one training over all modalities of the study, some of them withheld at random, predicts for
            every combination.
        averages: the strategy whose models of single modalities it averages, for one that trains nothing of its own.
        stacks: the strategies whose predictions it combines; those of `finetune.stacked` take their place where it is
            configured.
        smallest: the fewest modalities that the strategy is defined for.
        smaller: the strategy that runs in its place where a combination has fewer, if any.
        controls: the strategies that it has to beat to have shown anything, the closest first.
        alternatives: the strategies that a user could choose in its place, each tested against it.
        selectable: whether it may be reported as the best one; a control or a baseline may not.
        baseline: whether it is what a user would take without picme.
        seeded: whether its result depends on the seed.
        colour, symbol: how figures draw it; a control has the colour of what it controls and an open symbol.
    """

    name: str
    meaning: str
    plain: str
    encoders: Encoders
    head: str = "concat"
    gate: Literal["configured", "uniform"] | None = None
    subsets: bool = False
    averages: str | None = None
    stacks: tuple[str, ...] = ()
    smallest: int = 1
    smaller: str | None = None
    controls: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    selectable: bool = True
    baseline: bool = False
    seeded: bool = True
    colour: str = VERMILLION
    symbol: str = "circle"

    @property
    def starts_from_pretraining(self) -> bool:
        """True if the encoders are those of a pretraining, frozen or as a start."""
        return self.encoders in ("pretrained", "from_pretrained")
