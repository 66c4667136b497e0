"""A study on a Ray cluster of two nodes: the tables of the local engine, whatever is killed on the way."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import ray.cluster_utils
import yaml
from polars.testing import assert_frame_equal

import picme.pipeline as pipeline
from picme.config.loading import validate
from picme.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TREE: dict[str, Any] = {
    "source": {"kind": "synthetic", "stays": 120},
    "modalities": {
        "timeseries": {
            "kind": "timeseries", "table": "chartevents", "encoder": {"name": "lstm", "hidden": 8, "dropout": 0.2},
        },
        "demographics": {"kind": "tabular", "table": "demographics", "encoder": {"name": "mlp", "hidden": [8]}},
    },
    "tasks": {"mortality": {}},
    "study": {"seeds": 3, "embed_dim": 16},
    "pretrain": {"epochs": 2, "batch_size": 32},
    "align": {"tsne": "off"},
    "finetune": {
        "strategies": ["contrastive", "supervised"], "combinations": ["timeseries+demographics"], "singles": False,
        "epochs": 20, "patience": 20, "label_efficiency": "off", "orders": 0,
    },
    "evaluate": {"resamples": 100, "interval_resamples": 100},
    "execution": {"workers": 2, "device": "cpu"},
}  # fmt: skip
CALLED = "from picme.cli import main; main()"
LIMIT = 240.0


def start(folder: Path, **execution: str) -> subprocess.Popen[str]:
    """Start `picme run` as a user does."""
    folder.parent.mkdir(exist_ok=True)
    file = folder.parent / "study.yaml"
    file.write_text(yaml.safe_dump(TREE), encoding="utf-8")
    given = [word for key, value in execution.items() for word in ("--set", f"execution.{key}={value}")]
    words = ["run", str(file), "--until", "evaluate", "--out", str(folder), *given]
    return subprocess.Popen(
        [sys.executable, "-c", CALLED, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the exit status and what was said."""
    _, said = process.communicate(timeout=LIMIT)
    return process.returncode, said


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of the local engine."""
    folder = tmp_path_factory.mktemp("local") / "run"
    status, said = ended(start(folder))
    assert status == 0, said
    return folder


@pytest.fixture
def begun(local: Path, tmp_path: Path) -> Path:
    """A run folder in which fine-tuning is to come."""
    for kind in (local / "store").iterdir():
        if kind.name not in ("embed", "finetune", "score", "evaluate", "attribute"):
            shutil.copytree(kind, tmp_path / "run" / "store" / kind.name)
    return tmp_path / "run"


class TwoNodes:
    """A cluster whose head has one core and whose other node, with one core, may be killed."""

    def __init__(self) -> None:
        self.cluster = ray.cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        self.node = self.cluster.add_node(num_cpus=1)

    @property
    def settings(self) -> dict[str, str]:
        return {"engine": "ray", "address": self.cluster.address, "workers": "auto"}

    def kill_node(self) -> None:
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.node = None

    def whole(self) -> None:
        self.node = self.node or self.cluster.add_node(num_cpus=1)

    def workers_of_node(self, folder: Path) -> list[int]:
        """The processes of the second node that are in a fine-tuning."""
        raylet = self.node.all_processes["raylet"][0].process.pid
        return [process for process in in_finetuning(folder) if parent(process) == raylet]


@pytest.fixture(scope="module")
def two() -> Iterator[TwoNodes]:
    found = TwoNodes()
    yield found
    found.cluster.shutdown()


@pytest.fixture
def nodes(two: TwoNodes) -> TwoNodes:
    two.whole()
    return two


def in_finetuning(folder: Path) -> list[int]:
    """The processes that are in a fine-tuning, by the folders of their attempts."""
    owned = (file.name.split(".")[2].split("-") for file in (folder / "store" / "finetune").glob(".*-*.partial"))
    return [int(owner[1]) for owner in owned]


def parent(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return None


def finetuned(folder: Path) -> int:
    return len(list((folder / "store" / "finetune").glob("[!.]*/manifest.json")))


def until(true: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Wait until something is so while the study runs, and return it."""
    end = time.monotonic() + LIMIT
    while not (found := true()):
        assert process.poll() is None, f"the study ended first: {process.stderr and process.stderr.read()}"
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def assert_same_tables(one: Path, other: Path) -> None:
    names = {file.name for file in (one / "results").glob("*.parquet")}
    assert names == {file.name for file in (other / "results").glob("*.parquet")}
    assert {"predictions.parquet", "summary.parquet", "finetuning.parquet"} <= names
    for name in names:
        tables = [pl.read_parquet(folder / "results" / name) for folder in (one, other)]
        costs = [column for column in ("seconds", "peak_memory_mb") if column in tables[0].columns]
        assert_frame_equal(*(table.drop(costs) for table in tables), abs_tol=1e-6, rel_tol=0)


@pytest.mark.slow
def test_two_nodes_give_the_tables_of_the_local_engine(local: Path, nodes: TwoNodes, tmp_path: Path) -> None:
    status, said = ended(start(tmp_path / "run", **nodes.settings))
    assert status == 0, said
    assert "Ray: 2 nodes, 2 cores, 0 GPUs" in said
    assert_same_tables(local, tmp_path / "run")
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        ".lock", "config.yaml", "results", "run.json", "store",
    }, "nothing of the cluster is left"  # fmt: skip


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_node_change_nothing(local: Path, nodes: TwoNodes, begun: Path) -> None:
    study = start(begun, **nodes.settings)
    os.kill(until(lambda: in_finetuning(begun), study)[0], signal.SIGKILL)
    until(lambda: finetuned(begun), study)
    until(lambda: nodes.workers_of_node(begun), study)
    nodes.kill_node()
    status, said = ended(study)
    assert status == 0, said
    assert_same_tables(local, begun)


@pytest.mark.slow
def test_a_killed_command_goes_on_when_it_is_given_again(local: Path, nodes: TwoNodes, begun: Path) -> None:
    study = start(begun, **nodes.settings)
    until(lambda: finetuned(begun) and in_finetuning(begun), study)
    study.kill()
    study.wait()
    before = {file: file.stat().st_mtime_ns for file in (begun / "store" / "finetune").glob("[!.]*/manifest.json")}
    assert 0 < len(before) < 6
    status, said = ended(start(begun, **nodes.settings))
    assert status == 0, said
    assert {file: file.stat().st_mtime_ns for file in before} == before, "what was finished stayed"
    assert_same_tables(local, begun)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_ends_what_ran(nodes: TwoNodes, begun: Path) -> None:
    study = start(begun, **nodes.settings)
    running = until(lambda: in_finetuning(begun), study)
    study.send_signal(signal.SIGINT)
    status, said = ended(study)
    assert status == 130
    assert said.endswith("picme: interrupted; run the same command again to go on from here\n")
    end = time.monotonic() + 60
    while any(map(parent, running)):
        assert time.monotonic() < end, "what ran is still running"
        time.sleep(0.1)


# ---- reasons not to start, each one sentence and exit 2


def test_an_address_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    status, said = ended(start(tmp_path / "run", engine="ray", address=address))
    assert (status, said.count("\n")) == (2, 1)
    assert f"no Ray head can be reached at {address} (execution.address)" in said


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"package is not installed: pip install 'picme\[ray\]'"):
        pipeline.run(validate(TREE | {"execution": {"engine": "ray"}}), tmp_path / "run", quiet=True)
