"""Faults of the machine are one sentence with the place; what libraries say of them is understood."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from picme.engine.faults import fault, mapped, naming_faults
from picme.errors import DataError, PicmeError

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EFBIG]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_the_system_is_a_sentence_with_the_place(number: int, tmp_path: Path) -> None:
    said = fault(OSError(number, os.strerror(number), str(tmp_path / "store" / "x")), tmp_path)
    assert said is not None
    assert str(tmp_path / "store" / "x") in said
    assert "; " in said, "what to do about it"
    assert fault(pl.exceptions.ComputeError(f"{os.strerror(number)} (os error {number})"), tmp_path) == said.replace(
        "/store/x", ""
    )


def test_files_elsewhere_are_not_named(tmp_path: Path) -> None:
    said = fault(OSError(errno.EACCES, "", "/data/p10000032.jpg"), tmp_path)
    assert said is not None
    assert "10000032" not in said
    assert str(tmp_path) in said


def test_without_a_run_folder_only_words_of_the_command_line_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["check", "mimic-ehr", "--set", "source.cxr=data/cxr", "--out", "page.html"]
    for file, named in (
        ("data/cxr/files/p10000032.jpg", tmp_path / "data/cxr"),
        (tmp_path / "page.html", tmp_path / "page.html"),
        ("page.html", tmp_path / "page.html"),
        ("data", tmp_path / "data"),
        ("notes/p10000032.txt", tmp_path),
    ):
        said = fault(OSError(errno.EACCES, "", str(file)), tmp_path, given)
        assert said is not None
        assert said.startswith(f"{named} may not be read")


def test_other_errors_are_no_faults_of_the_machine(tmp_path: Path) -> None:
    for error in (ValueError("x"), FileNotFoundError(errno.ENOENT, "x"), OSError("5 requested and 0 written")):
        assert fault(error, tmp_path) is None
    with pytest.raises(ValueError, match="x"), naming_faults(tmp_path):
        raise ValueError("x")
    with pytest.raises(DataError, match=r"^its own$"), naming_faults(tmp_path):
        raise DataError("its own")


def test_memory_that_does_not_suffice(tmp_path: Path) -> None:
    with pytest.raises(PicmeError, match="memory does not suffice"), naming_faults(tmp_path):
        raise MemoryError


def test_numpy_and_pytorch_say_nothing_of_the_limit_that_they_met(tmp_path: Path) -> None:
    code = f"""
import resource, sys
from pathlib import Path
import numpy as np
from picme.engine.faults import fault
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    np.save({str(tmp_path / "a.npy")!r}, np.zeros(10_000))
except OSError as error:
    print(fault(error, Path({str(tmp_path)!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "larger than its disk or `ulimit -f` allows" in done.stdout


def test_room_for_a_mapped_array_is_taken_beforehand(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    array = mapped(file, np.float32, (1000, 1000))
    assert array.shape == (1000, 1000)
    assert file.stat().st_blocks * 512 >= array.nbytes
    assert not array.any()


def test_no_mapped_array_is_left_where_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="full"):
        mapped(tmp_path / "a.npy", np.uint8, (4,))
    assert not (tmp_path / "a.npy").exists()
