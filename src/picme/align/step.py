"""The step of the stage `align`: how well the modalities of a pretrained combination find one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from picme.config.combinations import label
from picme.engine.step import Context, Step
from picme.pretrain.step import Pretrain

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


class Align(Step):
    """The alignment of one combination's validation and test stays, and its t-SNE frames."""

    kind: ClassVar[str] = "align"
    stage: ClassVar[str] = "align"

    pretrain: Pretrain
    ks: tuple[int, ...]
    gallery: int
    draws: int
    batch_size: int
    """Stays in a training batch, which the metric `batch` searches in."""
    tsne_stays: int
    """Stays of the t-SNE frames; 0 for none."""

    @property
    def combination(self) -> tuple[str, ...]:
        """The modalities in the configuration's order."""
        return self.pretrain.combination

    @property
    def name(self) -> str:  # noqa: D102
        return label(self.combination)

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.align.measure import measure

        return measure(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        import polars as pl

        files = {"alignment": folder / "alignment.parquet", "tsne": folder / "tsne.parquet"}
        named = [pl.lit(self.name).alias("combination")]
        sized = [*named, pl.lit(len(self.combination)).alias("n_modalities")]
        place = {"alignment": sized, "tsne": named}
        return {
            name: pl.read_parquet(file).select(*place[name], pl.all()) for name, file in files.items() if file.is_file()
        }
