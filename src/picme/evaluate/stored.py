"""A cell's result in a file, as the tables of its task read it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from picme.evaluate.intervals import METRICS, Estimate
from picme.evaluate.summary import CellResult

if TYPE_CHECKING:
    from pathlib import Path

ESTIMATES = ("single", "ensemble", "validation")
PLAIN = ("task", "combination", "strategy", "n_seeds", "seed_auroc", "defined")


def save_result(result: CellResult, file: Path) -> None:
    """Write a result to an `.npz` file."""
    found: dict[str, Any] = {name: getattr(result, name) for name in PLAIN}
    found |= {f"per_seed/{name}": values for name, values in result.per_seed.items()}
    for part in ESTIMATES:
        for name, estimate in getattr(result, part).items():
            held = {one.name: getattr(estimate, one.name) for one in fields(Estimate)}
            held["seeds"] = np.reshape(held["seeds"], (-1, 2))
            found |= {f"{part}/{name}/{key}": value for key, value in held.items() if value is not None}
    np.savez(file, **found)


def load_result(file: Path) -> CellResult:
    """Read what `save_result` wrote."""
    with np.load(file) as saved:
        found: dict[str, Any] = {name: saved[name] for name in saved.files}
    found = {name: value if value.ndim else value.item() for name, value in found.items()}

    def estimate(start: str) -> Estimate:
        held = {name.removeprefix(start): value for name, value in found.items() if name.startswith(start)}
        return Estimate(**{**held, "seeds": tuple(map(tuple, held["seeds"].tolist()))})

    parts: dict[str, Any] = {name: found[name] for name in PLAIN}
    parts["per_seed"] = {name: found[f"per_seed/{name}"] for name in METRICS}
    parts |= {part: {name: estimate(f"{part}/{name}/") for name in METRICS} for part in ESTIMATES}
    return CellResult(**parts)
