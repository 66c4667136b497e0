"""Strategies: the ways in which a combination of modalities is turned into a prediction, one declaration each.

Everything that runs, plans, tests, draws or explains a strategy reads its declaration here. A strategy of another
package is a `Strategy` that the entry-point group `picme.strategies` names.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from picme.errors import ConfigError
from picme.registry import Registry
from picme.strategies.base import PURPLE, Strategy
from picme.strategies.built_in import BUILT_IN, OPTIONAL

__all__ = [
    "BUILT_IN",
    "OPTIONAL",
    "PURPLE",
    "STRATEGIES",
    "Strategy",
    "of_fusion",
    "resolve",
    "strategies",
    "strategy",
]

STRATEGIES = Registry("strategies", {name: f"picme.strategies.built_in:{name.upper()}" for name in BUILT_IN})


@cache
def strategy(name: str) -> Strategy:
    """Return the strategy of a name, built in or of another package.

    Raises:
        ConfigError: if there is none, or what its package names is no `Strategy`.
    """
    found = BUILT_IN.get(name) or STRATEGIES.load(name)
    if not isinstance(found, Strategy) or found.name != name:
        raise ConfigError(f"strategies {name!r}: expected a picme.strategies.Strategy of that name")
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


def resolve(names: tuple[str, ...], fusions: dict[str, str], size: int, whole: int) -> list[Strategy]:
    """Return the strategies that a combination is fine-tuned with, in the order of their names, each once.

    A strategy that is not defined for so few modalities is left out, or replaced where it declares by what. One
    modality has nothing to fuse.

    Args:
        names: strategies as the configuration names them.
        fusions: strategies of the configuration's own, name to fusion head.
        size: modalities of the combination.
        whole: modalities of the study, over which a strategy that takes any subset is trained.
    """
    found: dict[str, Strategy] = {}
    for name in names:
        chosen: Strategy | None = of_fusion(name, fusions[name]) if name in fusions else strategy(name)
        while chosen is not None and (whole if chosen.subsets else size) < chosen.smallest:
            chosen = strategy(chosen.smaller) if chosen.smaller is not None else None
        if chosen is not None:
            found.setdefault(chosen.name, chosen)
    return list(found.values())
