"""The fusion head of a cell as the configuration sets it: the order of its steps, and λ where it is given."""

from __future__ import annotations

import random
from itertools import permutations
from typing import TYPE_CHECKING, Any

from picme.config.combinations import label
from picme.config.fusions import CONFIGS as FUSIONS
from picme.design.outside import outside
from picme.errors import ConfigError

if TYPE_CHECKING:
    from picme.config.combinations import Combination
    from picme.config.finetune import FinetuneConfig
    from picme.config.study import Config
    from picme.strategies import Strategy


def head_section(section: FinetuneConfig, chosen: Strategy, combination: Combination, order: Combination) -> Any:
    """Return the section of a strategy's fusion head, set as the configuration says."""
    kind = FUSIONS.get(chosen.head) or outside("fusions").load(chosen.head).Config
    places = tuple(map(combination.index, order or order_of(section, combination)))
    gate = {"configured": "learned" if section.gate == "learned" else "given", "uniform": "uniform", None: None}
    wanted: dict[str, Any] = {"hidden": section.hidden, "dropout": section.dropout}
    wanted |= {"order": places if places != tuple(range(len(combination))) else None}
    wanted |= {} if chosen.gate is None else {"gate": gate[chosen.gate]}
    return kind(**{name: value for name, value in wanted.items() if name in kind.model_fields})


def order_of(section: FinetuneConfig, combination: Combination) -> Combination:
    """Return the configured order of the gate's steps; modalities that it leaves out come after it."""
    first = tuple(name for name in section.order if name in combination)
    return first + tuple(name for name in combination if name not in first)


def gate_weights(config: Config, combination: Combination) -> tuple[float, ...] | None:
    """Return λ as the configuration gives it for a combination, where it does."""
    if not isinstance(config.finetune.gate, tuple):
        return None
    given = dict(zip(config.modalities, config.finetune.gate, strict=True))
    total = sum(given[name] for name in combination)
    if total == 0:
        raise ConfigError(f"finetune.gate gives no weight to any modality of {label(combination)}")
    return tuple(given[name] / total for name in combination)


def orders(combination: Combination, number: int, trained: Combination) -> list[Combination]:
    """Return other orders of a combination's modalities than the one trained anyway, drawn without repetition."""
    others = [order for order in permutations(combination) if order != trained] if number else []
    return random.Random(0).sample(others, min(number, len(others)))
