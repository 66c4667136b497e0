"""The locked part of one modality's encoder, run once over the unique items of the data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from picme.config.loading import validate
from picme.modalities import open_modality
from picme.pretrain.trunk_cache import cache_features
from picme.store import Store
from picme.training import resolve_device

CACHE = "cache"


def features(run: str, config: dict[str, Any], modality: str, key: str, prepared: str) -> None:
    """Keeps the trunk's output for every item of a modality's pool."""
    study = validate(config)
    section = study.modalities[modality]
    with Store(Path(run)).create("features", key, {"modality": modality}) as folder:
        opened: Any = open_modality(
            section.kind,
            Path(prepared) / "views" / "pretrain" / modality,
            Path(prepared) / "pool" / modality,
            section.encoder,
        )
        device = resolve_device(study.execution.device)
        cache_features(
            opened, section.encoder, opened.spec(), folder / CACHE, device=str(device), precision=study.study.precision
        )
