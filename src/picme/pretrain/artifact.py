"""The artifact of a pretraining: written from what training left, and its encoders read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from safetensors.torch import load_file, save_file

from picme.fitting.device import peak_memory_mb
from picme.pretrain.matching import matches_itself
from picme.pretrain.model import ModalityEncoders, embed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from picme.modalities.view import ViewData
    from picme.pretrain.features import Encoding
    from picme.pretrain.train import Trained

# A weight above this means that λ has all but chosen one modality.
DOMINANT = 0.8


def keep(trained: Trained, view: ViewData, combination: list[str], folder: Path) -> dict[str, Any]:
    """Write weights, history and held-out embeddings; return what the manifest says of them."""
    model, objective, result = trained.encoders, trained.whole, trained.result
    device = objective.log_temperature.device
    save_file(model.trainable_state(), folder / "encoders.safetensors")
    # What two parts of an objective share is here once.
    state = dict(trained.objective.named_parameters()) | dict(trained.objective.named_buffers())
    save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, folder / "objective.safetensors")
    _write_history(result.history, result.best_epoch, combination, folder)
    held_out = np.concatenate([view.usable(combination, split, at_least=2) for split in ("val", "test")])
    np.save(folder / "rows.npy", held_out)
    np.save(folder / "present.npy", view.present(combination)[held_out])
    np.save(folder / "embeddings.npy", embed(model, view, held_out, device))
    for left in folder.glob("state.*"):
        left.unlink()
    weights = learnt_weights(objective)
    return {
        "encoders": model.manifest(),
        "weights": weights,
        "warning": dominance(weights, combination),
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "val_recall5": result.history[result.best_epoch]["val_recall5"],
        "matched_by": "objective" if matches_itself(objective) else "pairs",
        "train_seconds": round(result.seconds, 3),
        "earlier_seconds": 0.0,
        "peak_memory_mb": round(peak_memory_mb(device), 1),
        "parameters": sum(p.numel() for part in (model, objective) for p in part.parameters() if p.requires_grad),
        "device": device.type,
    }


def _write_history(history: list[dict[str, Any]], best: int, combination: list[str], folder: Path) -> None:
    rows = [
        {k: v for k, v in row.items() if k not in {"weights", "score"}} | {"selected": row["epoch"] == best}
        for row in history
    ]
    pl.DataFrame(rows).with_columns(pl.selectors.float().fill_nan(None)).write_parquet(folder / "history.parquet")
    lambdas = [
        {"epoch": row["epoch"], "modality": name, "weight": weight, "selected": row["epoch"] == best}
        for row in history
        if row["weights"] is not None and len(combination) > 2
        for name, weight in zip(combination, row["weights"], strict=True)
    ]
    schema = {"epoch": pl.Int64, "modality": pl.String, "weight": pl.Float64, "selected": pl.Boolean}
    pl.DataFrame(lambdas, schema=schema).write_parquet(folder / "lambdas.parquet")


def learnt_weights(objective: torch.nn.Module) -> list[float] | None:
    """Return λ, rounded, where the objective has it."""
    weights = getattr(objective, "weights", None)
    return [round(float(value), 8) for value in weights().detach().cpu()] if callable(weights) else None


def dominance(weights: list[float] | None, combination: list[str]) -> str | None:
    """Return a sentence where λ of three modalities or more has all but chosen one."""
    if weights is None or len(combination) == 2 or max(weights) <= DOMINANT:
        return None
    top = combination[int(np.argmax(weights))]
    return f"{'+'.join(combination)}: λ of {top} is {max(weights):.2f}; the objective all but ignores the others"


def load_encoders(artifact: Path, encodings: Sequence[Encoding], view: ViewData) -> ModalityEncoders:
    """Load the encoders of a finished pretraining."""
    model = ModalityEncoders(encodings, view, seed=0)
    model.load_trainable(load_file(artifact / "encoders.safetensors"))
    return model.eval()
