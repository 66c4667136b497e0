"""Who works in a run folder, seen from its own machine and from another."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

import picme.engine.held as module
from picme.engine.held import SILENT, held, process_name, runs
from picme.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import sys, time
from pathlib import Path
from picme.engine.held import held
with held(Path(sys.argv[1])):
    print("holds", flush=True)
    time.sleep(600)
"""


def elsewhere(folder: Path, silent: float, text: str = "held") -> None:
    """The file of a holder on another machine, renewed so many seconds ago."""
    file = folder / ".holder.node7-12-345-0"
    file.write_text(text, encoding="utf-8")
    then = time.time() - silent
    os.utime(file, (then, then))


def holders(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_one_process_holds_a_folder_and_leaves_nothing(tmp_path: Path) -> None:
    with held(tmp_path):
        with pytest.raises(DataError, match=f"another picme process.* is working in {tmp_path}"), held(tmp_path):
            raise AssertionError
        (name,) = holders(tmp_path)
        assert name.startswith(f".holder.{process_name()}")
    assert holders(tmp_path) == []


def test_a_holder_that_was_killed_on_this_machine_is_succeeded_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "holds\n"
        with pytest.raises(DataError), held(tmp_path):
            raise AssertionError
    finally:
        child.kill()
        child.wait()
    with held(tmp_path):
        (name,) = holders(tmp_path)
        assert name.startswith(f".holder.{process_name()}")


def test_a_holder_on_another_machine_is_believed_while_it_renews_its_file(tmp_path: Path) -> None:
    elsewhere(tmp_path, silent=20)
    with pytest.raises(DataError, match=r"on node7, is working .* or here in (99|100) s"), held(tmp_path):
        raise AssertionError
    assert holders(tmp_path) == [".holder.node7-12-345-0"]


def test_who_wants_the_folder_at_the_same_time_on_another_machine_is_waited_for(tmp_path: Path) -> None:
    elsewhere(tmp_path, silent=1, text="")
    threading.Timer(0.5, (tmp_path / ".holder.node7-12-345-0").unlink).start()
    with held(tmp_path):
        assert len(holders(tmp_path)) == 1


@pytest.mark.parametrize("text", ["held", ""])
def test_a_holder_on_another_machine_that_is_silent_is_succeeded(tmp_path: Path, text: str) -> None:
    elsewhere(tmp_path, SILENT + 5, text)
    with held(tmp_path):
        (name,) = holders(tmp_path)
        assert name.startswith(f".holder.{process_name()}")
    assert holders(tmp_path) == []


def test_of_many_that_succeed_a_silent_holder_one_does(tmp_path: Path) -> None:
    elsewhere(tmp_path, SILENT + 5)
    start, both = threading.Barrier(4), threading.Semaphore(1)
    held_by: list[str] = []
    refused: list[str] = []

    def one() -> None:
        start.wait()
        try:
            with held(tmp_path):
                assert both.acquire(blocking=False), "two hold the folder"
                held_by.append("one")
                time.sleep(0.1)
                both.release()
        except DataError:
            refused.append("one")

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held_by, "one of them gets it"
    assert len(held_by) + len(refused) == 4, "never two at once"


@pytest.mark.usefixtures("interruptible")
def test_a_holder_renews_its_file_and_is_interrupted_when_it_was_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.05)
    with pytest.raises(DataError, match="has taken over"), held(tmp_path):
        (file,) = tmp_path.iterdir()
        os.utime(file, (0, 0))
        before = time.monotonic()
        while time.time() - file.stat().st_mtime > 25:
            assert time.monotonic() - before < 60
            time.sleep(0.01)
        file.unlink()
        time.sleep(60)


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    mine = process_name()
    assert runs(mine)
    assert not runs(f"{mine}0")
