"""Keys: equal exactly where what determines the artifact is equal."""

from __future__ import annotations

import pickle
import re
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from picme.engine.step import Part, Step, key_of


class Section(BaseModel):
    """As of a configuration."""

    rate: float = 0.1
    sizes: tuple[int, ...] = ()


class Group(Part):
    uncounted: ClassVar[tuple[str, ...]] = ("said",)

    word: str = ""
    said: str = ""
    source: Step | None = None


class Counted(Step):
    kind: ClassVar[str] = "counted"
    stage: ClassVar[str] = "first"
    uncounted: ClassVar[tuple[str, ...]] = ("note",)

    number: int = 0
    word: str = ""
    table: dict[str, Any] = {}  # noqa: RUF012 (pydantic copies it)
    items: tuple[Any, ...] = ()
    section: Any = None
    group: Group = Group()
    upstream: Step | None = None
    note: str = ""


class Newer(Counted):
    version: ClassVar[int] = 2


class Other(Counted):
    kind: ClassVar[str] = "other"


WORDS = st.text(max_size=3)
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | WORDS
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)
SECTIONS = st.builds(
    Section,
    rate=st.floats(allow_nan=False, allow_subnormal=False),
    sizes=st.lists(st.integers(0, 9), max_size=3).map(tuple),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(),
        "word": st.text(),
        "table": st.dictionaries(WORDS, PLAIN, max_size=4),
        "items": st.lists(PLAIN, max_size=4).map(tuple),
        "section": st.none() | SECTIONS,
        "group": st.builds(Group, word=WORDS, source=st.none() | st.builds(Counted, number=st.integers(0, 2))),
        "upstream": st.none() | st.builds(Counted, word=WORDS),
    },
)
# Few values, so that two draws are often equal.
FEW = st.fixed_dictionaries(
    {
        "number": st.integers(0, 1),
        "word": st.sampled_from(["", "0", "a"]),
        "table": st.sampled_from([{}, {"a": 1}, {"a": "1"}, {"a": True}, {"a": [1]}, {"a": {"1": None}}]),
        "items": st.sampled_from([(), (0,), ("0",), (None,), ((0,),)]),
        "upstream": st.sampled_from([None, Counted(), Counted(number=1), Newer(), Other()]),
    }
)


def told(fields: dict[str, Any]) -> str:
    """Fields as text that tells 1 from True and from "1"."""
    return repr([(name, fields[name]) for name in sorted(fields)])


@given(one=FEW, other=FEW)
def test_keys_are_equal_exactly_where_fields_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    mine, theirs = Counted(**one), Counted(**other)
    assert (mine.key == theirs.key) == (told(one) == told(other))
    assert (mine == theirs) == (mine.key == theirs.key)
    if mine == theirs:
        assert hash(mine) == hash(theirs)


@given(fields=FIELDS, name=st.sampled_from(["number", "word", "table", "items", "section", "group", "upstream"]))
def test_every_field_counts(fields: dict[str, Any], name: str) -> None:
    before = Counted(**fields)
    changes: dict[str, Any] = {
        "number": before.number + 1,
        "word": f"{before.word}x",
        "table": {**before.table, "more than three letters": 1},
        "items": (*before.items, 0),
        "section": Section(sizes=(1, 2, 3, 4)),
        "group": Group(word="more than three letters", source=before.group.source),
        "upstream": Counted(word="more than three letters"),
    }
    assert Counted(**fields | {name: changes[name]}).key != before.key


@given(fields=FIELDS)
def test_the_key_is_a_name_for_a_folder_and_made_of_the_fields_alone(fields: dict[str, Any]) -> None:
    step = Counted(**fields)
    assert re.fullmatch(r"[0-9a-f]{16}", step.key)
    assert Counted(**fields).key == step.key


@given(table=st.dictionaries(WORDS, PLAIN, min_size=2, max_size=5), data=st.data())
def test_the_order_of_a_dictionary_does_not_count(table: dict[str, Any], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(table.items()))))
    assert Counted(table=table).key == Counted(table=shuffled).key
    assert Counted(items=(table,)).key == Counted(items=(shuffled,)).key
    assert key_of(table) == key_of(shuffled)


@given(items=st.lists(PLAIN, min_size=2, max_size=4).filter(lambda items: repr(items) != repr(items[::-1])))
def test_the_order_of_a_list_counts(items: list[Any]) -> None:
    turned = items[::-1]
    equal = key_of(items) == key_of(turned)  # [{"a": 1, "b": 2}] differs in writing alone
    assert (Counted(items=tuple(items)).key == Counted(items=tuple(turned)).key) == equal
    assert Counted(items=(0, 1)).key != Counted(items=(1, 0)).key


@given(fields=FIELDS, note=st.text(min_size=1))
def test_fields_that_do_not_count_are_in_no_key(fields: dict[str, Any], note: str) -> None:
    assert Counted(**fields, note=note).key == Counted(**fields).key
    assert Counted(group=Group(said=note)).key == Counted().key, "of a part as well"
    assert "note" not in Counted(**fields, note=note).fields


@given(fields=FIELDS)
def test_version_and_kind_count(fields: dict[str, Any]) -> None:
    assert len({made(**fields).key for made in (Counted, Newer, Other)}) == 3


@given(one=FEW, other=FEW)
def test_a_step_counts_by_its_own_key_wherever_it_is_held(one: dict[str, Any], other: dict[str, Any]) -> None:
    mine, theirs = Counted(**one), Counted(**other)
    equal = mine.key == theirs.key
    for hold in (
        lambda step: Counted(upstream=step),
        lambda step: Counted(group=Group(source=step)),
        lambda step: Counted(items=(1, step)),
        lambda step: Counted(table={"a": [step]}),
    ):
        assert (hold(mine).key == hold(theirs).key) == equal
        assert hold(mine).inputs == (mine,)


def test_the_inputs_are_the_steps_in_the_fields_and_not_those_before_them() -> None:
    first = Counted(number=1)
    second = Counted(upstream=first)
    last = Counted(upstream=second, group=Group(source=Counted(number=2)), items=(second, Counted(upstream=first)))
    assert last.inputs == (second, Counted(number=2)), "each once"


@given(fields=FIELDS, asked=st.booleans())
def test_a_step_that_was_pickled_has_the_same_key(fields: dict[str, Any], asked: bool) -> None:
    step = Counted(**fields)
    if asked:
        assert step.key
    back = pickle.loads(pickle.dumps(step))
    assert (back.key, back.fields, back.inputs) == (step.key, step.fields, step.inputs)


def test_a_step_cannot_be_changed_nor_given_a_field_it_has_not() -> None:
    step = Counted()
    with pytest.raises(ValidationError, match="frozen"):
        step.number = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Counted(numbr=2)  # type: ignore[call-arg]
