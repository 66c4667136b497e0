"""Formulas of the pages as MathML, which a browser draws by itself, with no network."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return formulas(markdown) if page.file.src_uri == "concepts.md" else markdown


def formulas(markdown: str) -> str:
    """`$$…$$` and `$…$` as MathML."""
    from latex2mathml.converter import convert

    def block(match: re.Match[str]) -> str:
        return "\n<p>" + convert(match[1].strip(), display="block") + "</p>\n"

    markdown = re.sub(r"^\$\$\n(.+?)\n\$\$$", block, markdown, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\$([^$\n]+)\$", lambda match: convert(match[1]), markdown)
