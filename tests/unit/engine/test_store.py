"""The store: an artifact is whole or not there, whatever ends an attempt and whoever else tries."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from toy_steps import Toy

import picme.engine.held as held
from picme.engine.local import perform
from picme.engine.step import Context
from picme.engine.store import Store, inside
from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEP = Toy(label="made")
SPAWN = multiprocessing.get_context("spawn")


def attempts(store: Store) -> list[str]:
    """Folders of attempts at the step, hidden ones that is."""
    return sorted(path.name for path in (store.root / STEP.kind).glob(".*"))


def wait_for(*files: Path) -> None:
    until = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < until, "the other attempt has not come so far"
        time.sleep(0.01)


def attempt(run: Path, mine: str, other: str) -> None:
    """Make the artifact while another attempt, which has begun as well, is making it."""
    with Store(run).attempt(STEP) as (folder, about):
        assert not list(folder.iterdir()), "nobody else writes here"
        (folder / "one").write_text(mine, encoding="utf-8")
        (run / mine).write_text(folder.name, encoding="utf-8")
        wait_for(run / other)
        (folder / "two").write_text(mine, encoding="utf-8")
        about["by"] = mine


def hang(run: Path, mine: str) -> None:
    """Begin an attempt and never end it."""
    with Store(run).attempt(STEP) as (folder, _):
        (folder / "begun").write_text(mine, encoding="utf-8")
        (run / mine).write_text(folder.name, encoding="utf-8")
        time.sleep(600)


def killed(run: Path, *names: str) -> list[str]:
    """Attempts that run side by side until all are killed; the names of their folders."""
    run.mkdir(exist_ok=True)
    processes = [SPAWN.Process(target=hang, args=(run, name)) for name in names]
    for process in processes:
        process.start()
    try:
        wait_for(*(run / name for name in names))
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [(run / name).read_text(encoding="utf-8") for name in names]


def assert_one_whole(store: Store) -> None:
    folder = store.path(STEP)
    by = store.manifest(STEP)["by"]
    assert [(folder / name).read_text(encoding="utf-8") for name in ("one", "two")] == [by, by]
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "one", "two"]
    assert attempts(store) == []
    assert [path.name for path in folder.parent.iterdir()] == [STEP.key]


@pytest.mark.parametrize("times", range(3))
def test_two_processes_at_once_leave_one_whole_artifact(store: Store, times: int) -> None:
    store.run.mkdir()
    processes = [SPAWN.Process(target=attempt, args=(store.run, *names)) for names in (("a", "b"), ("b", "a"))]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert_one_whole(store)
    assert len({(store.run / name).read_text(encoding="utf-8") for name in "ab"}) == 2, "each has a folder of its own"


def test_two_threads_at_once_leave_one_whole_artifact(store: Store) -> None:
    store.run.mkdir()
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(attempt, store.run, *names) for names in (("a", "b"), ("b", "a"))]:
            future.result()
    assert_one_whole(store)
    assert len({(store.run / name).read_text(encoding="utf-8") for name in "ab"}) == 2


def test_of_many_threads_one_artifact_is_left(store: Store) -> None:
    start = threading.Barrier(8)

    def make(number: int) -> None:
        start.wait()
        with store.attempt(STEP) as (folder, about):
            for name in ("one", "two"):
                (folder / name).write_text(str(number), encoding="utf-8")
            about["by"] = str(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(8)))
    assert_one_whole(store)


def test_an_artifact_that_another_attempt_finished_first_stays(store: Store) -> None:
    with store.attempt(STEP) as (_, about):
        about["by"] = "slow"
        with store.attempt(STEP) as (_, faster):
            faster["by"] = "fast"
        assert store.done(STEP)
    assert store.manifest(STEP)["by"] == "fast"
    assert attempts(store) == []


def test_a_dead_attempts_folder_is_taken_over(store: Store) -> None:
    (name,) = killed(store.run, "a")
    assert attempts(store) == [name]
    assert name.startswith(f".{STEP.key}.")
    assert name.endswith(".partial")
    assert STEP.key in store.attempted(STEP.kind)
    assert not store.done(STEP)
    with store.attempt(STEP) as (folder, _):
        assert (folder / "begun").read_text(encoding="utf-8") == "a"
        assert attempts(store) == [folder.name], "renamed, not copied"
        assert folder.name != name
    assert store.done(STEP)
    assert (store.path(STEP) / "begun").is_file()
    assert attempts(store) == []


def test_only_one_of_two_attempts_takes_a_dead_ones_folder(store: Store) -> None:
    killed(store.run, "a")
    with store.attempt(STEP) as (first, _), store.attempt(STEP) as (second, _):
        assert (first / "begun").is_file()
        assert list(second.iterdir()) == []


def test_what_dead_attempts_left_is_removed_after_success_and_what_lives_is_not(store: Store) -> None:
    dead = killed(store.run, "a", "b", "c")
    assert attempts(store) == sorted(dead)
    with store.attempt(STEP) as (living, _):
        with store.attempt(STEP):
            assert len(attempts(store)) == 3, "both have taken one over"
        assert store.done(STEP)
        assert attempts(store) == [living.name]
    assert attempts(store) == []


@pytest.mark.parametrize("error", [RuntimeError, DataError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_a_folder_from_which_the_next_attempt_goes_on(
    store: Store, error: type[BaseException]
) -> None:
    with pytest.raises(error), store.attempt(STEP) as (folder, _):
        (folder / "half").write_text("x", encoding="utf-8")
        raise error
    assert not store.done(STEP)
    assert STEP.key in store.attempted(STEP.kind)
    assert attempts(store) == [f".{STEP.key}.partial"]
    with store.attempt(STEP) as (folder, about):
        assert (folder / "half").is_file(), "what was begun is there to resume from"
        about["n"] = 1
    assert store.manifest(STEP)["n"] == 1
    assert STEP.key not in store.attempted(STEP.kind)
    assert attempts(store) == []


def test_after_two_failures_at_once_nothing_is_left_by_the_next_success(store: Store) -> None:
    with pytest.raises(RuntimeError), store.attempt(STEP):
        with pytest.raises(RuntimeError), store.attempt(STEP) as (folder, _):
            (folder / "half").touch()
            raise RuntimeError
        raise RuntimeError
    perform(STEP, Context(store), 1)
    assert attempts(store) == []


def test_a_damaged_artifact_without_manifest_is_replaced(store: Store) -> None:
    store.path(STEP).mkdir(parents=True)
    (store.path(STEP) / "rubbish").touch()
    assert not store.done(STEP)
    with pytest.raises(DataError, match="toy of made is not finished"):
        store.manifest(STEP)
    perform(STEP, Context(store), 1)
    assert store.done(STEP)
    assert sorted(path.name for path in store.path(STEP).iterdir()) == ["manifest.json", "whole"]
    assert attempts(store) == []


def test_the_manifest_describes_the_step_and_adds_up_the_time_of_its_attempts(store: Store) -> None:
    with store.attempt(STEP) as (_, about):
        about |= {"earlier_seconds": 100.0, "stays": 3}
    manifest = store.manifest(STEP)
    assert {name: manifest[name] for name in ("kind", "key", "name", "version", "stays")} == {
        "kind": "toy", "key": STEP.key, "name": "made", "version": 1, "stays": 3,
    }  # fmt: skip
    assert manifest["fields"]["label"] == "made"
    assert 100 <= manifest["seconds"] < 110
    assert "earlier_seconds" not in manifest
    assert list(store.manifests("toy")) == [manifest]


def test_the_lock_keeps_a_second_process_out(store: Store) -> None:
    with store.lock(), pytest.raises(DataError, match="another picme process"), store.lock():
        raise AssertionError
    with store.lock():
        assert os.access(store.run / ".lock", os.W_OK)


def test_the_holder_of_the_lock_is_told_once_what_killed_processes_were_in(store: Store) -> None:
    killed(store.run, "a")
    with store.attempt(Toy(label="under way")), pytest.raises(RuntimeError), store.attempt(Toy(label="failed")):
        raise RuntimeError
    with store.attempt(Toy(label="under way")):
        with store.lock() as told:
            assert told == [(STEP.kind, STEP.key)], "neither what is alive nor what has left by itself"
        with store.lock() as told:
            assert told == []
        with store.attempt(STEP) as (folder, _):
            assert (folder / "begun").exists(), "and it goes on"


def test_what_ends_while_the_lock_is_held_is_not_told_at_the_next_start(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.lock():
        killed(store.run, "a")
        raise KeyboardInterrupt
    with store.lock() as told:
        assert told == []


def test_a_file_system_without_locks_keeps_a_second_process_out_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with store.lock(), pytest.raises(DataError, match="another picme process"), store.lock():
        raise AssertionError
    with store.lock():
        pass


def test_what_another_host_left_is_taken_over_by_the_holder_of_the_lock_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(held, "host_name", lambda: "other")
        left = store._claim(STEP)
        (left / "half").touch()
    with store.attempt(STEP) as (folder, _):
        assert not (folder / "half").exists(), "without the lock its process may be alive"
        mine = folder.name
        with store.lock():
            assert attempts(store) == sorted([mine, f".{STEP.key}.partial"]), "this host's own is seen to be alive"
        with store.attempt(STEP) as (second, _):
            assert (second / "half").exists()


def test_what_no_attempt_will_go_on_from_is_removed(store: Store) -> None:
    with pytest.raises(RuntimeError), store.attempt(STEP):
        raise RuntimeError
    killed(store.run, "a", "b")
    with store.attempt(Toy(label="under way")) as (folder, _):
        store.clean()
        assert attempts(store) == [folder.name]


# ---- damage


def made(run: Path) -> Store:
    with Store(run).attempt(STEP) as (folder, about):
        (folder / "part").mkdir()
        (folder / "part" / "one").write_bytes(bytes(range(256)) * 50_000)
        (folder / "two").write_bytes(b"two")
        about["by"] = "me"
    return Store(run)


def damages(folder: Path) -> dict[str, Callable[[], object]]:
    manifest = folder / "manifest.json"

    def flip(file: Path, place: int) -> None:
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        file.write_bytes(content)

    return {
        "part/one": lambda: flip(folder / "part" / "one", 12_345_678),
        "two": lambda: (folder / "two").unlink(),
        "three": lambda: (folder / "three").write_bytes(b""),
        "manifest.json": lambda: flip(manifest, manifest.read_bytes().index(b'"me"') + 1),
    }


@pytest.mark.parametrize("name", ["part/one", "two", "three", "manifest.json"])
def test_one_changed_byte_is_seen_and_named(tmp_path: Path, name: str) -> None:
    store = made(tmp_path)
    damages(store.path(STEP))[name]()
    with pytest.raises(
        DataError, match=rf"^toy of made is damaged: .*{name} is not .*; `picme run` .* makes it again$"
    ):
        store.whole(STEP)
    store.discard(STEP)
    assert not store.done(STEP)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"kind": "toy"}', b"\xff\xfe"])
def test_a_manifest_that_is_none_is_damage(tmp_path: Path, content: bytes) -> None:
    store = made(tmp_path)
    (store.path(STEP) / "manifest.json").write_bytes(content)
    assert "is damaged" in str(store.damage(STEP))


def test_only_what_is_read_has_to_be_whole(tmp_path: Path) -> None:
    store = made(tmp_path)
    damages(store.path(STEP))["two"]()
    assert store.whole(STEP, "part/") == store.path(STEP)
    with pytest.raises(DataError, match="two is not"):
        store.whole(STEP)


def test_what_a_step_lets_its_artifact_grow_by_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path)
    monkeypatch.setattr(Toy, "grows", ("part/*",))
    (store.path(STEP) / "part" / "cache").mkdir()
    (store.path(STEP) / "part" / "cache" / "later").touch()
    assert store.whole(STEP) == store.path(STEP)
    damages(store.path(STEP))["part/one"]()
    assert "part/one is not" in str(Store(tmp_path).damage(STEP)), "what was written first is held to its checksum"


def test_an_artifact_is_read_once_in_a_run(tmp_path: Path) -> None:
    store = made(tmp_path)
    assert store.damage(STEP) is None
    damages(store.path(STEP))["two"]()
    assert store.damage(STEP) is None
    assert Store(tmp_path).damage(STEP) is not None


def test_an_artifact_of_before_there_were_checksums_is_taken_as_it_is(tmp_path: Path) -> None:
    store = made(tmp_path)
    file = store.path(STEP) / "manifest.json"
    old = {name: value for name, value in json.loads(file.read_text()).items() if name not in ("files", "checksum")}
    file.write_text(json.dumps(old))
    assert store.whole(STEP) == store.path(STEP)


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = made(tmp_path)
    finally:
        assert os.umask(before) == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in [store.root, *store.root.rglob("*")]}
    assert {name: 0o700 if name in ("store", "toy", STEP.key, "part") else 0o600 for name in modes} == modes


@pytest.mark.parametrize("name", ["..", "/tmp", "a/b", "", "a\0", "link"])
def test_a_name_leads_nowhere_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="nothing is written outside"):
        inside(tmp_path / "folder", name)
    assert inside(tmp_path / "folder", "a", "b") == tmp_path / "folder" / "a" / "b"


def test_an_artifact_holds_no_link(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a link"), Store(tmp_path).attempt(STEP) as (folder, _):
        (folder / "link").symlink_to("/etc/passwd")
    assert not Store(tmp_path).done(STEP)
