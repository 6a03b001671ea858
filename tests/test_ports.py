"""Free ports."""

import socket

import pytest

from reco_stream import ports
from reco_stream.ports import free_ports, is_port_free


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_port_free(server.getsockname()[1])


def test_free_ports_differ_and_can_be_listened_on() -> None:
    chosen = free_ports(5)
    assert len(set(chosen)) == 5
    for port in chosen:
        socket.create_server(("127.0.0.1", port)).close()


def test_no_port_left_says_how_many_were_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_port_free", lambda port: False)
    with pytest.raises(OSError, match="found 0 free ports between 20000 and 32000, wanted 2"):
        free_ports(2)
