"""Configuration of the splits: how subjects are divided into training, validation and test."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from picme.config.base import File, Section
from picme.config.bounds import Number, Seed


class SplitsConfig(Section):
    """One division of subjects for all tasks."""

    kind: Literal["hash", "lists", "sets", "folds", "time", "group"] = "hash"
    """`hash`: by a hash of the subject id, stable when data is added. `lists`: the published benchmark's subject lists;
    pretraining on its training subjects, the rest divided 80/10/10 for fine-tuning. `sets`: the source's own sets.
    `folds`: cross-fitting; subjects are divided into folds by a hash of the id, and the study is trained once for each
    fold, which is its test; the next fold is its validation, the others train. So every subject is tested once, by
    models that never saw it.
    `time`: the latest periods are test, those before them validation. `group`: by whole groups of a column, such as a
    hospital or a care unit."""
    train: float = Field(0.7, gt=0, lt=1)
    """Share of subjects for training (`hash`, `time`, `group`)."""
    val: float = Field(0.1, gt=0, lt=1)
    """Share of subjects for validation (`hash`, `time`, `group`); of the training sets' subjects (`sets`). The rest is
    test."""
    folds: Number | None = Field(None, ge=3, le=20)
    """`folds`: their number; 5 if not given."""
    seed: Seed = 0
    """Seed of the hash, and of the drawing of groups; another seed gives other splits."""
    test_list: File | None = None
    """`lists`: the benchmark's test subjects, a CSV of subject id and 0 or 1 without header."""
    val_list: File | None = None
    """`lists`: the benchmark's validation subjects, in the same format."""
    train_sets: tuple[str, ...] = ()
    """`sets`: names of the source's sets to train on."""
    test_sets: tuple[str, ...] = ()
    """`sets`: names of the source's sets to test on."""
    column: str | None = None
    """`time`, `group`: the column to divide by. Of MIMIC `anchor_year_group` (the period of the patient; where none is
    named, `time` goes by it), `admission_years` (the same, moved on to the admission), `first_careunit`, or another
    column of the admission; of own tables any column of a file with one row per sample."""
    test_from: str | None = None
    """`time`: the first period, date or year of test. Without it the shares decide, as nearly as whole periods can."""
    val_from: str | None = None
    """`time`: the first period, date or year of validation; without it the share `val` decides."""
    test_groups: tuple[str, ...] = ()
    """`group`: groups to test on. Without them whole groups are drawn, as near to the shares as they come."""
    val_groups: tuple[str, ...] = ()
    """`group`: groups to validate on; without them the share `val` of the subjects outside `test_groups`."""

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, given: Any) -> Any:
        """Give the number of folds where it is not named, and `lists` for `paper`, as earlier runs call it."""
        if not isinstance(given, dict):
            return given
        folds = given.get("kind") == "folds" and given.get("folds") is None
        named = {"kind": "lists"} if given.get("kind") == "paper" else {}
        return {**given, **named, **({"folds": 5} if folds else {})}

    @field_validator("test_from", "val_from", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Take years and dates, which YAML reads as numbers and dates, as text."""
        return value if value is None or isinstance(value, (str, bool)) else str(value)

    @field_validator("test_groups", "val_groups", mode="before")
    @classmethod
    def _as_texts(cls, values: Any) -> Any:
        """Take groups as text: a hospital may be called 1, and a column may hold true and false."""
        if not isinstance(values, (list, tuple)):
            return values
        return tuple(str(value).lower() if isinstance(value, bool) else str(value).strip() for value in values)

    @model_validator(mode="after")
    def _consistent(self) -> SplitsConfig:
        if self.kind in ("hash", "time", "group") and self.train + self.val >= 1:
            raise ValueError(f"train ({self.train}) and val ({self.val}) must add up to less than 1: the rest is test")
        if self.kind == "lists" and (self.test_list is None or self.val_list is None):
            raise ValueError("kind 'lists' needs test_list and val_list, the published benchmark's subject lists")
        if self.kind == "sets":
            if not self.train_sets or not self.test_sets:
                raise ValueError("kind 'sets' needs train_sets and test_sets")
            shared = set(self.train_sets) & set(self.test_sets)
            if shared:
                raise ValueError(f"set {sorted(shared)[0]!r} is in train_sets and in test_sets")
        self._by_column()
        return self

    def _by_column(self) -> None:
        """Check the keys of `folds`, `time` and `group`.

        Raises:
            ValueError: if one is missing, contradicts another, or belongs to another kind.
        """
        kinds = {"column": ("time", "group"), "test_from": ("time",), "val_from": ("time",)}
        kinds |= {"test_groups": ("group",), "val_groups": ("group",), "folds": ("folds",)}
        for key, owners in kinds.items():
            if getattr(self, key) and self.kind not in owners:
                wanted = " or ".join(repr(owner) for owner in owners)
                raise ValueError(f"{key} is for kind {wanted}, not {self.kind!r}")
        if self.kind == "group" and self.column is None:
            raise ValueError("kind 'group' needs column, such as first_careunit or the column of the hospital")
        for one, other in (("val_from", "test_from"), ("val_groups", "test_groups")):
            if getattr(self, one) and not getattr(self, other):
                raise ValueError(f"{one} needs {other}: which are test?")
        both = set(self.test_groups) & set(self.val_groups)
        if both:
            raise ValueError(f"group {sorted(both)[0]!r} is in test_groups and in val_groups")
