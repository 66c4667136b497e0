"""Shared parts of the encoders of series: the roles of columns, what stands beside a network, pooling of states."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from picme.encoders.base import Encoder, masked_mean, projection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import SeriesConfig, StatesConfig

DAY = 24.0
# The time since the last measurement is capped here (days), so that "long ago" and "never" look the same.
MAX_SINCE = 2.0
STATISTICS = 6
# Minima and maxima can lie tens of standard deviations out; without a limit they would dominate a linear map.
SUMMARY_LIMIT = 3.0


class Columns:
    """Roles of a series' columns.

    Attributes:
        n: number of columns.
        values: indices of the columns that hold a variable's value.
        masks: for each value, the index of the column that is 1 where it was measured; -1 where it always is.
        unknown_since: masks of variables for which the series does not say how long ago they were measured.
        since: for each value, the index of the column with the days since it was measured; -1 where there is none.
        variable: for each column, the number of the variable it belongs to.
        never: for each column, the value it holds while its variable has never been measured.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.n = int(spec["n_columns"])
        self.values: list[int] = list(spec.get("values", range(self.n)))
        self.masks: list[int] = list(spec.get("masks", [-1] * len(self.values)))
        self.since: list[int] = list(spec.get("since", [-1] * len(self.values)))
        found = [mask for mask, other in zip(self.masks, self.since, strict=True) if mask >= 0 and other < 0]
        self.unknown_since: list[int] = list(dict.fromkeys(found))
        # Columns with the same mask are one variable, so the categories of a variable are dropped together.
        owner = list(range(self.n))
        self.never = [0.0] * self.n
        for value, mask, other in zip(self.values, self.masks, self.since, strict=True):
            owner[value] = mask if mask >= 0 else value
            if other >= 0:
                owner[other], self.never[other] = owner[value], MAX_SINCE
        numbers = {column: number for number, column in enumerate(sorted(set(owner)))}
        self.variable: list[int] = [numbers[column] for column in owner]

    def measured(self, values: Tensor) -> Tensor:
        """Return (batch, hour, value column), 1 where measured, for `values` (batch, hour, column)."""
        # An extra column of ones at the end, index -1, stands for a value that is always measured.
        return torch.cat([values, values.new_ones(*values.shape[:2], 1)], dim=-1)[..., self.masks]


