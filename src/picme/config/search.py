"""Configuration of the search of learning rate and batch size."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from picme.config.base import Section
from picme.config.bounds import Batch, Epochs


class SearchConfig(Section):
    """Search of learning rate and batch size on validation stays, with seed 0."""

    trials: Epochs = Field(20, ge=1)
    """Optuna trials of each search: for pretraining each combination that is searched on, for fine-tuning each task,
    combination and strategy."""
    learning_rates: tuple[float, float] = (1e-6, 1e-2)
    """Lowest and highest learning rate; trials draw log-uniformly between them."""
    batch_sizes: tuple[Batch, ...] = (16, 32, 64, 128)
    """Batch sizes to choose from."""

    @field_validator("learning_rates")
    @classmethod
    def _upwards(cls, rates: tuple[float, float]) -> tuple[float, float]:
        if not 0 < rates[0] <= rates[1]:
            raise ValueError(f"the lowest comes first, and both are above 0, not {rates[0]:g} and {rates[1]:g}")
        return rates

    @field_validator("batch_sizes")
    @classmethod
    def _two_or_more(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes or min(sizes) < 2:
            raise ValueError("each batch size is 2 or more")
        return sizes


# The discriminator picks the type before pydantic checks the value: a mistake in a section is then reported as such,
# and not with "expected 'off'".
Search = Annotated[
    Annotated[Literal["off"], Tag("'off'")] | Annotated[SearchConfig, Tag("SearchConfig")],
    Discriminator(lambda value: "'off'" if isinstance(value, str) else "SearchConfig"),
]
