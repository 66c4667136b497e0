"""A modality that no stay of a view has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.modalities.base import Modality
    from picme.modalities.summaries import Summary


class AbsentModality:
    """A modality of a model that a cohort lacks: it tells an encoder its sizes, no stay has it, and it is never read.

    Args:
        like: the modality as the model was trained on it.
        stays: number of stays of the cohort.
    """

    lengths = None

    def __init__(self, like: Modality, stays: int) -> None:
        self.present, self._like = np.zeros(stays, dtype=bool), like

    def spec(self) -> dict[str, Any]:
        """Return the sizes that the encoder has to know, as plain values."""
        return self._like.spec()

    def summary(self, learnt: Mapping[str, np.ndarray]) -> Summary:
        """Return the model's features of the modality, each as it is for a stay that lacks it."""
        like = self._like.summary(learnt)
        return like._replace(values=np.tile(like.blank, (len(self.present), 1)))
