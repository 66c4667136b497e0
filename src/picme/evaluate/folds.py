"""Cross-fitting: fine-tunings and cohorts of several folds taken together, each stay tested by models of one fold."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from picme.engine.store import Store
    from picme.finetune.cell import Cell
    from picme.finetune.step import Finetune
    from picme.prepare.step import Prepare


def divided_cohort(folds: Sequence[Prepare], task: str, store: Store) -> pl.DataFrame:
    """Return a task's cohort as each fold divides it, one below the other.

    With folds every stay is in `test` once, in `val` once, and otherwise in `train`.
    """
    import polars as pl

    return pl.concat(pl.read_parquet(store.path(fold) / "views" / task / "cohort.parquet") for fold in folds)


def largest_cell(finetuned: Iterable[Finetune]) -> Cell:
    """Return the cell of the most modalities; of several folds, the first one's."""
    return max((one.cell for one in finetuned), key=lambda cell: len(cell.encodings))


def by_fold(finetuned: Iterable[Finetune]) -> list[list[Finetune]]:
    """Group fine-tunings by the fold that they are tested on."""
    groups: dict[int, list[Finetune]] = {}
    for one in finetuned:
        groups.setdefault(one.cell.prepare.fold, []).append(one)
    return [groups[fold] for fold in sorted(groups)]


def in_every_fold(finetuned: Sequence[Finetune], folds: int) -> list[Finetune]:
    """Return the fine-tunings whose like is there in every one of so many folds, so that no stay goes untested."""

    def like(one: Finetune) -> tuple[object, ...]:
        return (*one.cell.place.values(), one.seed, one.share, one.order, one.trained_on)

    counted = Counter(map(like, finetuned))
    return [one for one in finetuned if counted[like(one)] == folds]
