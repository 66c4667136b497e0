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
