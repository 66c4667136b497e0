"""Modalities that are withheld from the stays of a cohort: the same of a subject for everything that is compared."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def draws(subjects: Iterable[Any], names: Sequence[str], seed: int) -> np.ndarray:
    """Return a number for each stay and modality, uniform in [0, 1): the same for all stays of a subject.

    A number depends on the seed, the subject and the modality's name alone, and on nothing else in the cohort.

    Args:
        subjects: the subject of each stay.
        names: the modalities.
        seed: another gives other numbers.

    Returns:
        (stay, modality) float64.
    """
    found: dict[Any, list[float]] = {}
    for subject in subjects:
        if subject not in found:
            keys = (f"{seed}\0{subject}\0{name}".encode() for name in names)
            # 53 bits are what a float holds exactly.
            found[subject] = [(int.from_bytes(blake2b(key, digest_size=8).digest()) >> 11) / 2**53 for key in keys]
    return np.array([found[subject] for subject in subjects], dtype=np.float64).reshape(-1, len(names))


def kept(present: np.ndarray, share: np.ndarray | float, drawn: np.ndarray) -> np.ndarray:
    """Return what stays keep of their modalities where a share is withheld; each keeps one of those it has.

    Whatever is withheld at a share is withheld at every greater one.

    Args:
        present: (stay, modality) bool, what the stays have.
        share: the probability of being withheld, of any shape that fits `present`.
        drawn: numbers from `draws`, of its shape.

    Returns:
        A mask (stay, modality) bool within `present`.
    """
    mask: np.ndarray = present & (drawn >= share)
    last = np.where(present, drawn, -1).argmax(axis=1)
    alone = present.any(axis=1) & ~mask.any(axis=1)
    mask[alone, last[alone]] = True
    return mask
