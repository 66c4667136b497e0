"""The address of a Ray head, which is tried before Ray itself would wait for minutes."""

from __future__ import annotations

import socket

import pytest

from picme.engine import cluster
from picme.errors import ConfigError


def test_an_address_at_which_nothing_listens_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(ConfigError, match=rf"no Ray head can be reached at 127.0.0.1:{port} .*: Connection refused"):
        cluster._reach(f"127.0.0.1:{port}", "execution.address")


def test_an_address_at_which_something_else_listens_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "REACHED_SECONDS", 1.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match="is no Ray head"):
            cluster._reach(f"127.0.0.1:{other.getsockname()[1]}", "execution.address")


@pytest.mark.parametrize("address", ["nowhere.invalid:6379", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_one_sentence(address: str) -> None:
    with pytest.raises(ConfigError, match="no Ray head can be reached"):
        cluster._reach(address, "execution.address")


@pytest.mark.parametrize("address", ["head", "ray:", ":6379"])
def test_an_address_without_port_or_host_is_one_sentence(address: str) -> None:
    with pytest.raises(ConfigError, match="expected auto, local, or a Ray head's HOST:PORT"):
        cluster._reach(address, "RAY_ADDRESS")


def test_what_a_cluster_without_an_end_left_behind_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address stays in Ray's folder; Ray itself would try it for minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        stale = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(cluster, "canonicalize_bootstrap_address", lambda address: stale)
    with pytest.warns(UserWarning, match=f"the Ray cluster that was here, at {stale}, answers no more"):
        assert cluster._own_cluster() is None


def test_an_address_is_checked_where_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for address in ("auto", "local"):
        cluster.check_address(address)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    cluster.check_address("local")
    with pytest.raises(ConfigError, match=r"no Ray head can be reached at 127.0.0.1:1 \(RAY_ADDRESS\)"):
        cluster.check_address("auto")
