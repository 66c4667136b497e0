from __future__ import annotations

from math import comb

import pytest

from picme.config.combinations import combinations, label, parse
from picme.errors import ConfigError

NAMES = ["discharge", "radiology", "image", "timeseries", "demographics"]


def test_five_modalities_have_26_combinations() -> None:
    found = combinations(NAMES, [2, 3, 4, 5])
    assert len(found) == len(set(found)) == 26
    assert [sum(len(item) == size for item in found) for size in (2, 3, 4, 5)] == [
        comb(5, size) for size in (2, 3, 4, 5)
    ]
    assert found[0] == ("discharge", "radiology")
    assert found[-1] == tuple(NAMES)


def test_sizes_beyond_the_names_give_none() -> None:
    assert combinations(["a", "b"], [3, 2, 2]) == [("a", "b")]


def test_parse_puts_names_in_the_configurations_order() -> None:
    assert parse("image + discharge", NAMES) == ("discharge", "image")
    assert label(parse("image+discharge", NAMES)) == "discharge+image"


@pytest.mark.parametrize(
    ("text", "words"), [("discharge+imag", "did you mean 'image'"), ("image+image", "twice"), ("image+", "''")]
)
def test_wrong_names_are_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(text, NAMES)


@pytest.mark.parametrize("number", [2, 5, 6])
def test_by_default_every_combination_of_two_or_more(number: int) -> None:
    names = list("abcdef")[:number]
    found = combinations(names)
    assert len(found) == len(set(found)) == 2**number - number - 1
    assert found[-1] == tuple(names)
