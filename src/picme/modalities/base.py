"""Base classes of the kinds of modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from picme.errors import DataError
from picme.modalities.match import Match
from picme.modalities.summaries import no_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl
    import torch

    from picme.config.base import Component
    from picme.modalities.summaries import Summary
    from picme.schema import Rows


class Misfit(NamedTuple):
    """A difference of new stays from training stays: `what` continues "modality 'x': ", and `far` is too far."""

    what: str
    far: bool = True


def missing_or_order(lacking: Sequence[str]) -> str:
    """Say how columns differ from a model's, naming the model's alone: others may be words of a file."""
    return f"without {lacking[0]!r}" if lacking else "more of them or in another order"


class Modality(ABC):
    """One modality of one view: rows are the view's stays, in its order.

    Arrays are memory-mapped, and pickling an instance stores only the arguments that open it again, so that loader
    workers share the pages of one file rather than hold copies of patient data.
    """

    default_encoder: ClassVar[str]
    """Name of the encoder that is used where the configuration names none."""

    present: np.ndarray
    """Presence of the modality (stay,), bool."""
    lengths: np.ndarray | None = None
    """Hours or tokens of each stay (stay,), for batches of similar length; None where all entries are of one size."""

    @staticmethod
    @abstractmethod
    def write_views(rows: Mapping[str, Rows], folders: Mapping[str, Path], pool: Path, **options: Any) -> pl.DataFrame:
        """Write one modality of several views; see `modalities.write_views`."""

    @classmethod
    def write(cls, rows: Rows, folder: Path, pool: Path, **options: Any) -> pl.DataFrame:
        """Write one view; return a table (reason, count) of what was left out."""
        return cls.write_views({"view": rows}, {"view": folder}, pool, **options)

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, pool: Path) -> Self:
        """Open what `write` stored.

        Raises:
            DataError: if files are missing or damaged.
        """

    def for_encoder(self, encoder: Component) -> Self:
        """Return the modality prepared for an encoder (text: tokenised)."""
        return self

    def fit(self, train_rows: np.ndarray) -> dict[str, Any]:
        """Compute statistics of the training stays alone, as plain values; empty where the kind needs none."""
        return {}

    def with_statistics(self, statistics: Mapping[str, Any]) -> Self:
        """Return the modality normalised with the statistics that `fit` returned."""
        return self

    def tokens_read(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the tokens of each stay (stay,), and how many of them its encoder reads; None where nothing is cut."""
        return None

    def misfits(self, statistics: Mapping[str, Any], rows: np.ndarray) -> Iterator[Misfit]:
        """Yield how some stays (their indices) do not fit the statistics of a model's training stays.

        Columns, types, categories and units are compared, none of which an encoder would notice.
        """
        return iter(())

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Return the sizes that the encoder has to know, as plain values."""

    @abstractmethod
    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return tensors of some stays, padded to their longest; an absent row is a minimal valid entry, never NaN."""

    def plain(self, rows: np.ndarray) -> pl.DataFrame:
        """Return what some stays show in plain columns for the leakage audit: numbers, words, null where absent."""
        import polars as pl

        return pl.DataFrame()

    def learn_summary(self, train_rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return what training stays tell of how stays are summarised, beside `fit`; empty where nothing is learnt."""
        return {}

    def summary(self, learnt: Mapping[str, np.ndarray]) -> Summary:
        """Return all stays in plain columns, for models without encoders; a kind may have none.

        Args:
            learnt: what `learn_summary` returned.
        """
        return no_summary(len(self))

    def described(self, rows: np.ndarray) -> pl.DataFrame:
        """Return plain columns by which stays of two hospitals are compared; those of `plain` if a kind has no own."""
        return self.plain(rows)

    def conform(
        self, statistics: Mapping[str, Any], own: str, given: Mapping[str, Self]
    ) -> tuple[Rows | None, list[Match]]:
        """Return new stays in the form of this modality of a model, and where each of its variables came from.

        A kind without named variables takes the modality of the same name, or the only one there is, as it is.

        Args:
            statistics: the statistics of the training stays.
            own: the name of this modality.
            given: the modalities of the new stays that are of this kind, of one view.

        Returns:
            None in place of rows if the modality that the first match names is taken as it is.

        Raises:
            DataError: if a variable does not fit.
        """
        taken = own if own in given else next(iter(given)) if len(given) == 1 else None
        if taken is None:
            return None, [Match(own)]
        return None, [Match(own, taken, taken, None, np.asarray(given[taken].present, dtype=bool))]

    def words(self, rows: np.ndarray) -> list[str | None]:
        """Return the texts of some stays for the leakage audit, None where absent; empty if the kind has no text."""
        return []

    def __len__(self) -> int:
        return len(self.present)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild, (type(self), self._recipe())

    def _recipe(self) -> tuple[Any, ...]:
        """Return the arguments from which `_from_recipe` opens the modality again."""
        raise NotImplementedError

    @classmethod
    def _from_recipe(cls, *recipe: Any) -> Modality:
        raise NotImplementedError


class PooledModality(Modality):
    """A modality whose entries are items of a pool shared by the views: unique texts or images."""

    index: np.ndarray
    """Item of the pool for each stay (stay,), int64; -1 where absent."""
    n_items: int
    item_lengths: np.ndarray | None = None
    """Tokens of each item (item,); None where all items are of one size."""
    pool_digest: str
    """Hash of the pool's content."""

    @abstractmethod
    def item_batch(self, items: np.ndarray) -> dict[str, torch.Tensor]:
        """Return tensors of some items of the pool; -1 gives the minimal valid entry."""

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:  # noqa: D102
        return self.item_batch(self.index[rows])


def _rebuild(kind: type[Modality], recipe: tuple[Any, ...]) -> Modality:
    return kind._from_recipe(*recipe)


def load_array(path: Path, mapped: bool = True) -> np.ndarray:
    """Load an array written by `prepare`, memory-mapped unless `mapped` is false.

    Raises:
        DataError: if the file is missing or damaged.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read: expected an array written by `prepare`") from error
    return array
