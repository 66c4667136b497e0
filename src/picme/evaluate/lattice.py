"""The lattice of subsets: what combinations of modalities score, and what follows from that as weighted sums.

What a modality is worth, what two are worth together, and what a combination scores are all sums Σ w(S) v(S) over the
subsets S of the modalities, where v(S) is a metric of the models that read S. So each is estimated alike: in the same
resamples of subjects for every subset, and for every seed by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from picme.evaluate.intervals import Estimate, mean_over_seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.evaluate.shapley import Weights


@dataclass(frozen=True)
class Lattice:
    """A metric of the models of every subset of the modalities, on the same stays.

    Attributes:
        names: the modalities.
        like: an estimate of one subset's metric, which has the metric's name and the sizes of its classes.
        values: (seed, subset) the metric, subsets in the order of `places`.
        drawn: (seed, subset, resample) the same in each resample of subjects.
        seeded: whether another seed gives other models.
        draws: draws of encoders that the seeds take in turn; see `over_seeds`.
    """

    names: tuple[str, ...]
    like: Estimate
    values: NDArray[np.float64] = field(repr=False)
    drawn: NDArray[np.float64] = field(repr=False)
    seeded: bool = True
    draws: int = 0

    @property
    def places(self) -> dict[frozenset[str], int]:
        """The place of each subset, the empty one first: its modalities as the bits of a number."""
        return {
            frozenset(name for bit, name in enumerate(self.names) if number >> bit & 1): number
            for number in range(2 ** len(self.names))
        }

    def sum(self, weights: Weights, difference: bool = True) -> Estimate:
        """Estimate a weighted sum over the subsets, of single models, with the error of subjects and of seeds.

        Args:
            weights: the weights of the subsets.
            difference: whether it is a difference of metrics, which may be below 0, or a metric.
        """
        places = self.places
        chosen, by = [places[one] for one in weights], np.array(list(weights.values()))
        values, drawn = self.values[:, chosen] @ by, np.einsum("w,swr->sr", by, self.drawn[:, chosen])
        return mean_over_seeds(self.like, values, drawn, self.seeded, self.draws, difference)
