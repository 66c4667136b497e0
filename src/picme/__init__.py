"""picme: which clinical data types are worth combining, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picme.study import Study, load, run

__all__ = ["Study", "__version__", "load", "run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when asked for: `picme --help` and `picme plan` need neither polars nor torch.
    if name in {"Study", "load", "run"}:
        from importlib import import_module

        return getattr(import_module("picme.study"), name)
    raise AttributeError(f"module 'picme' has no attribute {name!r}")
