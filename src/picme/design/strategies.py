"""Strategies: the ways in which a combination of modalities is turned into a prediction, one declaration each.

Everything that runs, plans, tests, draws or explains a strategy reads its declaration here. A strategy of another
package is a `Strategy` that the entry-point group `picme.strategies` names.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

from picme.errors import ConfigError
from picme.registry import Registry

# Okabe and Ito's colours by name, so that a declaration needs no hexadecimal digits.
BLUE, SKY, ORANGE, GREEN, PURPLE = "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7"
INK, VERMILLION = "#1f2933", "#D55E00"

Encoders = Literal["pretrained", "untrained", "from_pretrained", "from_scratch", "none"]


@dataclass(frozen=True)
class Strategy:
    """One strategy, declared.

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


CONTRASTIVE = Strategy(
    "contrastive",
    "frozen pretrained encoders, an MLP on their concatenated embeddings",
    "encoders pretrained by contrastive learning and then frozen, with a small network on top",
    encoders="pretrained",
    smallest=2,
    controls=("random",),
    alternatives=("supervised",),
    colour=BLUE,
    symbol="circle",
)
GATED = Strategy(
    "gated",
    "encoders and the modality-gated LSTM with λ, trained on the task",
    "everything trained on the task, the modalities read in turn by an LSTM whose steps are weighted by λ",
    encoders="from_scratch",
    head="gated_lstm",
    gate="configured",
    smallest=3,  # λ exists from three modalities on
    smaller="gated_uniform",
    controls=("gated_uniform", "supervised_lstm"),
    alternatives=("supervised", "contrastive"),
    colour=GREEN,
    symbol="triangle-up",
)
FINETUNED = Strategy(
    "finetuned",
    "pretrained encoders and the MLP, everything trained on the task",
    "started from the contrastively pretrained encoders, then everything trained on the task",
    encoders="from_pretrained",
    smallest=2,
    controls=("supervised",),
    alternatives=("contrastive",),
    colour=SKY,
    symbol="diamond",
)
SUPERVISED_ATTENTION = Strategy(
    "supervised_attention",
    "attention over the modalities with a class token",
    "everything trained on the task, embeddings combined by attention",
    encoders="from_scratch",
    head="attention",
    smallest=2,
    alternatives=("supervised",),
    colour=PURPLE,
    symbol="diamond",
)
SUPERVISED_SUM = Strategy(
    "supervised_sum",
    "a gated sum of the modalities",
    "everything trained on the task, embeddings added up",
    encoders="from_scratch",
    head="gated_sum",
    smallest=2,
    alternatives=("supervised",),
    colour=PURPLE,
    symbol="diamond-open",
)
SUPERVISED = Strategy(
    "supervised",
    "encoders and an MLP on their concatenated embeddings, trained on the task",
    "everything trained from scratch on the task, with a small network on the concatenated embeddings",
    encoders="from_scratch",
    alternatives=("random",),
    colour=ORANGE,
    symbol="square",
)
RANDOM = Strategy(
    "random",
    "control of contrastive: the same encoders untrained",
    "control: as contrastive, but with untrained projections in place of the pretrained ones",
    encoders="untrained",
    selectable=False,
    colour=BLUE,
    symbol="circle-open",
)
GATED_UNIFORM = Strategy(
    "gated_uniform",
    "control of gated: λ the same for every modality",
    "control: the gated LSTM with the same weight for every modality",
    encoders="from_scratch",
    head="gated_lstm",
    gate="uniform",
    smallest=2,
    selectable=False,
    colour=GREEN,
    symbol="triangle-up-open",
)
SUPERVISED_LSTM = Strategy(
    "supervised_lstm",
    "control of gated: a plain LSTM over the modalities (λ = 1)",
    "control: the gated LSTM with all weights one, which is a plain LSTM",
    encoders="from_scratch",
    head="lstm",
    smallest=2,
    selectable=False,
    colour=GREEN,
    symbol="square-open",
)
GRADIENT_BOOSTING = Strategy(
    "gradient_boosting",
    "baseline: boosted trees on summary features",
    "baseline: boosted trees on simple summary features",
    encoders="none",
    head="gradient_boosting",
    selectable=False,
    baseline=True,
    colour=INK,
    symbol="x",
)
LOGISTIC_REGRESSION = Strategy(
    "logistic_regression",
    "baseline: logistic regression on summary features",
    "baseline: logistic regression on simple summary features",
    encoders="none",
    head="logistic_regression",
    selectable=False,
    baseline=True,
    seeded=False,
    colour=INK,
    symbol="cross",
)

BUILT_IN: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        CONTRASTIVE,
        GATED,
        FINETUNED,
        SUPERVISED_ATTENTION,
        SUPERVISED_SUM,
        SUPERVISED,
        RANDOM,
        GATED_UNIFORM,
        SUPERVISED_LSTM,
        GRADIENT_BOOSTING,
        LOGISTIC_REGRESSION,
    )
}
STRATEGIES = Registry("strategies", {name: f"picme.design.strategies:{name.upper()}" for name in BUILT_IN})


@cache
def strategy(name: str) -> Strategy:
    """Return the strategy of a name, built in or of another package.

    Raises:
        ConfigError: if there is none, or what its package names is no `Strategy`.
    """
    found = BUILT_IN.get(name) or STRATEGIES.load(name)
    if not isinstance(found, Strategy) or found.name != name:
        raise ConfigError(f"strategies {name!r}: expected a picme.design.strategies.Strategy of that name")
    return found


@cache
def strategies() -> dict[str, Strategy]:
    """Return every strategy by name: the built-in ones in the order of their declaration, then other packages'.

    One that cannot be loaded is left out: a broken package costs nothing where no configuration names its strategy.
    """
    found = dict(BUILT_IN)
    for name in sorted(set(STRATEGIES.targets()) - set(BUILT_IN)):
        with suppress(ConfigError):
            found[name] = strategy(name)
    return found


def of_fusion(name: str, head: str) -> Strategy:
    """Return the strategy that a fusion head of the configuration's makes: trained like `supervised`, with that head.

    Args:
        name: what the configuration calls it.
        head: the head's name among `picme list fusions`.
    """
    words = f"trained like supervised, with the fusion head {head}"
    return Strategy(name, words, words, encoders="from_scratch", head=head, smallest=2, alternatives=("supervised",))


def resolve(names: tuple[str, ...], fusions: dict[str, str], size: int) -> list[Strategy]:
    """Return the strategies that a combination is fine-tuned with, in the order of their names, each once.

    A strategy that is not defined for so few modalities is left out, or replaced where it declares by what. One
    modality has nothing to fuse.

    Args:
        names: strategies as the configuration names them.
        fusions: strategies of the configuration's own, name to fusion head.
        size: modalities of the combination.
    """
    found: dict[str, Strategy] = {}
    for name in names:
        chosen: Strategy | None = of_fusion(name, fusions[name]) if name in fusions else strategy(name)
        while chosen is not None and size < chosen.smallest:
            chosen = strategy(chosen.smaller) if chosen.smaller is not None else None
        if chosen is not None:
            found.setdefault(chosen.name, chosen)
    return list(found.values())
