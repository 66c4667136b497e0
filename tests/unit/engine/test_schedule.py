"""The schedule: what starts when, what is left out after a failure, and what runs beside what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from toy_steps import Later, OnGpu, Toy, Wide

from picme.engine.graph import Graph, Growth
from picme.engine.progress import Progress
from picme.engine.schedule import Failure, Schedule
from picme.errors import PicmeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.engine.graph import Finished
    from picme.engine.step import Step
    from picme.engine.store import Store

    PassThrough = Callable[..., list[Failure]]


def by_start(store: Store, *steps: Step) -> list[str]:
    """The names of finished steps in the order in which they started."""
    return [step.name for step in sorted(steps, key=lambda step: store.manifest(step)["started"])]


def overlap(store: Store, one: Step, other: Step) -> bool:
    mine, theirs = store.manifest(one), store.manifest(other)
    return bool(mine["started"] < theirs["ended"] and theirs["started"] < mine["ended"])


# ---- order


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_step_does_not_stop_the_others(store: Store, pass_through: PassThrough, workers: int) -> None:
    steps = [Toy(label=str(number)) for number in range(4)]
    failing = Toy(label="the failing one", fails="column 'x' is missing", heavy=2.0)
    failures = pass_through(failing, *steps, workers=workers)
    assert [failure.step.name for failure in failures] == ["the failing one"]
    assert failures[0].reason == "column 'x' is missing"
    assert [(store.path(step) / "whole").read_text(encoding="utf-8") for step in steps] == ["0", "1", "2", "3"]
    assert not store.done(failing)


def test_heavy_steps_start_first(store: Store, pass_through: PassThrough) -> None:
    steps = [Toy(label=str(heavy), heavy=heavy) for heavy in (1.0, 3.0, 2.0)]
    assert pass_through(*steps) == []
    assert by_start(store, *steps) == ["3.0", "2.0", "1.0"]


def test_ready_steps_of_an_earlier_stage_start_first(store: Store, pass_through: PassThrough) -> None:
    first = Toy(label="a")
    steps = [
        Later(label="heavy", heavy=9.0),
        Later(label="reads", reads=(first,)),
        first,
        Toy(label="b", reads=(first,)),
    ]
    assert pass_through(*steps) == []
    assert by_start(store, *steps) == ["a", "b", "heavy", "reads"]


def test_a_step_starts_when_its_inputs_are_done_although_its_earlier_stage_still_runs(
    store: Store, pass_through: PassThrough
) -> None:
    quick = Toy(label="quick")
    later = Later(label="later", reads=(quick,))
    slow = Toy(label="slow", after="later")  # a barrier between the stages would keep it waiting for ever
    assert pass_through(quick, slow, later, workers=2) == []
    assert store.manifest(later)["started"] < store.manifest(slow)["ended"]


def test_steps_of_other_stages_are_left_out(store: Store, pass_through: PassThrough) -> None:
    class Beyond(Toy):
        kind = "beyond"
        stage = "third"

    first = Toy(label="a")
    beyond = Beyond(label="b", reads=(first,))
    assert pass_through(beyond) == []
    assert (store.done(first), store.done(beyond)) == (True, False)


def test_finished_steps_are_not_run_again(store: Store, pass_through: PassThrough) -> None:
    first = Toy(label="a")
    assert pass_through(first) == []
    before = store.manifest(first)
    later = Later(label="b", reads=(first,))
    assert pass_through(later) == []
    assert store.manifest(first) == before
    assert store.done(later)


# ---- failures


@pytest.mark.parametrize("workers", [1, 2])
def test_readers_of_a_failed_step_are_left_out_and_all_others_finish(
    store: Store, pass_through: PassThrough, workers: int
) -> None:
    good, bad = Toy(label="good"), Toy(label="bad", fails="no", heavy=2.0)
    reader = Later(label="reader", reads=(bad, good))
    readers_reader = Later(label="reader's reader", reads=(reader,))
    others = Later(label="other", reads=(good,))
    failures = pass_through(good, bad, readers_reader, others, workers=workers)
    assert [failure.step for failure in failures] == [bad], "what was never tried has not failed"
    assert [store.done(step) for step in (good, others, reader, readers_reader)] == [True, True, False, False]
    assert not (store.run / "started" / "reader").exists()


def test_where_every_step_of_a_kind_has_failed_all_that_does_not_read_one_still_finishes(
    store: Store, pass_through: PassThrough
) -> None:
    bad = [Toy(label=str(number), fails=f"reason {number}", heavy=9.0 - number) for number in range(2)]
    other = Later(label="other")
    failures = pass_through(*bad, Later(label="reads", reads=(bad[0],)), other)
    assert [failure.reason for failure in failures] == ["reason 0", "reason 1"]
    assert [path.name for path in (store.root / "later").iterdir()] == [other.key]


def test_a_failed_step_is_tried_again_by_the_next_passage(store: Store, pass_through: PassThrough) -> None:
    good, bad = Toy(label="good"), Toy(label="bad", fails="no")
    for _ in range(2):
        assert [failure.step for failure in pass_through(good, bad)] == [bad]
    assert bad.key in store.attempted(bad.kind)


# ---- growth


@pytest.mark.parametrize("workers", [1, 2])
def test_the_graph_grows_when_what_it_waits_for_is_over_and_knows_what_failed(
    store: Store, pass_through: PassThrough, workers: int
) -> None:
    good, bad = Toy(label="good"), Toy(label="bad", fails="no")
    lost = Toy(label="lost", reads=(bad,))
    told, grown = [], Later(label="grown", reads=(good,))

    def grow(graph: Graph, finished: Finished) -> None:
        told.append([finished(step) for step in (good, bad, lost)])
        graph.add(grown)

    graph = Graph()
    graph.add(good, lost)
    graph.growths.append(Growth((good, bad, lost), grow))
    failures = pass_through(graph=graph, workers=workers)
    assert [failure.step for failure in failures] == [bad]
    assert told == [[True, False, False]], "once, after all are over"
    assert store.done(grown)


def test_what_has_grown_may_grow_on(store: Store, pass_through: PassThrough) -> None:
    steps = [Toy(label="0"), Later(label="1"), Later(label="2")]

    def then(number: int) -> Growth:
        def grow(graph: Graph, finished: Finished) -> None:
            assert finished(steps[number])
            graph.add(steps[number + 1])
            if number == 0:
                graph.growths.append(then(1))

        return Growth((steps[number],), grow, decided=True)

    graph = Graph()
    graph.add(steps[0])
    graph.growths.append(then(0))
    assert pass_through(graph=graph) == []
    assert by_start(store, *steps) == ["0", "1", "2"]


def test_a_grown_reader_of_a_failed_step_is_left_out(store: Store, pass_through: PassThrough) -> None:
    good, bad = Toy(label="good"), Toy(label="bad", fails="no")
    reader = Later(label="reader", reads=(bad,))
    graph = Graph()
    graph.add(good, bad)
    graph.growths.append(Growth((good, bad), lambda graph, finished: graph.add(reader)))
    assert [failure.step for failure in pass_through(graph=graph)] == [bad]
    assert not store.done(reader)


# ---- resources


def test_a_step_that_takes_all_cores_runs_alone(store: Store, pass_through: PassThrough) -> None:
    # Each of the two waits for the other's start, however long a worker takes to be there.
    beside = [Toy(label=str(number), after=str(1 - number), heavy=9.0) for number in range(2)]
    wide = [Wide(label=f"wide {number}", lasts=0.1, heavy=5.0) for number in range(2)]
    after = [Toy(label=f"after {number}", lasts=0.1) for number in range(2)]
    assert pass_through(*beside, *wide, *after, workers=2) == []
    assert overlap(store, *beside), "others do run side by side"
    for one in wide:
        assert not any(overlap(store, one, other) for other in [*beside, *wide, *after] if other is not one)
    assert by_start(store, *wide, *after)[:2] == ["wide 0", "wide 1"], "it is not overtaken by lighter ones"


def test_one_step_at_a_time_takes_the_gpu_while_others_go_on_beside_it(store: Store, pass_through: PassThrough) -> None:
    on_gpu = [OnGpu(label=f"gpu {number}", lasts=0.2, heavy=9.0) for number in range(3)]
    beside = Toy(label="cpu", after="gpu 1", lasts=0.05)
    first = OnGpu(label="gpu first", after="cpu", heavy=10.0)
    assert pass_through(first, *on_gpu, beside, workers=2, gpus=("cuda:0",)) == []
    gpu = [first, *on_gpu]
    assert not any(overlap(store, one, other) for one in gpu for other in gpu if one is not other)
    assert overlap(store, first, beside)


def test_without_a_gpu_such_steps_run_side_by_side(store: Store, pass_through: PassThrough) -> None:
    steps = OnGpu(label="one", after="two"), OnGpu(label="two", after="one")
    assert pass_through(*steps, workers=2) == []


# ---- progress


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_is_told_of_each_end_before_the_next_start(
    store: Store, pass_through: PassThrough, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(Progress, "start", lambda self, step: told.append(("start", step.name)))
    monkeypatch.setattr(Progress, "end", lambda self, step, manifest: told.append(("end", step.name, bool(manifest))))
    steps = [Toy(label="a", heavy=3.0), Toy(label="b", heavy=2.0, fails="no"), Toy(label="c")]
    pass_through(*steps, workers=workers)
    assert len(told) == 6
    assert ("end", "b", False) in told
    if workers == 1:
        assert told[:3] == [("start", "a"), ("end", "a", True), ("start", "b")]


def test_a_dead_worker_is_one_sentence(store: Store, pass_through: PassThrough) -> None:
    from toy_steps import Killed

    with pytest.raises(PicmeError, match=r"a worker process died during killed of victim.*smaller execution\.workers"):
        pass_through(Killed(label="victim"), workers=2)
    assert Killed(label="victim").key in store.attempted(Killed(label="victim").kind)


def test_a_schedule_without_steps_has_no_failures(store: Store) -> None:
    class Nobody:
        def fits(self, step: Step) -> bool:
            raise AssertionError

    assert Schedule(Graph(), store, Nobody(), Progress(True, 1), ("first",)).run() == []  # type: ignore[arg-type]


def test_a_damaged_artifact_is_made_again_and_said_and_nothing_else(
    store: Store, pass_through: PassThrough, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Toy(label="first")
    steps = [first, Toy(label="other"), Later(label="second", reads=(first,))]
    pass_through(*steps)
    before = {step.name: store.manifest(step)["started"] for step in steps}
    (store.path(first) / "whole").write_text("First", encoding="utf-8")
    assert pass_through(*steps, quiet=False) == []
    after = {step.name: store.manifest(step)["started"] for step in steps}
    assert [name for name in before if before[name] != after[name]] == ["first"]
    assert (store.path(first) / "whole").read_text(encoding="utf-8") == "first"
    assert "toy of first is damaged" in capsys.readouterr().err
