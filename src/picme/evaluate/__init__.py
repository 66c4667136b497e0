"""Metrics, intervals, comparisons, subgroups, calibration and attribution of a study's predictions.

Everything here reads the `predictions` table and cohort columns, never a model; only the module
`picme.evaluate.integrated_gradients` looks inside a head, and only it needs torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# At once, not when asked for: otherwise the submodule of the same name would stand in the function's place.
from picme.evaluate.shapley import interactions, shapley

if TYPE_CHECKING:
    from picme.evaluate.attribution import rank_agreement, shares
    from picme.evaluate.calibration import apply_calibration, fit_calibration
    from picme.evaluate.intervals import interval
    from picme.evaluate.tables import evaluate
    from picme.metrics.classification import auprc, auroc

_WHERE = {
    "auroc": "picme.metrics.classification",
    "auprc": "picme.metrics.classification",
    "evaluate": "picme.evaluate.tables",
    "interval": "picme.evaluate.intervals",
    "fit_calibration": "picme.evaluate.calibration",
    "apply_calibration": "picme.evaluate.calibration",
    "shares": "picme.evaluate.attribution",
    "rank_agreement": "picme.evaluate.attribution",
}

__all__ = [
    "apply_calibration",
    "auprc",
    "auroc",
    "evaluate",
    "fit_calibration",
    "interactions",
    "interval",
    "rank_agreement",
    "shapley",
    "shares",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'picme.evaluate' has no attribute {name!r}")
    module = import_module(_WHERE[name])
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
