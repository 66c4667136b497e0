"""picme: which clinical data types are worth combining, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picme import compare
    from picme.study import Study, load, run

__all__ = ["Study", "__version__", "compare", "load", "run"]

__version__ = "0.1.0"


# Imported when asked for: `picme --help` and `picme plan` need neither polars nor torch.
_LAZY = ("Study", "load", "run")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module("picme.study"), name)
    if name == "compare":
        return import_module("picme.compare")
    raise AttributeError(f"module 'picme' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
