"""The package that turns result tables into `report.html`, CSV, LaTeX and a paragraph in plain words.

The file is written by `picme.report.build.build`; the rest can be imported from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picme.report.answer import headline
    from picme.report.build import page, plates
    from picme.report.terminal import main_table
    from picme.results.write import write_results

_WHERE = {
    "page": "picme.report.build",
    "plates": "picme.report.build",
    "write_results": "picme.results.write",
    "headline": "picme.report.answer",
    "main_table": "picme.report.terminal",
}

__all__ = ["headline", "main_table", "page", "plates", "write_results"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'picme.report' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
