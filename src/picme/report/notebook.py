"""A study as a notebook shows it: the answer, and the calls that show more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from picme.report.answer import paragraph
from picme.report.numbers import say

if TYPE_CHECKING:
    from picme.report.facts import Tables


def study_html(name: str, tables: Tables, config: dict[str, Any]) -> str:
    """Return a few lines of HTML: aggregates and names only, everything escaped.

    Args:
        name: the run folder's name.
        tables: result tables by name, without predictions.
        config: the resolved configuration as plain values.
    """
    rows = [say("<li><code>{name}</code>: {n} rows</li>", name=key, n=table.height) for key, table in tables.items()]
    sentences = paragraph(tables, config) if tables else [Markup("No stage has left a result table yet.")]
    shown = say(
        "<div><h3>{title}</h3><p>{answer}</p>"
        "<details><summary>{n} result tables</summary><ul>{rows}</ul></details>"
        "<p><code>.table(name)</code>, <code>.figures()</code>, <code>.cohort(task)</code>, <code>.report</code></p>"
        "</div>",
        title=config.get("name") or name,
        answer=Markup(" ").join(sentences),
        n=len(rows),
        rows=Markup("").join(rows),
    )
    return str(shown)
