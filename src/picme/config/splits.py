"""Configuration of the splits: how subjects are divided into training, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from picme.config.base import Section


class SplitsConfig(Section):
    """One division of subjects for all tasks."""

    kind: Literal["hash", "paper", "sets"] = "hash"
    """`hash`: by a hash of the subject id, stable when data is added. `paper`: the published benchmark's subject lists;
    pretraining on its training subjects, the rest divided 80/10/10 for fine-tuning. `sets`: the source's own sets."""
    train: float = Field(0.7, gt=0, lt=1)
    """Share of subjects for training (`hash`)."""
    val: float = Field(0.1, gt=0, lt=1)
    """Share of subjects for validation (`hash`); of the training sets' subjects (`sets`). The rest is test."""
    seed: int = 0
    """Seed of the hash; another seed gives other splits."""
    test_list: Path | None = None
    """`paper`: the benchmark's test subjects, a CSV of subject id and 0 or 1 without header."""
    val_list: Path | None = None
    """`paper`: the benchmark's validation subjects, in the same format."""
    train_sets: tuple[str, ...] = ()
    """`sets`: names of the source's sets to train on."""
    test_sets: tuple[str, ...] = ()
    """`sets`: names of the source's sets to test on."""

    @model_validator(mode="after")
    def _consistent(self) -> SplitsConfig:
        if self.kind == "hash" and self.train + self.val >= 1:
            raise ValueError(f"train ({self.train}) and val ({self.val}) must add up to less than 1: the rest is test")
        if self.kind == "paper" and (self.test_list is None or self.val_list is None):
            raise ValueError("kind 'paper' needs test_list and val_list, the published benchmark's subject lists")
        if self.kind == "sets":
            if not self.train_sets or not self.test_sets:
                raise ValueError("kind 'sets' needs train_sets and test_sets")
            shared = set(self.train_sets) & set(self.test_sets)
            if shared:
                raise ValueError(f"set {sorted(shared)[0]!r} is in train_sets and in test_sets")
        return self
