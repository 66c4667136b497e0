"""The graph: inputs come first, each step is there once, and only what is known beforehand is planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toy_steps import Later, Toy

from picme.engine.graph import Graph, Growth, by_stage
from picme.engine.local import perform
from picme.engine.step import Context

if TYPE_CHECKING:
    from picme.engine.graph import Finished
    from picme.engine.step import Step
    from picme.engine.store import Store


def names(graph: Graph) -> list[str]:
    return [step.name for step in graph.steps.values()]


def waiting(*needs: Step, adds: Step, decided: bool = False) -> Growth:
    """A part that adds a step if all that it waits for has finished."""

    def grow(graph: Graph, finished: Finished) -> None:
        if all(map(finished, needs)):
            graph.add(adds)

    return Growth(needs, grow, decided, ("second",))


def test_inputs_come_before_the_steps_that_read_them() -> None:
    first, second = Toy(label="first"), Toy(label="second")
    middle = Toy(label="middle", reads=(second, first))
    graph = Graph()
    graph.add(Later(label="last", reads=(middle, first)))
    assert names(graph) == ["second", "first", "middle", "last"]


def test_equal_steps_are_one() -> None:
    graph = Graph()
    graph.add(Toy(label="a"), Toy(label="a"), Later(label="b", reads=(Toy(label="a"),)))
    assert names(graph) == ["a", "b"]
    assert [step.name for step in graph.of("toy", "later")] == ["a", "b"]
    assert [step.name for step in graph.of("later")] == ["b"]
    assert list(by_stage(graph.steps.values())) == [("first", "toy"), ("second", "later")]


def test_a_plan_takes_every_step_to_succeed_but_guesses_no_result(store: Store) -> None:
    first, known, known_after = Toy(label="first"), Later(label="known"), Later(label="known after")
    unknown = Later(label="unknown")
    graph = Graph()
    graph.add(first)
    graph.growths += [
        waiting(known, adds=known_after),
        waiting(first, adds=unknown, decided=True),
        waiting(first, adds=known),
    ]
    assert names(graph.planned(store))[0] == "first"
    assert sorted(names(graph)) == ["first", "known", "known after"]
    assert [growth.stages for growth in graph.growths] == [("second",)], "what is left is told by its stages"
    assert not store.root.exists(), "planning writes nothing"


def test_a_plan_knows_what_a_finished_step_has_decided(store: Store) -> None:
    first, decided, after = Toy(label="first"), Later(label="decided"), Later(label="after")
    perform(first, Context(store), 1)
    graph = Graph()
    graph.add(first)
    graph.growths += [waiting(first, adds=decided, decided=True), waiting(decided, adds=after)]
    assert names(graph.planned(store)) == ["first", "decided", "after"]
    assert graph.growths == []


def test_what_is_there_grows_by_finished_steps_alone(store: Store) -> None:
    first, other = Toy(label="first"), Toy(label="other")
    perform(first, Context(store), 1)
    graph = Graph()
    graph.add(first, other)
    graph.growths += [
        waiting(first, adds=Later(label="read"), decided=True),
        waiting(first, other, adds=Later(label="not yet")),
    ]
    assert names(graph.grown(store)) == ["first", "other", "read"]


def test_a_part_grows_once_and_only_when_all_that_it_needs_is_over() -> None:
    first, second = Toy(label="first"), Toy(label="second")
    over: set[Step] = {first}
    grown: list[bool] = []
    graph = Graph()
    graph.add(first, second)
    graph.growths.append(Growth((first, second), lambda graph, finished: grown.append(finished(second))))
    assert not graph.grow(lambda step: step in over, lambda step: step == first)
    over.add(second)
    assert graph.grow(lambda step: step in over, lambda step: step == first)
    assert not graph.grow(lambda step: step in over, lambda step: step == first)
    assert grown == [False], "over, but not finished"
