"""A Ray cluster: how it is joined or started, what it has, and the proof that its nodes see the run folder."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.errors import ConfigError, DataError

# Read by Ray when it is imported: nothing is sent to its makers, and a step that takes too much memory ends at last.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_task_oom_retries", "3")

import ray
from ray._private.services import canonicalize_bootstrap_address
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

RETRIES = 3
"""Number of times that a step, or a node's proof, is tried again whose worker process or node has died."""
REACHED_SECONDS = 5.0
PROVED_SECONDS = 120.0
SEEN_SECONDS = 15.0
# What a user sets for one command holds on all nodes.
_PASSED_ON = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "PICME_DEBUG")
_CRASHED = "has worker processes that crash"
_OBJECTS = 100 << 20  # bytes of Ray's object store, through which nothing of picme goes


@dataclass(frozen=True)
class Node:
    """A living node of a cluster that runs steps."""

    key: str
    name: str
    cores: int
    gpus: float
    memory: float


def join(address: str, cores: int) -> bool:
    """Join a Ray cluster, or start Ray on this machine.

    Args:
        address: a head's `HOST:PORT`; `auto` is the cluster that this machine belongs to, and Ray is started here where
            it belongs to none; `local` starts it here.
        cores: what Ray gets of this machine if it is started here.

    Returns:
        Whether this process has joined, and not found itself joined already.

    Raises:
        ConfigError: if nothing answers at the address, or what answers cannot be joined.
    """
    if ray.is_initialized():
        return False
    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    common["runtime_env"] = {"env_vars": {name: os.environ[name] for name in _PASSED_ON if name in os.environ}}
    head, key = _head(address)
    if head is None and address == "auto" and os.environ.get("RAY_ADDRESS") != "local":
        head, key = _own_cluster(), "execution.address"
    elif head is not None:
        _reach(head, key)
    if head is None:
        ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=_OBJECTS, **common)
        return True
    try:
        ray.init(address=head, **common)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"the Ray cluster at {head} ({key}) cannot be joined from this machine, which has to be one of its nodes "
            f"and have the same versions of Ray and Python: {said}"
        ) from error
    return True


def check_address(address: str) -> None:
    """Check that a Ray head answers where the configuration or the environment names one.

    Raises:
        ConfigError: if none does.
    """
    head, key = _head(address)
    if head is not None:
        _reach(head, key)


def _head(address: str) -> tuple[str | None, str]:
    """Return the head's address that is given, None where none is, and the key or variable that gives it."""
    key = "execution.address" if address != "auto" else "RAY_ADDRESS"
    head = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    return (None if head in ("", "auto", "local") else head), key


def _own_cluster() -> str | None:
    """Return the address of the cluster that this machine belongs to; None where it belongs to none that answers.

    A cluster that ended without `ray stop` leaves its address behind, which Ray itself would try for minutes.
    """
    try:
        found = canonicalize_bootstrap_address("auto")
    except ConnectionError:
        return None
    if found is None:
        return None
    try:
        _reach(found, "auto")
    except ConfigError:
        warnings.warn(f"the Ray cluster that was here, at {found}, answers no more; Ray is started anew", stacklevel=4)
        return None
    return str(found)


