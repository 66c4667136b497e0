"""A modality's way into a model: its encoder, and the step that runs the encoder's locked part once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from picme.engine.step import ALL_CORES, Context, Gpu, Part, Step
from picme.prepare.step import Prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from picme.engine.store import Store
    from picme.modalities.view import ViewData

CACHE = "cache"


class Features(Step):
    """The output of the locked part of a modality's encoder for every item of the data set's pool."""

    kind: ClassVar[str] = "features"
    stage: ClassVar[str] = "encode"
    cores: ClassVar[int] = ALL_CORES
    uncounted: ClassVar[tuple[str, ...]] = ("encoder",)

    prepare: Prepare
    modality: str
    encoder: Any
    trunk: str
    """Identity of the encoder's locked part: its settings, and the files of its weights."""
    precision: str
    code: str | None = None
    """Hash of the encoder's source code, where another package supplies it."""

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "whole"

    @property
    def timed(self) -> bool:  # noqa: D102
        return True

    @property
    def name(self) -> str:  # noqa: D102
        return self.modality

    @property
    def labels(self) -> dict[str, str | None]:  # noqa: D102
        return {"combination": self.modality}

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        """Keep the locked part's output; what was computed before a kill is reused."""
        from picme.fitting.device import resolve_device
        from picme.modalities import open_modality
        from picme.pretrain.trunk_cache import cache_features

        prepared = context.store.path(self.prepare)
        place, pool = prepared / "views" / "pretrain" / self.modality, prepared / "pool" / self.modality
        opened: Any = open_modality(self.prepare.kind_of(self.modality)[0], place, pool, self.encoder)
        device = str(resolve_device(context.device))
        cache_features(opened, self.encoder, opened.spec(), folder / CACHE, device=device, precision=self.precision)
        return {"modality": self.modality}


class Encoding(Part):
    """One modality on its way into a model: its data, the encoder, and the output of the encoder's locked part."""

    modality: str
    kind: str
    encoder: Any
    """The encoder's section; None where no encoder is used, as by the baselines."""
    trunk: str | None
    """Identity of the weights that the encoder starts from."""
    embed_dim: int
    shared: bool
    """True if one projection follows that all modalities share."""
    precision: str
    features: Features | None
    """The step that ran the locked part; None where the encoder has none."""
    code: str | None = None
    """Hash of the encoder's source code, where another package supplies it."""

    @property
    def reads_series(self) -> bool:
        """True if the encoder reads a time series itself, so that a part of it can be hidden from the encoder."""
        return self.kind == "timeseries" and self.features is None

    @property
    def large(self) -> bool:
        """True if a large network is trained."""
        return bool(getattr(self.encoder, "large", False))

    @property
    def cost(self) -> float:
        """The relative cost of training: what is not locked dominates."""
        return 0.1 if self.features is not None else 1.0


def open_encoded(prepare: Prepare, view: str, encodings: Sequence[Encoding], store: Store) -> ViewData:
    """Open one view of a prepared cohort with the modalities of some encodings, memory-mapped.

    Args:
        prepare: the step that made the cohort.
        view: a task, or `pretrain`.
        encodings: the encodings of the modalities.
        store: where the artifacts are.
    """
    from picme.modalities.view import ViewData

    features = {one.modality: store.path(one.features) / CACHE for one in encodings if one.features is not None}
    named = {one.modality: one for one in encodings}
    return ViewData(store.path(prepare.arrays), view, named, features, divided=store.path(prepare))
