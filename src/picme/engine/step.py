"""A step: the typed description of one artifact, and how it is made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from picme.engine.store import Store

# Part of every key: raised when what a key is made of changes.
FORMAT = 2
ALL_CORES = 0
Gpu = Literal["none", "shared", "whole"]


@dataclass(frozen=True)
class Context:
    """The surroundings in which a step runs; none of them changes what the step makes.

    Attributes:
        store: where the artifacts of earlier steps are.
        device: `auto`, or the device that training uses.
        loggers: where the epochs of a training are logged beside its own history.
        devices: those that one large network is trained on together; empty for `device` alone.
    """

    store: Store
    device: str = "auto"
    loggers: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


class Part(BaseModel):
    """A typed group of fields within a step; it may hold steps."""

    uncounted: ClassVar[tuple[str, ...]] = ()
    """Fields that say how something is made and are in no key, since another field says what counts of them."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Fields that are in no key where they are None, so that artifacts made before there were such fields stay."""

    # Types come from a checked configuration: checking them again would only cost time.
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Step(Part):
    """One artifact and how it is made.

    The fields are all that determines the artifact, and nothing else: the steps whose artifacts are read are among
    them. So the key of a step, a hash of its kind, version and fields, says which artifact it is.

    Attributes:
        kind: the folder of the store in which the artifacts of such steps lie.
        stage: the stage of the study, a command of its own, that the step belongs to.
        version: raised when the same fields come to mean another artifact.
        cores: how many workers' shares of the machine the step takes; `ALL_CORES` for all of them.
        grows: patterns of files that are added once the artifact is finished, such as what is computed from it once.
        replaces: result tables that the step contributes in place of the steps that it reads.
    """

    kind: ClassVar[str]
    stage: ClassVar[str]
    version: ClassVar[int] = 1
    cores: ClassVar[int] = 1
    grows: ClassVar[tuple[str, ...]] = ()
    replaces: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.key})"

    @property
    def gpu(self) -> Gpu:
        """The part of a GPU that the step takes: `none`, `shared` with others of its kind, or the `whole` of it."""
        return "none"

    @property
    def timed(self) -> bool:
        """Whether `seconds` of the manifest, and what it says of epochs and memory, belong in a table of costs."""
        return False

    @property
    def threaded(self) -> bool:
        """Whether the step is faster with several threads; small networks are several times slower with them."""
        return self.cores == ALL_CORES

    @property
    def spread(self) -> bool:
        """Whether several devices can share the step, as the training of a large network."""
        return False

    @cached_property
    def key(self) -> str:
        """The hash that names the artifact: 16 hexadecimal digits."""
        return key_of(self.kind, self.version, self.fields)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields as plain values, a step as its key."""
        return _fields(self)

    @cached_property
    def inputs(self) -> tuple[Step, ...]:
        """The steps whose artifacts this one reads, each once."""
        return tuple(
            {step.key: step for name in type(self).model_fields for step in _steps(getattr(self, name))}.values()
        )

    @property
    def name(self) -> str:
        """The step's name for people, unique among the steps of its kind in a study."""
        return self.kind

    @property
    def title(self) -> str:
        """The step's kind and name, for a sentence."""
        return self.kind if self.name == self.kind else f"{self.kind} of {self.name}"

    @property
    def weight(self) -> float:
        """The expected cost relative to other steps of the kind; heavy ones start first."""
        return 1.0

    @property
    def labels(self) -> dict[str, str | None]:
        """The columns that name the step in a table of costs."""
        return {}

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        """Make the artifact in a folder, which may hold what an interrupted attempt left.

        Returns:
            What the manifest says of it, as plain values.
        """
        raise NotImplementedError

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:
        """Return what the finished artifact contributes to the result tables, by the tables' names."""
        return {}


def plain(value: Any) -> Any:
    """Return a field's value as plain values that JSON can hold; a step is its key."""
    if isinstance(value, Step):
        return value.key
    if isinstance(value, Part):
        return _fields(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return value


def _fields(part: Part) -> dict[str, Any]:
    found = {name: plain(getattr(part, name)) for name in type(part).model_fields if name not in part.uncounted}
    return {name: value for name, value in found.items() if value is not None or name not in part.optional}


def _steps(value: Any) -> Iterator[Step]:
    """Yield the steps in a field's value, not those in their fields."""
    if isinstance(value, Step):
        yield value
    elif isinstance(value, Part):
        for name in type(value).model_fields:
            yield from _steps(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _steps(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _steps(item)


def key_of(*parts: Any) -> str:
    """Return a key of plain values: equal for equal values, whatever the order of the keys of a dictionary."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
