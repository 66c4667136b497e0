"""Embeddings of frozen encoders reach the head standardised by the training stays, or as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from picme.finetune.classifier import FrozenClassifier


class View:
    """Five stays with two modalities, of which one stay lacks the second."""

    def present(self, combination: Any) -> np.ndarray:
        return np.array([[True, True]] * 4 + [[True, False]])


EMBEDDED = np.random.default_rng(0).normal(3.0, 7.0, (2, 5, 4)).astype(np.float32)


def classifier(standardise: bool) -> FrozenClassifier:
    view: Any = View()
    return FrozenClassifier(("a", "b"), view, torch.device("cpu"), EMBEDDED, np.arange(3), standardise)


def test_standardised_embeddings_have_mean_zero_and_deviation_one_over_training_stays() -> None:
    found = classifier(True).embeddings(np.arange(3)).numpy()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-4)


def test_embeddings_as_they_are_are_not_touched_and_absent_ones_are_zero() -> None:
    found = classifier(False).embeddings(np.arange(5)).numpy()
    np.testing.assert_array_equal(found[:, 0], EMBEDDED[0])
    np.testing.assert_array_equal(found[:4, 1], EMBEDDED[1, :4])
    assert not found[4, 1].any()
