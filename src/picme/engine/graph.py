"""The graph of a study's steps; it grows where what comes next depends on a result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from picme.engine.step import Step
    from picme.engine.store import Store

Finished = Callable[["Step"], bool]
"""A test that is true of a step whose artifact is there (or, in a plan, is taken to be)."""


@dataclass(frozen=True)
class Growth:
    """A part of the graph that is added once other steps are over.

    Attributes:
        needs: the steps that have to be over, finished or failed.
        grow: adds the part; it gets the graph, and which steps finished.
        decided: whether a result decides what is added, rather than only which steps finished; such a part cannot be
            planned before the result is there.
        stages: the stages whose steps it adds, for a plan that cannot know them yet.
    """

    needs: tuple[Step, ...]
    grow: Callable[[Graph, Finished], None]
    decided: bool = False
    stages: tuple[str, ...] = ()


class Graph:
    """Steps by key, each after the steps that it reads, and the parts that are still to grow."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.growths: list[Growth] = []

    def add(self, *steps: Step) -> None:
        """Add steps and all that they read."""
        for step in steps:
            if step.key not in self.steps:
                self.add(*step.inputs)
                self.steps[step.key] = step

    def of(self, *kinds: str) -> list[Step]:
        """Return the steps of some kinds, in the order in which they were added."""
        return [step for step in self.steps.values() if step.kind in kinds]

    def grow(self, over: Finished, finished: Finished) -> bool:
        """Add every part whose needs are over; return whether there was one.

        Args:
            over: whether a step has ended, finished or not.
            finished: whether it left its artifact.
        """
        grown = False
        while ripe := [growth for growth in self.growths if all(map(over, growth.needs))]:
            self.growths = [growth for growth in self.growths if growth not in ripe]
            for growth in ripe:
                growth.grow(self, finished)
            grown = True
        return grown

    def grown(self, store: Store) -> Graph:
        """Grow by what is finished in a store, as if nothing else were to come; return the graph itself."""
        self.grow(lambda step: True, store.done)
        return self

    def planned(self, store: Store) -> Graph:
        """Grow as far as can be known beforehand, as if every step were to succeed; return the graph itself."""

        def over(growth: Growth) -> bool:
            return not growth.decided or all(map(store.done, growth.needs))

        while ripe := [growth for growth in self.growths if over(growth)]:
            self.growths = [growth for growth in self.growths if growth not in ripe]
            for growth in ripe:
                growth.grow(self, lambda step: True)
        return self


def by_stage(steps: Iterable[Step]) -> dict[tuple[str, str], list[Step]]:
    """Return steps by stage and kind, in the order in which these first appear."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        found.setdefault((step.stage, step.kind), []).append(step)
    return found
