"""Jobs in this process and in workers: all finish, failures are told, threads are set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from picme.errors import DataError
from picme.executor import Executor, Job, explain


def write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")


def fail(message: str) -> None:
    raise DataError(message)


def leak(value: str) -> None:
    raise ValueError(f"patient {value}")


def threads(path: str) -> None:
    import torch

    Path(path).write_text(f"{torch.get_num_threads()} {os.environ['OMP_NUM_THREADS']} {os.getpid()}", encoding="utf-8")


def _jobs(folder: Path) -> list[Job]:
    made = [
        Job("s", str(i), f"job {i}", f"{__name__}:write", {"path": str(folder / str(i)), "text": str(i)})
        for i in range(4)
    ]
    return [*made, Job("s", "f", "the failing one", f"{__name__}:fail", {"message": "column 'x' is missing"})]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_job_does_not_stop_the_others(tmp_path: Path, workers: int) -> None:
    done: list[str] = []
    with Executor(workers, 1) as executor:
        failures = executor.run(_jobs(tmp_path), lambda job: done.append(job.name))
    assert [failure.job.name for failure in failures] == ["the failing one"]
    assert failures[0].reason == "column 'x' is missing"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]
    assert len(done) == 4


def test_a_foreign_error_does_not_quote_its_message() -> None:
    with Executor(1, 1) as executor:
        failures = executor.run([Job("s", "k", "n", f"{__name__}:leak", {"value": "John"})])
    assert "John" not in failures[0].reason
    assert "ValueError at leak" in failures[0].reason
    assert explain(DataError("as it is")) == "as it is"


def test_workers_have_the_threads_they_were_given(tmp_path: Path) -> None:
    jobs = [Job("s", str(i), "n", f"{__name__}:threads", {"path": str(tmp_path / str(i))}) for i in range(2)]
    with Executor(2, 1) as executor:
        assert executor.run(jobs) == []
    for path in tmp_path.iterdir():
        count, environment, process = path.read_text(encoding="utf-8").split()
        assert (count, environment) == ("1", "1")
        assert int(process) != os.getpid()


def test_heavy_jobs_start_first() -> None:
    order: list[str] = []
    jobs = [Job("s", str(w), str(w), "builtins:len", {"obj": []}, weight=w) for w in (1.0, 3.0, 2.0)]
    jobs = [Job(j.stage, j.key, j.name, f"{__name__}:nothing", {}, j.weight) for j in jobs]
    with Executor(1, 1) as executor:
        executor.run(jobs, lambda job: order.append(job.name))
    assert order == ["3.0", "2.0", "1.0"]


def nothing() -> None:
    return None
