"""Match of the variables of a model with those of another source's stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from picme.errors import DataError
from picme.modalities.quantities import plain_name, quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np


class Match(NamedTuple):
    """The place in another source from which a variable of a model comes.

    Attributes:
        variable: as the model calls it.
        modality, given: the other source's modality and its name there; None where it is absent.
        converted: how its values were changed, in words; None if they were not.
        known: (stay,) bool, the stays of the view in which it is known; None where it is absent.
    """

    variable: str
    modality: str | None = None
    given: str | None = None
    converted: str | None = None
    known: np.ndarray | None = None


def find_variables(wanted: Sequence[str], own: str, offered: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    """Find the variables of a model's modality among those of another source by name.

    The very name goes before the same name in another spelling (case, punctuation, unit), and that before a synonym;
    within each, the modality of the same name goes before the others. A name of the other source stands for one
    variable only. Of a name that several modalities have, the first modality's is taken.

    Args:
        wanted: variables of the model.
        own: name of the model's modality.
        offered: modality of the other source → its variables.

    Returns:
        variable → modality and name in the other source, of those that are there.

    Raises:
        DataError: if several names of the other source may be one variable, or one name several variables.
    """
    order = sorted(offered, key=lambda modality: modality != own)
    found: dict[str, tuple[str, str]] = {}
    for alike in (str, plain_name, lambda name: quantity(name).name):
        used = {name for _, name in found.values()}
        near: dict[str, tuple[str, str]] = {}
        for variable in wanted:
            if variable in found:
                continue
            fits = [
                (modality, name)
                for modality in order
                for name in offered[modality]
                if name not in used and alike(name) == alike(variable)
            ]
            fits = [one for one in fits if one[0] == own] or fits
            names = list(dict.fromkeys(name for _, name in fits))
            if len(names) > 1:
                raise DataError(
                    f"the model's {variable!r} may be {_listed(names)} of the other source; "
                    f"give the one that is meant the name {variable!r}"
                )
            if fits:
                near[variable] = fits[0]
        for name in dict.fromkeys(name for _, name in near.values()):
            rivals = [variable for variable in near if near[variable][1] == name]
            if len(rivals) > 1:
                raise DataError(
                    f"{name!r} of the other source may be the model's {_listed(rivals)}; "
                    "give it the name of the one that is meant"
                )
        found |= near
    return found


def _listed(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in sorted(names))