class SeriesNetwork(Encoder):
    """Base class of the encoders of series: `values` (batch, hour, column), `lengths` (batch,) → (batch, embed_dim).

    A subclass turns the hours into one vector. It is joined with a summary of the values where the configuration asks
    for one, and projected to the embedding. What a batch holds beyond a series' end has no influence.
    """

    config: SeriesConfig

    def __init__(self, config: SeriesConfig, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, embed_dim)
        self.columns = Columns(spec)
        self.with_summary, self.variable_dropout = config.summary, config.variable_dropout
        self.dropout = nn.Dropout(config.dropout)

    @classmethod
    def from_config(cls, config: Any, spec: Mapping[str, Any], embed_dim: int) -> SeriesNetwork:  # noqa: D102
        return cls(config, spec, embed_dim)

    def project_from(self, width: int) -> None:
        """Add the projection, once the subclass knows the size of the vector that `pooled` returns."""
        size = width + (STATISTICS * len(self.columns.values) if self.with_summary else 0)
        self.projection = projection(self.config.projection, size, self.embed_dim)

    @abstractmethod
    def pooled(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Turn the hours into one vector: (batch, hour, column), (batch,) → (batch, width)."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        values, lengths = self.some_variables(batch["values"]), batch["lengths"].to(batch["values"].device)
        vector = self.dropout(self.pooled(values, lengths))
        if self.with_summary:
            found = summary(values[..., self.columns.values], self.columns.measured(values), lengths)
            vector = torch.cat([vector, found], dim=-1)
        embeddings: Tensor = self.projection(vector)
        return embeddings.float()

    def some_variables(self, values: Tensor) -> Tensor:
        """Hide some variables of each stay in training, as if they had never been measured; else return `values`."""
        if not self.training or not self.variable_dropout:
            return values
        variable = torch.tensor(self.columns.variable, device=values.device)
        dropped = torch.rand(len(values), max(self.columns.variable) + 1, device=values.device) < self.variable_dropout
        return torch.where(dropped[:, None, variable], values.new_tensor(self.columns.never), values)


class SeriesStates(SeriesNetwork):
    """Base class of the encoders with a state at every hour, which a subclass computes.

    The states are pooled over each series' own hours (`lengths` (batch,)).
    """

    config: StatesConfig

    def __init__(self, config: StatesConfig, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, spec, embed_dim)
        self.pooling = config.pooling
        self.with_since = bool(getattr(config, "time_since", False)) and bool(self.columns.unknown_since)

    @property
    def n_inputs(self) -> int:
        """Return the number of columns that `inputs` returns."""
        return self.columns.n + (len(self.columns.unknown_since) if self.with_since else 0)

    def project_from(self, width: int) -> None:
        """Add the projection, once the subclass knows the size of its states."""
        super().project_from(width * (3 if self.pooling == "all" else 1))

    @abstractmethod
    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the states at all hours (batch, hour, width), and that of each series' last one (batch, width)."""

    def inputs(self, values: Tensor) -> Tensor:
        """Return the columns and, if configured and not among them, the days since each variable was measured."""
        if not self.with_since:
            return values
        return torch.cat([values, days_since(values[..., self.columns.unknown_since])], dim=-1)

    def pooled(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Pool the hours: (batch, hour, column), (batch,) → (batch, width), three times the width for `all`."""
        states, last = self.states(values, lengths)
        if self.pooling == "last":
            return last
        within = hours_within(values, lengths)
        mean = masked_mean(states, within)
        if self.pooling == "mean":
            return mean
        highest = states.masked_fill(~within.unsqueeze(-1), float("-inf")).amax(dim=1)
        return highest if self.pooling == "max" else torch.cat([last, mean, highest], dim=-1)


def hours_within(values: Tensor, lengths: Tensor) -> Tensor:
    """Return (batch, hour) bool, true for the hours before each series' end."""
    return torch.arange(values.shape[1], device=values.device) < lengths.unsqueeze(1)


def at_end(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the state at each series' last hour: (batch, hour, width), (batch,) → (batch, width)."""
    return states[torch.arange(len(states), device=states.device), lengths.to(states.device) - 1]


def last_measured(measured: Tensor) -> Tensor:
    """Return the latest hour with a measurement so far, -1 before the first.

    Args:
        measured: (batch, hour, variable), above 0 where measured; the result has the same shape.
    """
    hour = torch.arange(measured.shape[1], device=measured.device)[:, None]
    return torch.where(measured > 0, hour, -1).cummax(dim=1).values


def days_since(measured: Tensor) -> Tensor:
    """Return the days since the last measurement: 0 in its hour, at most 2, and 2 before the first one.

    Args:
        measured: (batch, hour, variable), above 0 where measured; the result has the same shape.
    """
    last = last_measured(measured)
    hour = torch.arange(measured.shape[1], device=measured.device)[:, None]
    days = ((hour - last) / DAY).clamp(max=MAX_SINCE)
    return torch.where(last < 0, MAX_SINCE, days).to(measured.dtype)


def summary(values: Tensor, measured: Tensor, lengths: Tensor) -> Tensor:
    """Summarise each variable by the mean, minimum, maximum, first and last of its measured hours, and their share.

    A statistic is 0, a normalised value's mean, where nothing was measured; the share tells this from a measured 0.
    Statistics are clipped to ±3 (standard deviations, of a normalised value).

    Args:
        values: (batch, hour, variable).
        measured: (batch, hour, variable), above 0 where measured.
        lengths: (batch,) hours.

    Returns:
        (batch, 6 × variable): the means of all variables, then the minima, and so on.
    """
    seen = (measured > 0) & hours_within(values, lengths).unsqueeze(-1)
    count = seen.sum(dim=1)
    some = count > 0
    hour = torch.arange(values.shape[1], device=values.device)[:, None]
    first = torch.where(seen, hour, values.shape[1] - 1).amin(dim=1, keepdim=True)
    last = torch.where(seen, hour, 0).amax(dim=1, keepdim=True)
    found = [
        torch.where(seen, values, 0).sum(dim=1) / count.clamp(min=1),
        torch.where(seen, values, float("inf")).amin(dim=1),
        torch.where(seen, values, float("-inf")).amax(dim=1),
        values.gather(1, first).squeeze(1),
        values.gather(1, last).squeeze(1),
    ]
    share = count / lengths.unsqueeze(1)
    found = [torch.where(some, value, 0).clamp(-SUMMARY_LIMIT, SUMMARY_LIMIT) for value in found]
    return torch.cat([*found, share.to(values.dtype)], dim=-1)
