"""Suppression of the cells of a table of counts that are small, or that could be had of small ones by subtraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Equation = tuple[NDArray[np.integer], int | None]
    """Cells that add up to another one, by their places; None for a total that is told in any case."""


def hidden(
    counts: NDArray[np.integer],
    least: Sequence[int],
    equations: Sequence[Equation],
    secret: NDArray[np.bool_] | None = None,
    totals: bool = False,
) -> NDArray[np.bool_]:
    """Return which cells are not told (cell,).

    A cell is hidden if one of its counts is below the least, unless all are zero. The smallest others of an equation
    are hidden with it as long as a hidden cell follows from what is told, or hidden cells whose sum is told do not
    reach the least counts together.

    Args:
        counts: (cell, measure), such as stays, and subjects with and without the outcome.
        least: the least count of each measure (measure,).
        equations: which cells add up to which.
        secret: cells that are hidden in any case (cell,).
        totals: whether the total of an equation is hidden rather than another part, where it is a cell.
    """
    there: NDArray[np.bool_] = np.asarray((counts > 0).any(axis=1))
    found: NDArray[np.bool_] = np.asarray((counts < np.asarray(least)).any(axis=1) & there)
    if secret is not None:
        found |= secret & there
    sums = np.zeros((len(equations), len(counts)))
    for row, (members, total) in enumerate(equations):
        sums[row, members] = 1
        if total is not None:
            sums[row, total] = -1
    while found.any():
        known: NDArray[np.bool_] = np.zeros(len(counts), dtype=bool)
        # A cell follows from the others if its unit vector is a combination of the equations' rows.
        part = sums[:, found]
        known[found] = np.isclose(np.diag(np.linalg.pinv(part) @ part), 1)
        for row, (members, total) in enumerate(equations):
            unknown, others = members[found[members]], members[~found[members] & there[members]]
            told = len(unknown) > 0 and (total is None or not found[total])
            short = told and bool((counts[unknown].sum(axis=0) < np.asarray(least)).any())
            if totals and total is not None and not found[total]:
                others = np.array([total])
            if len(others) and (short or bool(known[sums[row] != 0].any())):
                found[others[np.argmin(counts[others, 0])]] = True
                break
        else:
            break
    return found
