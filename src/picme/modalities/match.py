"""Where the variables of a model come from in the stays of another source."""

from __future__ import annotations

from typing import NamedTuple


class Match(NamedTuple):
    """Where a variable of a model comes from in another source.

    Attributes:
        variable: as the model calls it.
        modality, given: the other source's modality and its name there; None where it is absent.
        converted: how its values were changed, in words; None if they were not.
        stays: stays of the view in which it is known.
    """

    variable: str
    modality: str | None = None
    given: str | None = None
    converted: str | None = None
    stays: int = 0
