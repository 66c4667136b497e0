"""One report of a study: result tables in, `report.html`, CSV, LaTeX and a paragraph in plain words out.

The file is written by `picme.report.build.build`; the rest can be imported from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picme.report.build import page, plates
    from picme.report.export import write_results
    from picme.report.terminal import main_table
    from picme.report.words import headline

_WHERE = {
    "page": "picme.report.build",
    "plates": "picme.report.build",
    "write_results": "picme.report.export",
    "headline": "picme.report.words",
    "main_table": "picme.report.terminal",
}

__all__ = ["headline", "main_table", "page", "plates", "write_results"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'picme.report' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
