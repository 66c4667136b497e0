"""Restriction of a shared pretraining to one combination, in the files that a pretraining of its own would leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
from safetensors.torch import load_file, save_file

from picme.pretrain.artifact import dominance
from picme.pretrain.matching import matches_itself, validation_recall
from picme.pretrain.model import SHARED

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.objectives.subsets import SubsetObjective
    from picme.pretrain.step import Restricted

# λ is kept to eight digits, so that one of 0 is at most about this.
LEAST = 1e-8


def restrict(step: Restricted, folder: Path, context: Context) -> dict[str, Any]:
    """Keep the combination's encoders, λ, snapshots and held-out embeddings of a finished shared pretraining."""
    artifact, known = context.store.path(step.whole), context.store.manifest(step.whole)
    combination = list(step.combination)
    places = [step.whole.combination.index(name) for name in combination]
    weights = renormalised(known["weights"], places)
    state = load_file(artifact / "encoders.safetensors")
    names = {*combination, SHARED}
    save_file(
        {key: value for key, value in state.items() if key.partition(".")[0] in names}, folder / "encoders.safetensors"
    )
    lambdas = pl.read_parquet(artifact / "lambdas.parquet").filter(pl.col("modality").is_in(combination))
    share = pl.col("weight").clip(LEAST)
    lambdas.with_columns(weight=share / share.sum().over("epoch")).write_parquet(folder / "lambdas.parquet")
    present = np.load(artifact / "present.npy")[:, places]
    taking = present.sum(axis=1) >= 2
    rows, embeddings = np.load(artifact / "rows.npy")[taking], np.load(artifact / "embeddings.npy")[places][:, taking]
    np.save(folder / "rows.npy", rows)
    np.save(folder / "present.npy", present[taking])
    np.save(folder / "embeddings.npy", embeddings)
    (folder / "snapshots").mkdir(exist_ok=True)
    for file in sorted((artifact / "snapshots").glob("*.npz")):
        with np.load(file) as kept:
            part = {"present": kept["present"][:, places], "values": kept["values"][places]}
            np.savez(folder / "snapshots" / file.name, epoch=kept["epoch"], rows=kept["rows"], **part)
    return {
        "combination": combination,
        "seed": step.seed,
        "encoders": {name: known["encoders"][name] for name in combination},
        "weights": weights,
        "warning": dominance(weights, combination),
        "best_epoch": known["best_epoch"],
        **_matching(step, context, places, rows, present[taking], embeddings),
    }


def renormalised(weights: list[float], places: list[int]) -> list[float]:
    """Return λ of a subset from λ of all modalities: the softmax of the members' logits."""
    kept = np.maximum(np.array(weights)[places], LEAST)
    return [float(value) for value in kept / kept.sum()]


def _matching(
    step: Restricted,
    context: Context,
    places: list[int],
    rows: np.ndarray,
    present: np.ndarray,
    embeddings: np.ndarray,
) -> dict[str, Any]:
    """Return what tells how well the combination is aligned: its objective's own recall, where it has one."""
    shared = cast("SubsetObjective", step.whole.pretraining.objectives()[0])
    objective, _ = shared.of(places)
    if not matches_itself(objective):
        return {"matched_by": "pairs"}
    shared.load_state_dict(load_file(context.store.path(step.whole) / "objective.safetensors"), strict=False)
    objective.load_state_dict(shared.of(places)[1], strict=False)
    views = context.store.path(step.pretraining.prepare) / "views"
    split_of = pl.read_parquet(views / "pretrain" / "cohort.parquet", columns=["split"])["split"].to_numpy()
    val = split_of[rows] == "val"
    recall = validation_recall(objective, embeddings[:, val], present[val], step.pretraining.validation)
    return {"matched_by": "objective", "val_recall5": recall}
