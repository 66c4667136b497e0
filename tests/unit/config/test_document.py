"""The page of the configuration has every key of every section, with its meaning."""

from __future__ import annotations

from typing import get_args, get_origin

from picme.config.document import document
from picme.config.places import models
from picme.config.study import Config


def test_reference_has_every_key_with_its_meaning() -> None:
    text = document()
    for section in ("`cohort.notes`", "`pretrain`", "`modalities.NAME.encoder` with `name: lstm`", "`finetune.search`"):
        assert f"## {section}\n" in text
    assert (
        "| `gallery` | whole number | `1000` | Number of candidates in a retrieval; a smaller split is used whole. |"
        in text
    )
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert not [row for row in rows if row.replace(" ", "").endswith("||")], "every key has a meaning"
    known = {row.split("`")[1] for row in rows}
    left = [Config]
    seen = set()
    while left:
        model = left.pop()
        if model in seen:
            continue
        seen.add(model)
        assert set(model.model_fields) <= known
        types = [field.annotation for field in model.model_fields.values()]
        left += [one for of in types for one in models(get_args(of)[1] if get_origin(of) is dict else of)]
    assert len(seen) > 30