def _reach(head: str, key: str) -> None:
    """Check that a Ray head answers at an address; Ray itself would try for minutes.

    Raises:
        ConfigError: if none does.
    """
    host, _, port = head.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"{key} is {head!r}, expected auto, local, or a Ray head's HOST:PORT")
    start = f"start it there with `ray start --head --port={port}`"
    try:
        socket.create_connection((host, int(port)), timeout=REACHED_SECONDS).close()
    except (OSError, OverflowError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
        raise ConfigError(f"no Ray head can be reached at {head} ({key}): {why}; {start}") from None
    if os.environ.get("RAY_USE_TLS", "0") == "1":
        return
    import grpc

    channel = grpc.insecure_channel(head, options=(("grpc.enable_http_proxy", 0),))
    try:
        grpc.channel_ready_future(channel).result(timeout=REACHED_SECONDS)
    except grpc.FutureTimeoutError:
        raise ConfigError(f"what answers at {head} ({key}) is no Ray head; {start}") from None
    finally:
        channel.close()


def living() -> list[Node]:
    """Return the nodes that are alive and run steps, those of the smallest name first."""
    found = []
    for one in ray.nodes():
        has = one["Resources"]
        if one["Alive"] and has.get("CPU", 0) >= 1:
            host, address = one["NodeManagerHostname"], one["NodeManagerAddress"]
            name = one.get("NodeName") or address
            named = name if name != address else f"{host} ({address})"
            found.append(
                Node(one["NodeID"], named, int(has["CPU"]), float(has.get("GPU", 0)), float(has.get("memory", 0)))
            )
    return sorted(found, key=lambda node: (node.name, node.key))


def prove(nodes: Sequence[Node], run: Path, version: str) -> None:
    """Let every node prove that it sees the run folder: it reads what is written here, and writes what is read here.

    A worker that crashes is replaced, and a node that has left the cluster meanwhile proves nothing and gets no step.

    Raises:
        DataError: if one does not, or has another version of picme; it is named.
    """
    token = secrets.token_hex(16)
    file = run / f".seen.{token}"
    file.write_text(token, encoding="utf-8")
    left = dict(enumerate(nodes))
    try:
        for _ in range(RETRIES + 1):
            said = _asked(left, file, token, version)
            left = {number: node for number, node in left.items() if said[number] == _CRASHED}
            here = {one.key for one in living()}
            for number, lacking in said.items():
                node = nodes[number]
                if lacking and number not in left and node.key in here:
                    raise DataError(f"node {node.name} of the Ray cluster {lacking}")
            if not left:
                break
        for node in left.values():
            raise DataError(f"node {node.name} of the Ray cluster {_CRASHED}")
    finally:
        for seen in run.glob(f"{file.name}*"):
            seen.unlink(missing_ok=True)


def _asked(nodes: dict[int, Node], file: Path, token: str, version: str) -> dict[int, str]:
    """Return what each node lacks, by its number; empty for nothing."""
    asked = {}
    for number, node in nodes.items():
        there = NodeAffinitySchedulingStrategy(node.key, soft=False)
        task = _remote(_prove).options(num_cpus=0, max_retries=0, scheduling_strategy=there, name="proof of a node")
        asked[number] = task.remote(str(file), token, number, version)
    _, silent = ray.wait(list(asked.values()), num_returns=len(asked), timeout=PROVED_SECONDS)
    found = {}
    for number, ref in asked.items():
        found[number] = f"does not answer within {PROVED_SECONDS:.0f} s" if ref in silent else _proof(ref)
        if not found[number] and not _seen(file.with_name(f"{file.name}.{number}"), token):
            found[number] = f"writes into another folder of the name {file.parent} than this machine's"
    return found


def _remote(function: Any) -> Any:
    return ray.remote(function)


def _proof(ref: Any) -> str:
    """Return what a node lacks, by its own word; empty if nothing."""
    try:
        return str(ray.get(ref))
    except ray.exceptions.WorkerCrashedError:
        return _CRASHED
    except Exception as error:
        return f"cannot run picme ({type(error).__name__}); install the same picme there"


def _prove(file: str, token: str, number: int, version: str) -> str:
    """Run on a node: read the token and write it back; return what is wrong, empty if nothing."""
    from importlib.metadata import version as version_of

    path = Path(file)
    if (mine := version_of("picme")) != version:
        return f"has picme {mine}, and this machine {version}; install the same on both"
    if not _seen(path, token):
        return f"does not see the run folder {path.parent}; choose an --out on a disk that all nodes share"
    try:
        path.with_name(f"{path.name}.{number}").write_text(token, encoding="utf-8")
    except OSError as error:
        return f"cannot write into the run folder {path.parent}: {error.strerror}"
    return ""


def _seen(file: Path, token: str) -> bool:
    """Return whether a file holds the token, now or soon: a network disk may show it late."""
    end = time.monotonic() + SEEN_SECONDS
    while True:
        try:
            if file.read_text(encoding="utf-8") == token:
                return True
            next(file.parent.iterdir(), None)
        except OSError:
            pass
        if time.monotonic() > end or not file.parent.is_dir():
            return False
        time.sleep(0.2)
