"""Contrastive objectives (losses), one per module, all with the same signature.

`loss, info = objective(embeddings, present)` with embeddings (modality, batch, dim) and present (batch, modality) bool
or None. `loss` is a scalar; `info` holds detached diagnostics: `terms`, `weights` and `counts` of the objective's terms
(one for each modality or pair) and `temperature`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.errors import naming
from picme.registry import Registry

if TYPE_CHECKING:
    from picme.config.base import Component
    from picme.objectives.all_pairs import AllPairs
    from picme.objectives.base import Objective
    from picme.objectives.confu import ConFu
    from picme.objectives.gated_symile import GatedSymile
    from picme.objectives.gradcache import cached_backward
    from picme.objectives.gram import GRAM
    from picme.objectives.infonce import InfoNCE
    from picme.objectives.ovo import OneVersusOthers
    from picme.objectives.released_ovo import ReleasedOvO
    from picme.objectives.siglip import SigLIP
    from picme.objectives.symile import Symile

__all__ = [
    "GRAM",
    "OBJECTIVES",
    "AllPairs",
    "ConFu",
    "GatedSymile",
    "InfoNCE",
    "Objective",
    "OneVersusOthers",
    "ReleasedOvO",
    "SigLIP",
    "Symile",
    "build",
    "cached_backward",
]

OBJECTIVES = Registry(
    "objectives",
    {
        "infonce": "picme.objectives.infonce:InfoNCE",
        "all_pairs": "picme.objectives.all_pairs:AllPairs",
        "ovo": "picme.objectives.ovo:OneVersusOthers",
        "released_ovo": "picme.objectives.released_ovo:ReleasedOvO",
        "symile": "picme.objectives.symile:Symile",
        "gated_symile": "picme.objectives.gated_symile:GatedSymile",
        "gram": "picme.objectives.gram:GRAM",
        "confu": "picme.objectives.confu:ConFu",
        "siglip": "picme.objectives.siglip:SigLIP",
    },
)

# Classes are imported on first access, so that reading the names of objectives does not import torch.
_LAZY = {
    **{target.partition(":")[2]: target.partition(":")[0] for target in OBJECTIVES.builtin.values()},
    "Objective": "picme.objectives.base",
    "cached_backward": "picme.objectives.gradcache",
}


def build(config: Component, n_modalities: int, embed_dim: int = 256) -> Objective:
    """Build the objective that a configuration names.

    Args:
        config: the objective's section.
        n_modalities: how many modalities it compares.
        embed_dim: size of their embeddings; it matters where the objective has parameters of that size.

    Raises:
        ConfigError: if no objective has that name, or it does not take that many modalities.
    """
    with naming(f"building objective {config.name!r}"):
        kind = OBJECTIVES.load(config.name)
        sizes = {"embed_dim": embed_dim} if getattr(kind, "takes_embed_dim", False) else {}
        objective: Objective = kind.from_config(config, n_modalities=n_modalities, **sizes)
    return objective


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
