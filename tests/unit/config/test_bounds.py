"""Numbers that no machine can do are refused before anything is planned, with the reason."""

from __future__ import annotations

import pytest

from picme.config.loading import load
from picme.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("study.seeds", 10**9, "planned by itself"),
        ("execution.workers", 10**18, "one machine"),
        ("study.embed_dim", 10**6, "square of its width"),
        ("pretrain.batch_size", 10**21, "held in memory"),
        ("pretrain.window", 1e300, "ten years"),
        ("align.ks", [1, 10**30], "no cohort"),
        ("finetune.search", {"batch_sizes": [10**9]}, "held in memory"),
        ("evaluate.seed", 2**32, "32 bits"),
        ("source.stays", 10**9, "from memory"),
        ("pretrain.learning_rate", float("inf"), "finite"),
    ],
)
def test_an_extreme_number_is_refused_with_the_reason(key: str, value: object, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("demo", {key: value})
    assert key.split(".")[-1] in str(caught.value)
    assert reason in str(caught.value)


def test_the_bound_itself_is_allowed() -> None:
    assert load("demo", {"study.seeds": 1000}).study.seeds == 1000
