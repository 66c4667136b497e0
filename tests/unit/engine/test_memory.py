"""Memory is that of the machine, of the cgroups around the process or of `ulimit`, whichever is least."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from picme.engine import memory
from picme.engine.memory import GB, check_memory, memory_free, memory_limit
from picme.errors import DataError


def test_the_machine_has_memory() -> None:
    limit, free = memory_limit(), memory_free()
    assert limit is not None
    assert free is not None
    assert 1 << 20 < free < limit < 1 << 50


@pytest.mark.parametrize("version", [1, 2])
def test_a_cgroup_around_that_of_the_process_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    limit, use = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}[version]
    job = tmp_path / ("memory" if version == 1 else "") / "slurm" / "job_7"
    (job / "step_0").mkdir(parents=True)
    for folder, most, used in ((job / "step_0", "max", 1), (job, GB // 10, GB // 11)):
        (folder / limit).write_text(f"{most}\n")
        (folder / use).write_text(f"{used}\n")
    (job / "memory.stat").write_text(f"anon 5\ninactive_file {GB // 50}\n")
    read = Path.read_text
    lines = {1: "5:cpu:/\n4:memory:/slurm/job_7/step_0\n0::/\n", 2: "0::/slurm/job_7/step_0\n"}

    def told(path: Path, **how: str) -> str:
        return lines[version] if path == Path("/proc/self/cgroup") else read(path, **how)

    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(Path, "read_text", told)
    assert memory_limit() == GB // 10
    assert memory_free() == GB // 10 - GB // 11 + GB // 50, "copies of files give way"


def test_ulimit_counts() -> None:
    code = """
import resource
from picme.engine.memory import memory_limit
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
print(memory_limit())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1 << 30


def test_what_needs_more_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: 2 * GB)
    monkeypatch.setattr(memory, "memory_free", lambda: None)
    check_memory(2 * GB, "it", "make it smaller")
    with pytest.raises(DataError, match=r"^it needs about 2\.5 GB of memory, of which there are 2\.0 GB; make it sma"):
        check_memory(2.5 * GB, "it", "make it smaller")
    monkeypatch.setattr(memory, "memory_free", lambda: 1.5 * GB)
    check_memory(1.5 * GB, "it", "make it smaller")
    with pytest.raises(DataError, match=r"of which 1\.5 GB are free; make it smaller, or let less run beside it$"):
        check_memory(1.6 * GB, "it", "make it smaller")
    monkeypatch.setattr(memory, "memory_free", lambda: 0)
    check_memory(GB, "what is small beside the machine's own coming and going", "")
    monkeypatch.setattr(memory, "memory_limit", lambda: None)
    monkeypatch.setattr(memory, "memory_free", lambda: None)
    check_memory(1e30, "it", "make it smaller")
