"""Sentences on what is wrong with a value of the configuration; each names its key, in the user's words."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, get_origin

from picme.config.places import field, key, keys, models, words
from picme.errors import near

if TYPE_CHECKING:
    from pydantic import ValidationError

    from picme.config.base import Section

# What pydantic expected, by the first word of its error's type, in words that need no knowledge of Python.
EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "dict": "a section (keys and values)",
    "model": "a section (keys and values)",
    "tuple": "a list",
    "list": "a list",
}
BOUNDS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "{} or less"),
    "too_short": ("min_length", "a list of {} or more"),
    "too_long": ("max_length", "a list of {} or fewer"),
}
QUOTES = " '"
SECTION = ("model_type", "model_attributes_type", "dict_type")


def sentence(error: ValidationError, model: type[Section], tree: dict[str, Any]) -> str:
    """Return the most telling of pydantic's findings about a section, made of these plain values, as one sentence."""
    places = [key(model, [str(part) for part in item["loc"]]) for item in error.errors()]
    findings = list(zip(places, error.errors(), strict=True))
    # An unknown key comes first; where a word or a section is allowed, an error inside the section says more.
    where, finding = min(findings, key=lambda one: (one[1]["type"] != "extra_forbidden", -one[0].count(".")))
    kind, context, value = finding["type"], finding.get("ctx", {}), finding["input"]
    if kind == "extra_forbidden":
        *above, last = (str(part) for part in finding["loc"])
        known = [*keys(model, above), *([] if above else ["preset"])]
        return f"unknown key {where!r}{near(last, known)}"
    if kind == "missing" and isinstance(finding["loc"][-1], int):
        parent, _, place = where.rpartition(".")
        return f"{parent!r} is {shown(value)}, which lacks value {int(place) + 1} of its list"
    if kind == "missing":
        return f"key {where!r} is required"
    if kind == "union_tag_invalid":
        word, tag = str(context["discriminator"]).strip(QUOTES), str(context["tag"])
        hint = near(tag, _words(context["expected_tags"], ", "), every=True)
        if isinstance(value, dict) and not isinstance(value.get(word), str):
            return f"'{where}.{word}' is {shown(value.get(word))}, expected a name{hint}"
        return f"unknown {word} {shown(tag)} in {where!r}{hint}"
    if kind == "union_tag_not_found":
        return f"{where!r} needs the key {context['discriminator']}"
    # A value that no option of a union takes has a finding for each; what a rule says of it tells the most.
    among = [item for place, item in findings if place == where and item["input"] is value]
    for item in among:
        if item["type"] == "value_error":
            message = _line(item["msg"].removeprefix("Value error, "))
            within = "." if message.partition(": ")[0] in keys(model, where.split(".")) else ": "
            return f"{where}{within}{message}" if finding["loc"] else message
    if value is None and len(finding["loc"]) == 2 and get_origin(field(model, where.partition(".")[0])) is dict:
        named = [name for name, section in tree[where.partition(".")[0]].items() if section is not None]
        return f"{where!r} is null, but no preset has it to take away{near(where.partition('.')[2], named)}"
    expected = " or ".join(dict.fromkeys(map(_expected, among)))
    holds = reduce(field, where.split("."), model)
    if {item["type"] for item in among} <= {"literal_error", *SECTION} and words(holds) and models(holds):
        # A choice between a word and a section has a finding only for what the value looks most like.
        allowed = " or ".join(map(repr, words(holds)))
        return f"{where!r} is {shown(value)}, expected {allowed} or a section; `{{}}` is one with its defaults"
    hint = near(value, _words(context["expected"])) if kind == "literal_error" and isinstance(value, str) else ""
    hint = hint if "did you mean" in hint else ""
    if (
        {item["type"] for item in among} & {"tuple_type", "list_type"}
        and isinstance(value, str | int | float)
        and not where[-1].isdigit()
    ):
        hint = hint or f", such as [{shown(value)}]"
    return f"{where!r} is {shown(value)}, expected {expected}{hint}"


def _expected(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"])
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return words.format(context[name])
    return EXPECTED.get(kind.split("_")[0], "another value")


def _words(listed: Any, last: str = " or ") -> list[str]:
    """Return the words of pydantic's list `'a', 'b' or 'c'`."""
    return [word.strip(QUOTES) for word in str(listed).replace(last, ", ").split(", ")]


def shown(value: Any) -> str:
    """Return a value of the configuration on one line, short, in YAML's words."""
    if isinstance(value, list | tuple):
        text = f"[{', '.join(map(shown, value[:9]))}]"
    elif isinstance(value, dict):
        text = f"{{{', '.join(f'{name}: {shown(below)}' for name, below in value.items())}}}"
    else:
        text = (
            {None: "null", True: "true", False: "false"}[value]
            if value is None or isinstance(value, bool)
            else repr(value)
        )
    return text if len(text) <= 60 else f"{text[:57]}…"


def _line(text: str) -> str:
    return " ".join(text.split())
